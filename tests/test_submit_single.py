"""One study from a bare folder: graded as if it stood in a competition, with a page of its own, or a clear answer."""

import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import lumbar
from lumbar import cli
from lumbar.errors import InputError
from lumbar.labels import CELLS, GRADES
from lumbar.submit.single import StudyError, find_models, format_study, grade_folder
from lumbar.submit.stage import predict_submission


@pytest.fixture(scope="module")
def bare(competition, tmp_path_factory) -> Path:
    """A test study in a folder of another form: one level, no names, no suffixes, no tables."""
    study_id = int(competition.series("test")["study_id"].iloc[0])
    folder = tmp_path_factory.mktemp("bare") / str(study_id)
    folder.mkdir()
    for number, path in enumerate(sorted((competition.root / "test_images" / str(study_id)).rglob("*.dcm"))):
        shutil.copy(path, folder / f"IM{number:05d}")
    return folder


@pytest.fixture(scope="module")
def graded(bare, trained):
    return grade_folder(bare, trained.models)


def test_a_bare_study_gets_the_grades_that_it_gets_in_the_competition(graded, bare, trained, competition, tmp_path):
    predict_submission(trained.models, competition, tmp_path / "work", tmp_path / "submission.csv")
    expected = pd.read_csv(tmp_path / "submission.csv").set_index("row_id").loc[graded.grades["row_id"], list(GRADES)]
    np.testing.assert_allclose(graded.grades[list(GRADES)], expected, atol=1e-6)
    assert len(graded.grades) == len(CELLS)
    assert {found.description for found in graded.series} == set(competition.series("test")["series_description"])


def test_the_table_has_every_cell_and_marks_the_prior(graded):
    text = format_study(graded)
    assert text.count("Spinal canal stenosis") == 1
    assert all(level in text for level in ("L1/L2", "L5/S1"))
    assert ("*" in text) == (graded.grades["reason"] != "").any()


def test_findings_are_sentences_the_gravest_and_surest_first(graded):
    shares = {"moderate": (0.2, 0.7, 0.1), "severe": (0.1, 0.1, 0.8), "normal_mild": (0.6, 0.3, 0.1)}
    said = ["moderate", "severe", "normal_mild", "severe"]
    grades = graded.grades.iloc[:4].assign(grade=said, reason=["", "", "", "no grader was trained"])
    grades[list(GRADES)] = [shares[grade] for grade in said]
    sentences = replace(graded, grades=grades).sentences
    assert sentences == [
        "Severe spinal canal stenosis at L2/L3 (80 %)",
        "Moderate spinal canal stenosis at L1/L2 (70 %)",
    ]


def test_a_folder_whose_name_is_too_long_for_an_id_is_graded_all_the_same(bare, trained, tmp_path):
    folder = shutil.copytree(bare, tmp_path / ("1" * 25))
    assert grade_folder(folder, trained.models).study_id == 0


