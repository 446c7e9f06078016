"""What a submission is asked for is read as far as it can be: every good row, and words for the others."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbar.data.competition import (
    read_series_descriptions,
)
from lumbar.data.tables import (
    write_table,
)
from lumbar.labels import CELLS, SERIES_DESCRIPTIONS
from lumbar.submit.asked import salvage_row_ids, salvage_series_descriptions


def test_a_quotation_mark_without_its_partner_swallows_nothing(table):
    path = table('study_id,series_id,series_description\n1,2,"Axial T2\n1,3,"Sagittal T1"\n"1,4,Axial T2\n')
    read, messages = salvage_series_descriptions(path)
    assert read["series_id"].tolist() == [2, 3, 4]
    assert [message.partition(": ")[2] for message in messages] == [
        "the file has a quotation mark without its partner; no harm"
    ]


def test_what_is_unusual_about_a_good_file_is_told_and_no_error(table):
    path = table("\ufeffseries_description,series_id,study_id\r\nAxial T2,2,1\r\n")
    read, messages = salvage_series_descriptions(path)
    assert read.to_dict("records") == [{"study_id": 1, "series_id": 2, "series_description": "Axial T2"}]
    assert [message.partition(": ")[2] for message in messages] == [
        "the file has a byte-order mark; no harm",
        "the file has Windows line ends; no harm",
        "the columns come in another order: series_description, series_id, study_id",
    ]


GOOD_ROWS = st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(SERIES_DESCRIPTIONS))


BROKEN_ROWS = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=4)


@settings(deadline=None)
@given(st.lists(st.one_of(GOOD_ROWS, BROKEN_ROWS), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_every_good_row_is_salvaged_from_among_any_others(tmp_path_factory, rows, end):
    path = tmp_path_factory.getbasetemp() / "salvaged.csv"
    lines = [",".join(map(str, row)) for row in rows]
    content = end.join(["study_id,series_id,series_description", *lines, ""])
    path.write_bytes(content.encode())
    salvaged, messages = salvage_series_descriptions(path)
    ids = list(zip(salvaged["study_id"], salvaged["series_id"], strict=True))
    assert {row[:2] for row in rows if isinstance(row, tuple)} <= set(ids)
    assert len(ids) == len(set(ids))
    assert messages or len(ids) == len(re.findall(r"[^\r\n]+", content)) - 1
    write_table(salvaged, path)
    assert read_series_descriptions(path).equals(salvaged)


def test_every_row_that_is_asked_for_is_kept_in_order_and_untouched(table):
    asked = [
        "7_spinal_canal_stenosis_l1_l2",
        "../x_spinal_canal_stenosis_l1_l2",
        " 7_x",
        "7_spinal_canal_stenosis_l1_l2",
        "",
    ]
    rows = [f"{asked[0]},1,0,0", f"{asked[1]}", f"{asked[2]},1,0,0,0", f"{asked[3]},1,0,0", f"{asked[4]},1"]
    path = table("row_id,normal_mild,moderate,severe\n" + "\n".join(rows) + "\n")
    row_ids, messages = salvage_row_ids(path)
    assert row_ids == asked
    assert [message.removeprefix(f"{path}: column 'row_id', ") for message in messages] == [
        "line 3: of study '../x', expected <study_id>_<condition>_<level>",
        "line 4: of study '7_x', expected <study_id>_<condition>_<level>",
        "line 5: '7_spinal_canal_stenosis_l1_l2' stands there already",
        "line 6: of study '', expected <study_id>_<condition>_<level>",
    ]


def test_the_rows_of_one_strange_study_are_one_message(table):
    rows = "".join(f"0,{study}_{cell}\n" for study in ("../x", "12") for cell in CELLS)
    row_ids, messages = salvage_row_ids(table(f"severe,row_id\n{rows}"))
    assert len(row_ids) == 50
    assert [message.partition(".csv: ")[2] for message in messages] == [
        "row_id is not the first column",
        "column 'row_id', line 2: of study '../x', expected <study_id>_<condition>_<level> (and 24 more)",
    ]


@pytest.mark.parametrize("content", ["", "other\n1\n"])
def test_a_sample_submission_without_row_ids_asks_for_nothing_and_says_why(table, content):
    row_ids, messages = salvage_row_ids(table(content))
    assert row_ids == []
    assert len(messages) == 1
