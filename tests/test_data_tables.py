"""Tables are read or refused with the file, the column and the row; and the readers of the competition's folder."""

import gzip

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbar.data.competition import (
    Competition,
    read_coordinates,
    read_labels,
    read_predictions,
    read_study_ids,
    split_row_ids,
)
from lumbar.data.tables import (
    SAID,
    TableError,
    choice,
    integer,
    read_table,
    real,
    salvage_table,
    text,
    write_table,
    write_text,
)
from lumbar.labels import CELLS, CONDITIONS, LEVELS, row_id

COLUMNS = [integer("study_id"), real("x"), choice("level", LEVELS, may_be_empty=True), text("name")]


def test_a_table_is_read_with_its_columns_in_any_order_and_the_others_left_out(table):
    read = read_table(table("name,more,level,x,study_id\na,?,L1/L2,1.5,7\nb,?,,-2e1,8\n"), COLUMNS)
    assert list(read.columns) == ["study_id", "x", "level", "name"]
    assert read["study_id"].tolist() == [7, 8]
    assert read["study_id"].dtype == "int64"
    assert read["x"].tolist() == [1.5, -20.0]
    assert read["level"].tolist()[0] == "l1_l2"
    assert pd.isna(read["level"].iloc[1])


def test_a_byte_order_mark_spaces_and_windows_line_ends_do_no_harm(table):
    read = read_table(table("\ufeffstudy_id, x ,level,name\r\n 7 , 1 , l4_l5 , a \r\n"), COLUMNS)
    assert read.to_dict("records") == [{"study_id": 7, "x": 1.0, "level": "l4_l5", "name": "a"}]


def test_ids_beyond_what_a_float_holds_stay_exact(table):
    read = read_table(table("study_id\n900719925474099301\n"), [integer("study_id")])
    assert read["study_id"].tolist() == [900719925474099301]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("study_id,x,level\n1,2,\n", "column 'name' is missing; the columns are study_id, x, level"),
        ("study_id,x,level,name,x\n1,2,,a,3\n", "column 'x' stands there more than once"),
        ("study_id,x,level,name\n1,2,,a\n1.5,2,,a\n", "column 'study_id', line 3: expected a whole number"),
        ("study_id,x,level,name\n-1,2,,a\n", "column 'study_id', line 2: .* got '-1'"),
        ("study_id,x,level,name\n1,inf,,a\n", "column 'x', line 2: expected a finite number, got 'inf'"),
        ("study_id,x,level,name\n1,,,a\n", "column 'x', line 2: expected a finite number, got ''"),
        ("study_id,x,level,name\n1,2,L6/S1,a\n2,2,L7,a\n", r"column 'level', line 2: .* 'L6/S1' \(and 1 more\)"),
        ("study_id,x,level,name\n1,2,L6/S1,a\n", "expected one of l1_l2, .*, l5_s1 or nothing"),
        ("study_id,x,level,name\n1,2,,\n", "column 'name', line 2: expected some text"),
        ("study_id,x,level,name\n1,2,\n", "line 2 has 3 values, expected 4"),
        ("", "the file is empty, expected a header line"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_column_and_row(table, content, message):
    path = table(content)
    with pytest.raises(TableError, match=message) as caught:
        read_table(path, COLUMNS)
    assert str(caught.value).startswith(f"{path}: ")


def test_the_line_that_is_named_is_the_files_own_where_lines_are_blank(table):
    with pytest.raises(TableError, match="line 5: expected a finite number, got 'two'"):
        read_table(table("x\n1\n\n1\ntwo\n"), [real("x")])


def test_rows_that_share_their_key_are_refused(table):
    path = table("study_id,x\n1,5\n2,5\n1,6\n")
    with pytest.raises(TableError, match="line 4: study_id 1 stands there already, expected it once"):
        read_table(path, [integer("study_id"), real("x")], unique=["study_id"])


def test_of_two_annotated_points_of_a_cell_the_first_is_kept_and_the_others_are_told(table, caplog):
    rows = ["7,1,3,Spinal Canal Stenosis,L4/L5,10,20", "7,1,4,Spinal Canal Stenosis,L5/S1,1,2"]
    again = ["7,1,3,Spinal Canal Stenosis,L4/L5,11,21", "7,2,3,spinal_canal_stenosis,l5_s1,1,2"]
    header = "study_id,series_id,instance_number,condition,level,x,y"
    path = table("\n".join([header, rows[0], again[0], rows[1], again[1]]) + "\n")
    assert read_coordinates(path)[["level", "x"]].to_numpy().tolist() == [["l4_l5", 10], ["l5_s1", 1]]
    assert caplog.messages == [
        f"{path}: 2 rows are left out, since their cell has a point already; the first: "
        "study_id 7, condition spinal_canal_stenosis, level l4_l5"
    ]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TableError, match=r"none\.csv: there is no such file"):
        read_table(tmp_path / "none.csv", COLUMNS)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\xff" * 20, lambda _: b"x\n1\n"])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(damage(gzip.compress(b"x\n" + b"".join(b"%d\n" % number for number in range(500)))))
    with pytest.raises(TableError, match=r"table\.csv\.gz: cannot be read as CSV"):
        read_table(path, [real("x")])


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"x\n\xff\xfe\n")
    with pytest.raises(TableError, match=r"table\.csv: cannot be read as CSV"):
        read_table(path, [real("x")])