class Loads(HTMLParser):
    """What a page would load, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.loads += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data) -> None:
        self.text += data


def test_the_command_prints_the_grades_and_writes_a_table_and_a_page(bare, trained, tmp_path):
    arguments = ["predict", str(bare), "--models", str(trained.models), "--out", str(tmp_path)]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    assert "Sagittal T2/STIR" in done.output
    table = pd.read_csv(tmp_path / f"{bare.name}.csv")
    assert set(table["grade"]) <= set(GRADES)
    page = Loads((tmp_path / f"{bare.name}.html").read_text())
    assert bare.name in page.text
    assert all(value.startswith("data:") for value in page.loads)
    assert "L4/L5" in page.text
    assert "no medical device" in page.text


def test_a_study_without_a_series_says_what_is_missing_and_grades_the_rest(bare, trained, tmp_path):
    folder = Path(shutil.copytree(bare, tmp_path / bare.name))
    axial = next(found for found in lumbar_series(folder) if found.description == "Axial T2")
    for name in axial.files:
        (folder / name).unlink()
    less = grade_folder(folder, trained.models)
    assert "there is no readable Axial T2 series" in less.warnings
    subarticular = less.grades["condition"].str.contains("subarticular")
    assert (less.grades.loc[subarticular, "reason"] != "").all()
    np.testing.assert_allclose(less.grades[list(GRADES)].sum(axis=1), 1)


def lumbar_series(folder: Path):
    from lumbar.mri.inventory import find_series

    return find_series(folder)


def test_a_folder_without_a_spine_says_what_it_holds(trained, tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(StudyError, match=r"(?s)no sagittal or axial series of a lumbar spine.*no DICOM image"):
        grade_folder(tmp_path, trained.models)


def test_two_studies_in_one_folder_are_refused(bare, competition, trained, tmp_path):
    shutil.copytree(bare, tmp_path / "one")
    other = int(competition.series("test")["study_id"].unique()[1])
    shutil.copytree(competition.root / "test_images" / str(other), tmp_path / "other")
    with pytest.raises(StudyError, match=r"holds 2 studies, with one/IM00000, other/.*; name the folder of one"):
        grade_folder(tmp_path, trained.models)


def test_models_of_synthetic_images_say_so_before_anything_else(graded):
    assert graded.warnings[0].startswith("the models were trained on synthetic images")
    assert not any("synthetic" in warning for warning in replace(graded, by_phantom=False).warnings)


def test_where_nothing_is_graded_no_study_is_called_healthy(graded):
    nothing = replace(graded, grades=graded.grades.assign(reason="no grader was trained"))
    assert "nothing could be graded: all 25 cells are the prior" in format_study(nothing)
    assert "no finding" not in format_study(nothing)


def test_the_models_are_found_in_a_run_and_in_a_bundle(trained):
    assert find_models(trained.models) == find_models(trained.models.parent) == trained.models


def test_a_folder_without_models_is_told_apart_from_one_without_a_study(bare, tmp_path):
    with pytest.raises(InputError, match=r"there are no models; a run's lie in runs/<name>/models"):
        grade_folder(bare, tmp_path)
    with pytest.raises(StudyError, match="nowhere: is no folder"):
        grade_folder(tmp_path / "nowhere", tmp_path)


def test_a_real_head_gets_a_clear_answer(shared, trained):
    with pytest.raises(StudyError, match=r"(?s)It holds\n  DWI_SagAP \(48 files\): left out: .* shows BRAIN"):
        grade_folder(shared / "dicom" / "sagittal_stack", trained.models)


def test_a_real_study_is_read_whole(shared, trained):
    study = grade_folder(shared / "rsna2024_studies" / "train_images" / "100206310", trained.models)
    assert sum(len(found.files) for found in study.series) == 96
    assert set(study.study) == {"Sagittal T1", "Sagittal T2/STIR", "Axial T2"}
    assert len(study.grades) == 25


# The front door


def test_importing_the_package_changes_nothing_in_the_process():
    import subprocess
    import sys

    code = """
import os, socket, sys, uuid
before = dict(os.environ), socket.has_ipv6, uuid.getnode
import lumbar
assert (dict(os.environ), socket.has_ipv6, uuid.getnode) == before, "something was changed"
heavy = {"torch", "pandas", "numpy", "ultralytics", "pydicom"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_front_door_reads_a_series_scores_and_grades_a_study(competition, bare, trained, graded):
    series = competition.series("test").iloc[0]
    directory = competition.series_directory("test", int(series["study_id"]), int(series["series_id"]))
    assert len(lumbar.read_series(str(directory)).slices) == len(list(directory.glob("*.dcm")))

    oracle = competition.root / "oracle.csv"
    assert lumbar.score(competition.root / "train.csv", oracle).score == pytest.approx(
        lumbar.score(competition.labels, pd.read_csv(oracle)).score
    )

    pd.testing.assert_frame_equal(lumbar.predict(bare, trained.models), graded.grades)


def test_a_name_that_the_front_door_does_not_have_lists_those_it_has():
    with pytest.raises(AttributeError, match="'predikt'; its front door is predict, read_series, score"):
        lumbar.predikt  # noqa: B018
