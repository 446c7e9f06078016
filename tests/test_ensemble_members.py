"""Members' files are read strictly, and gathered cell by cell whatever is missing."""

import gzip

import numpy as np
import pandas as pd
import pytest

from lumbar.data.competition import no_predictions
from lumbar.data.tables import TableError
from lumbar.ensemble.members import MemberError, gather_members, read_member, refuse_other_studies, tabulate
from lumbar.labels import CELLS, GRADES
from miniature import prediction_rows

CANAL, RECESS = "spinal_canal_stenosis_l4_l5", "left_subarticular_stenosis_l1_l2"
HEADER = "row_id,normal_mild,moderate,severe\n"


def test_a_gzipped_member_is_read_like_a_plain_one(tmp_path):
    content = f"{HEADER}7_{CANAL},0.7,0.2,0.1\n"
    (tmp_path / "a.csv").write_text(content)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(content.encode()))
    pd.testing.assert_frame_equal(read_member(tmp_path / "a.csv"), read_member(tmp_path / "b.csv.gz"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (f"7_{CANAL},0.7,0.2,0.1\n7_{CANAL},0.7,0.2,0.1\n", f"line 3: row_id 7_{CANAL} stands there already"),
        ("7_knee_l1_l2,0.7,0.2,0.1\n", "row_id '7_knee_l1_l2': expected <study_id>_<condition>_<level>"),
        (f"7_{CANAL},,0.2,0.1\n", "column 'normal_mild', line 2: expected a finite number, got ''"),
        (f"7_{CANAL},nan,0.2,0.1\n", "column 'normal_mild', line 2: expected a finite number, got 'nan'"),
        (f"7_{CANAL},1.1,-0.2,0.1\n", f"row '7_{CANAL}': expected probabilities that are not negative"),
        (f"7_{CANAL},0.7,0.2,0.2\n", f"row '7_{CANAL}': expected probabilities that sum to 1, they sum to 1.1000"),
    ],
)
def test_a_row_that_is_no_prediction_is_refused_with_its_file_and_row(tmp_path, rows, message):
    path = tmp_path / "member.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(TableError) as refused:
        read_member(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_probabilities_rounded_to_three_decimals_are_accepted_and_normalised(tmp_path):
    path = tmp_path / "member.csv"
    path.write_text(f"{HEADER}7_{CANAL},0.333,0.333,0.333\n")
    gathered = gather_members({"a": read_member(path)})
    np.testing.assert_allclose(gathered.probabilities[0, 0, list(CELLS).index(CANAL)], 1 / 3, atol=1e-15)


def test_a_study_without_a_fold_is_refused_with_its_file_and_row(tmp_path):
    table = prediction_rows({f"7_{CANAL}": (0.7, 0.2, 0.1), f"8_{CANAL}": (0.7, 0.2, 0.1)})
    with pytest.raises(TableError, match=rf"a\.csv: row '8_{CANAL}': the study is not in folds\.csv"):
        refuse_other_studies(table, tmp_path / "a.csv", [7], tmp_path.__class__("folds.csv"))


def test_cells_that_a_member_does_not_predict_are_missing_for_it_alone():
    one = prediction_rows({f"9_{CANAL}": (0.7, 0.2, 0.1)})
    other = prediction_rows({f"7_{CANAL}": (0.5, 0.3, 0.2), f"9_{RECESS}": (0.1, 0.2, 0.7)})
    gathered = gather_members({"b": other, "a": one})
    assert gathered.names == ("a", "b")
    assert gathered.study_ids == (7, 9)
    given = ~np.isnan(gathered.probabilities[..., 0])
    assert given.sum() == 3
    np.testing.assert_allclose(gathered.probabilities[1, 1, list(CELLS).index(RECESS)], [0.1, 0.2, 0.7])


def test_a_row_of_nan_counts_as_missing_and_a_row_that_is_partly_so_is_refused():
    missing = prediction_rows({f"7_{CANAL}": (np.nan, np.nan, np.nan), f"7_{RECESS}": (0.7, 0.2, 0.1)})
    assert (~np.isnan(gather_members({"a": missing}).probabilities[..., 0])).sum() == 1
    with pytest.raises(MemberError, match=f"member 'a', row '7_{CANAL}'"):
        gather_members({"a": prediction_rows({f"7_{CANAL}": (np.nan, 0.5, 0.5)})})


def test_a_cell_predicted_twice_in_memory_is_refused():
    row = prediction_rows({f"7_{CANAL}": (0.7, 0.2, 0.1)})
    with pytest.raises(MemberError, match=f"member 'a', row '7_{CANAL}': expected one row"):
        gather_members({"a": pd.concat([row, row])})


def test_a_member_without_any_row_is_a_member_that_is_missing_everywhere():
    gathered = gather_members({"a": no_predictions(), "b": prediction_rows({f"7_{CANAL}": (0.7, 0.2, 0.1)})})
    assert np.isnan(gathered.probabilities[0]).all()
    assert gathered.study_ids == (7,)


def test_what_is_gathered_is_tabulated_again_study_by_study():
    table = prediction_rows({f"9_{RECESS}": (0.1, 0.2, 0.7), f"7_{CANAL}": (0.5, 0.3, 0.2)})
    gathered = gather_members({"a": table})
    again = tabulate(gathered.probabilities[0], gathered.study_ids)
    assert again["row_id"].tolist() == [f"7_{CANAL}", f"9_{RECESS}"]
    np.testing.assert_allclose(again[list(GRADES)], [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