def test_a_table_with_a_header_alone_has_no_rows(table):
    assert read_table(table("study_id,x,level,name\n"), COLUMNS, unique=["study_id"]).empty


@given(st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=20))
def test_a_written_number_is_read_back_as_it_was(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "deep" / "table.csv"
    write_table(pd.DataFrame({"x": values}), path)
    assert read_table(path, [real("x")])["x"].tolist() == values


def test_writing_leaves_nothing_but_the_table(tmp_path):
    write_table(pd.DataFrame({"x": [1]}), tmp_path / "table.csv")
    write_table(pd.DataFrame({"x": [2]}), tmp_path / "table.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert (tmp_path / "table.csv").read_text() == "x\n2\n"


def test_labels_come_in_long_form_without_the_empty_cells(table):
    header = ",".join(["study_id", *CELLS])
    first = ["Normal/Mild"] * 24 + ["Severe"]
    second = ["", "Moderate"] + [""] * 23
    labels = read_labels(table(f"{header}\n11,{','.join(first)}\n12,{','.join(second)}\n13{',' * 25}\n"))
    assert len(labels) == 26
    assert labels["study_id"].tolist() == [11] * 25 + [12]
    assert labels["grade"].tolist() == [0] * 24 + [2] + [1]
    assert labels.iloc[-1].to_dict() == {
        "study_id": 12,
        "condition": "spinal_canal_stenosis",
        "level": "l2_l3",
        "group": "spinal",
        "row_id": "12_spinal_canal_stenosis_l2_l3",
        "grade": 1,
    }


def test_a_study_without_a_label_is_still_a_study(table):
    path = table(f"{','.join(['study_id', *CELLS])}\n13{',' * 25}\n")
    assert read_study_ids(path) == [13]
    assert read_labels(path).empty


def test_a_grade_that_does_not_exist_is_refused(table):
    path = table(f"{','.join(['study_id', *CELLS])}\n13,Bad{',' * 24}\n")
    with pytest.raises(TableError, match=r"column 'spinal_canal_stenosis_l1_l2', line 2: .* got 'Bad'"):
        read_labels(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7_spinal_canal_stenosis_l1_l2,-0.1,0.6,0.5", "expected probabilities that are not negative"),
        ("7_spinal_canal_stenosis_l1_l2,0,0,0", "expected a sum above 0"),
        ("7_spinal_canal_stenosis_l1_l2,nan,0.5,0.5", "column 'normal_mild', line 2: expected a finite number"),
    ],
)
def test_a_prediction_that_is_no_probability_is_refused(table, row, message):
    with pytest.raises(TableError, match=message):
        read_predictions(table(f"row_id,normal_mild,moderate,severe\n{row}\n"))


def test_a_row_id_is_taken_apart_into_what_it_was_made_of():
    ids = pd.Series([row_id(77, cell.condition, cell.level) for cell in CELLS.values()])
    parts = split_row_ids(ids)
    assert parts["study_id"].unique().tolist() == [77]
    assert parts["condition"].tolist() == [cell.condition for cell in CELLS.values()]
    assert parts["level"].tolist() == [cell.level for cell in CELLS.values()]


@pytest.mark.parametrize("name", ["spinal_canal_stenosis_l1_l2", "7_spinal_canal_stenosis", "7_canal_l1_l2", ""])
def test_a_row_id_of_another_form_is_refused(name):
    with pytest.raises(TableError, match=f"row_id '{name}': expected <study_id>_<condition>_<level>"):
        split_row_ids(pd.Series([name]))


def test_the_published_tables_are_read_whole(rsna, real_labels):
    competition = Competition(rsna)
    assert len(competition.study_ids) == 1975
    assert real_labels["grade"].value_counts().sort_index().tolist() == [37754, 7960, 3089]
    assert 1975 * 25 - len(real_labels) == 572
    assert len(competition.series("train")) == 6294
    assert competition.series("test")["series_description"].nunique() == 3
    assert len(competition.sample_submission) == 25


def test_the_published_coordinates_name_the_cells_in_the_one_spelling(rsna):
    coordinates = read_coordinates(rsna / "train_label_coordinates.csv")
    assert len(coordinates) == 48_668
    assert set(coordinates["condition"]) == set(CONDITIONS)
    assert set(coordinates["level"]) == set(LEVELS)


def test_series_lie_below_their_study(tmp_path):
    directory = Competition(tmp_path).series_directory("test", 5, 6)
    assert directory == tmp_path / "test_images" / "5" / "6"


def test_a_salvaged_table_has_the_good_rows_and_words_for_each_of_the_others(table):
    path = table("study_id,x,level,name\n1,2,,a\n../x,2,,b\n3,inf,L9,c\n4,2\n1,7,,e\n6,2,L1/L2,f\n")
    read, messages = salvage_table(path, COLUMNS, unique=["study_id"])
    assert read["study_id"].tolist() == [1, 6]
    assert read["study_id"].dtype == "int64"
    assert read["name"].tolist() == ["a", "f"]
    assert [message.removeprefix(f"{path}: ").partition(": expected")[0] for message in messages] == [
        "line 5 has 2 values, expected 4",
        "column 'study_id', line 3",
        "column 'x', line 4",
        "column 'level', line 4",
        "column 'study_id', line 6: study_id 1 stands there already, expected it once",
    ]


def test_of_many_bad_rows_the_first_are_named_and_the_others_counted(table):
    read, messages = salvage_table(table("x\n" + "bad\n" * (SAID + 30) + "1\n"), [real("x")])
    assert read["x"].tolist() == [1]
    assert len(messages) == SAID + 1
    assert "30 more like 'column 'x', line 2: expected a finite number" in messages[-1]


@pytest.mark.parametrize("content", ["", "\n\n", "other\n1\n", "\x00\x01"])
def test_a_file_without_anything_good_is_an_empty_table_and_a_message(table, content):
    read, messages = salvage_table(table(content), COLUMNS, unique=["study_id"])
    assert read.empty
    assert list(read.columns) == ["study_id", "x", "level", "name"]
    assert messages


def test_a_missing_file_is_an_empty_table_and_a_message(tmp_path):
    read, messages = salvage_table(tmp_path / "none.csv", COLUMNS)
    assert read.empty
    assert messages == [f"{tmp_path / 'none.csv'}: there is no such file"]


def test_bytes_that_are_no_text_cost_their_row_only(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"x,name\n1,a\n\xff\xfe,b\n3,c\n")
    read, messages = salvage_table(path, [real("x"), text("name")])
    assert read["x"].tolist() == [1, 3]
    assert "cannot be read as CSV" in messages[0]


@pytest.mark.parametrize("study_id", ["../x", "5/../..", -1, 5.0, None])
def test_an_id_that_is_no_number_is_no_folder(tmp_path, study_id):
    for ids in ((study_id, 6), (6, study_id)):
        with pytest.raises(TableError, match="expected a whole number that is not negative"):
            Competition(tmp_path).series_directory("test", *ids)


def test_a_file_that_is_not_utf8_is_written_over_like_any_other(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_bytes("row_id,müde\n".encode("latin-1"))
    write_text("row_id\n", path)
    assert path.read_text() == "row_id\n"
