"""What a competition's tables hold, counted and drawn."""

from pathlib import Path

import cv2
import pandas as pd
import pytest
from typer.testing import CliRunner

from lumbar.cli import app
from lumbar.data.competition import Competition
from lumbar.labels import CELLS
from lumbar.report.explore import TITLES, Tables, explore_tables, format_tables
from lumbar.report.explore_pictures import colour, draw_tables

PICTURES = ("conditions", "levels", "cells", "series")


@pytest.fixture(scope="module")
def real(rsna: Path) -> Tables:
    """The published tables, counted."""
    return explore_tables(Competition(rsna))


def counted(tables: Tables, name: str) -> pd.DataFrame:
    """A table by its rows' names."""
    return tables[name].set_index(tables[name].columns[0])


@pytest.fixture
def made_up(tmp_path: Path) -> Competition:
    """One study with three cells of the canal: one without a point, one without a label, one with both."""
    (tmp_path / "train.csv").write_text(
        "study_id," + ",".join(CELLS) + "\n7," + ",".join({0: "Severe", 2: "Moderate"}.get(n, "") for n in range(25))
    )
    header = "study_id,series_id,instance_number,condition,level,x,y\n"
    rows = "7,70,1,Spinal Canal Stenosis,L2/L3,1,2\n7,70,1,Spinal Canal Stenosis,L3/L4,1,2\n"
    (tmp_path / "train_label_coordinates.csv").write_text(header + rows)
    described = "study_id,series_id,series_description\n7,70,Sagittal T2/STIR\n7,71,Axial T2\n7,72,Axial T2\n"
    (tmp_path / "train_series_descriptions.csv").write_text(described)
    return Competition(tmp_path)


def test_the_conditions_have_the_papers_shares_of_the_annotations(real):
    shares = counted(real, "conditions")["share"]
    papers = {"Spinal Canal": 20.0, "Left Neural": 20.3, "Right Neural": 20.3, "Left Sub": 19.7, "Right Sub": 19.7}
    for (name, share), (start, expected) in zip(shares.items(), papers.items(), strict=True):
        assert name.startswith(start)
        assert share == pytest.approx(expected, abs=0.1)


def test_the_competitions_labels_and_gaps_are_counted(real):
    assert counted(real, "grades")["labels"].tolist() == [37_754, 7_960, 3_089]
    assert counted(real, "missing").loc["All"].tolist() == [572, 170, 35]
    assert counted(real, "contents").loc["studies", "count"] == 1_975
    assert counted(real, "contents").loc["cells", "count"] == 49_375


def test_the_competitions_series_are_counted(real):
    assert counted(real, "series")["studies_without"].tolist() == [1, 2, 0]
    assert counted(real, "series_per_study").loc[3, "all"] == 1_632
    assert counted(real, "series_per_study").loc[2, "Sagittal T1"] == 7


def test_each_table_of_counts_adds_up_to_the_whole(real):
    grades = ["Normal/Mild", "Moderate", "Severe"]
    for name in ("levels", "cells"):
        assert real[name][grades].sum().tolist() == counted(real, "grades")["labels"].tolist()
        assert real[name]["points"].sum() == 48_668
    assert (real["cells"][[*grades, "no_label"]].sum(axis=1) == 1_975).all()


def test_labels_and_points_without_each_other_are_told_apart(made_up):
    missing = counted(explore_tables(made_up), "missing")
    assert missing.loc["Spinal Canal Stenosis"].tolist() == [3, 1, 1]
    assert missing.loc["All"].tolist() == [23, 1, 1]


def test_a_study_is_counted_by_how_many_series_of_each_kind_it_has(made_up):
    per_study = counted(explore_tables(made_up), "series_per_study")
    assert per_study["all"].tolist() == [0, 0, 0, 1]
    assert per_study["Sagittal T1"].tolist() == [1, 0, 0, 0]
    assert per_study["Axial T2"].tolist() == [0, 0, 1, 0]


def test_a_folder_without_a_point_is_counted_and_drawn_as_well(made_up, tmp_path):
    path = made_up.root / "train_label_coordinates.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    tables = explore_tables(made_up)
    assert counted(tables, "conditions")["share"].tolist() == [0, 0, 0, 0, 0]
    draw_tables(tables, tmp_path / "out")


def test_numbers_are_told_with_commas_and_shares_in_per_cent(real):
    text = format_tables(real)
    assert all(title in text for title in TITLES.values())
    assert "Normal/Mild  37,754  77.4 %" in text


def test_the_pictures_have_the_reports_paper(real, tmp_path):
    draw_tables(real, tmp_path)
    paper = [int(colour("paper")[place : place + 2], 16) for place in (5, 3, 1)]
    for name in PICTURES:
        assert cv2.imread(str(tmp_path / f"{name}.png"))[0, 0].tolist() == paper


def test_the_grades_are_drawn_in_the_reports_colours(real, tmp_path):
    draw_tables(real, tmp_path)
    image = cv2.imread(str(tmp_path / "cells.png")).reshape(-1, 3)
    for grade in ("normal", "moderate", "severe"):
        wanted = [int(colour(grade)[place : place + 2], 16) for place in (5, 3, 1)]
        assert (image == wanted).all(axis=1).sum() > 1000


def test_the_command_prints_and_writes_only_where_it_is_asked_to(rsna, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(app, ["data", "explore", "--data", str(rsna)]).output
    assert "48,668" in printed
    assert list(tmp_path.iterdir()) == []
    CliRunner().invoke(app, ["data", "explore", "--data", str(rsna), "--out", "out"])
    assert (tmp_path / "out" / "explore.txt").read_text() == printed
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"explore.txt", *(f"{name}.csv" for name in TITLES), *(f"{name}.png" for name in PICTURES)}
