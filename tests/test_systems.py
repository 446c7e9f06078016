"""The published systems by name: listed and shown as their papers have them, and run one at a time on any data."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lumbar.baselines.layers import build_bare, count_all, list_layers
from lumbar.baselines.opening import list_systems, on_own_folds, read_published
from lumbar.baselines.papers import PAPERS
from lumbar.config import CompareConfig, ConfigError, FoldsConfig
from lumbar.data.competition import Competition
from lumbar.data.tables import write_table
from lumbar.errors import InputError
from lumbar.report.collect import ReportError, collect
from lumbar.report.system_names import NAMES, SHOWN_FOLDER
from lumbar.run.run import Run
from lumbar.systems.alone import open_system, run_system
from lumbar.systems.overview import format_list, format_show
from miniature import dated, small_run, tiny_run, without_rows
from test_comparison import CLASSICAL, CONFIG, SYSTEMS

PUBLISHED = CONFIG.parent / "published"


def prepare(competition: Competition, folder: Path, name: str) -> Run:
    """A system's run in miniature, beside a run called small."""
    return open_system(small_run(competition, folder, CompareConfig(systems=SYSTEMS)), CONFIG, name, None)


@pytest.fixture(scope="module", params=PAPERS)
def alone(competition: Competition, tmp_path_factory: pytest.TempPathFactory, request) -> tuple[Run, str]:
    """A system that has been run by itself, and what it said."""
    run = prepare(competition, tmp_path_factory.mktemp("alone"), request.param)
    return run, run_system(run, CONFIG)


def test_the_list_has_every_system_its_parameters_and_its_papers_figure():
    lines = format_list(CONFIG).splitlines()
    assert [line.split()[0] for line in lines[1:]] == list_systems(CONFIG)
    assert {*PAPERS, *CLASSICAL} == set(list_systems(CONFIG))
    coordinates = next(line for line in lines if line.startswith("cnn_coordinates"))
    assert "left subarticular, all levels" in coordinates
    assert coordinates.endswith("4,302,819  accuracy .618, AUC .773")


@pytest.mark.parametrize("name", PAPERS)
def test_a_net_holds_as_many_numbers_as_its_layers_and_as_its_paper_counts(name):
    net = build_bare(read_published(CONFIG, name))
    assert sum(layer.parameters for layer in list_layers(net)) == count_all(net)
    if PAPERS[name].parameters is not None:
        shown = format_show(CONFIG, name)
        assert f"Total parameters: {PAPERS[name].parameters:,} (" in shown
        assert f"Trainable parameters: {PAPERS[name].trainable:,} (" in shown


def test_a_system_is_shown_with_its_layers_its_training_and_its_papers_figures():
    shown = format_show(CONFIG, "cnn_coordinates")
    assert "backbone.blocks.0.0 (Conv2d)       (None, 32, 128, 128)         320" in shown
    assert "head.0 (Linear)                    (None, 128)            4,198,528" in shown
    assert "adam, learning rate 0.001" in shown
    assert "ResNet50                    .994      .607  .799" in shown


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(ConfigError, match=r"resnet: there is no .*resnet\.yaml; there are classical_forest, cl"):
        format_show(CONFIG, "resnet")


def test_a_system_runs_without_a_detector_in_a_folder_of_its_data_and_name(alone):
    run, text = alone
    assert run.folder.parts[-3:] == ("small", "systems", run.config.name)
    assert not (run.folder / "detect").exists()
    assert not list(run.models.glob("detector*"))
    figures = json.loads((run.folder / "figures.json").read_text())
    assert figures["detected"] is None
    assert figures["grouped"]["cases"] > 0
    assert run.config.title in text
    assert PAPERS[run.config.name].headline in text


def test_a_system_is_run_on_folds_that_are_made_for_its_data(alone):
    run, _ = alone
    assert sorted(run.folds["study_id"]) == sorted(run.competition.study_ids)
    cases = pd.read_csv(run.folder / "cases" / "grouped.csv")
    assert set(cases["study_id"]) <= set(run.competition.study_ids)


def test_a_system_leaves_what_its_paper_shows(alone):
    run, _ = alone
    left_out = {"augmented_samples.png"} if run.config.name == "cnn_coordinates" else set()
    shown = run.folder / SHOWN_FOLDER
    assert {name for name in NAMES if (shown / name).is_file()} == set(NAMES) - left_out
    for path in shown.glob("*.png"):
        image = plt.imread(path)
        assert min(image.shape[:2]) > 200, path.name
        assert image[..., :3].std() > 0.05, path.name


def test_the_tables_beside_the_pictures_say_what_the_figures_say(alone):
    run, _ = alone
    figures = json.loads((run.folder / "figures.json").read_text())
    confusion = pd.read_csv(run.folder / SHOWN_FOLDER / "confusion_matrix.csv")
    for split, rows in confusion.groupby("split"):
        assert rows[figures["classes"]].to_numpy().tolist() == figures[split]["confusion_matrix"]
    history = pd.read_csv(run.folder / SHOWN_FOLDER / "history.csv")
    for split, curves in figures["curves"].items():
        for grader, of in curves.items():
            mine = history[(history["split"] == split) & (history["grader"] == grader)]
            np.testing.assert_allclose(mine["loss"], of["loss"])
    assert "grouped folds" in (run.folder / SHOWN_FOLDER / "classification_report.txt").read_text()


def test_the_report_of_a_system_shows_crops_as_it_saw_them_and_links_its_files(alone):
    run, _ = alone
    page = (run.folder / "report.html").read_text()
    assert 'href="shown/confusion_matrix.png"' in page
    cells = page.partition('<section id="cells">')[2].partition("</section>")[0]
    assert cells.count('aria-label="crop of ') == cells.count('aria-label="Grad-CAM of ') > 0
    assert "the system has no crop of this cell" not in cells


@pytest.mark.parametrize(
    ("config", "command"),
    [
        (CONFIG, f"make system NAME=cnn_lstm CONFIG={CONFIG} DATA="),
        (PUBLISHED / "cnn_lstm.yaml", f"make cv CONFIG={PUBLISHED / 'cnn_lstm.yaml'} DATA="),
    ],
)
def test_what_is_missing_of_a_system_is_made_by_a_command_that_finds_its_config(competition, tmp_path, config, command):
    run = prepare(competition, tmp_path, "cnn_lstm")
    with pytest.raises(ReportError, match=re.escape(f"`{command}{competition.root}` runs them")):
        collect(run, config)


@pytest.mark.parametrize("alone", ["cnn_lstm"], indirect=True)
def test_a_system_that_is_run_again_trains_and_draws_nothing(alone):
    run, text = alone
    before = dated(run.folder, "*.safetensors", "*.png")
    assert run_system(Run(run.config, run.competition, run.folder), CONFIG) == text
    assert dated(run.folder, "*.safetensors", "*.png") == before


def test_data_without_the_series_that_a_system_looks_at_are_refused(competition, tmp_path):
    table = "train_series_descriptions.csv"
    other = without_rows(competition, tmp_path / "sagittal", table, "series_description", "Axial T2")
    message = r"train_series_descriptions\.csv: cnn_lstm looks at Axial T2, which no study has; it has Sagittal T1, Sag"
    with pytest.raises(InputError, match=message):
        run_system(prepare(other, tmp_path, "cnn_lstm"), CONFIG)


def test_data_without_points_of_a_systems_cells_are_refused(competition, tmp_path):
    table, condition = "train_label_coordinates.csv", "Left Subarticular Stenosis"
    other = without_rows(competition, tmp_path / "unmarked", table, "condition", condition)
    with pytest.raises(InputError, match=r"cnn_lstm has nothing to learn from: .*a point in train_label_coordinates"):
        run_system(prepare(other, tmp_path, "cnn_lstm"), CONFIG)


def test_studies_without_a_series_are_named(competition, tmp_path, caplog):
    lacking = competition.study_ids[0]
    root = tmp_path / "some"
    shutil.copytree(competition.root, root, ignore=shutil.ignore_patterns("test_images"))
    path = root / "train_series_descriptions.csv"
    rows = pd.read_csv(path)
    write_table(rows[(rows["study_id"] != lacking) | (rows["series_description"] != "Axial T2")], path)
    run_system(prepare(Competition(root), tmp_path, "cnn_lstm"), CONFIG)
    assert f"1 of 8 studies have no Axial T2 series, the first: {lacking}" in caplog.text


def test_data_of_other_studies_than_the_fold_file_get_folds_of_their_own(competition, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(pd.DataFrame({"study_id": [1, 2], "fold": [0, 1]}), Path("folds/demo.csv"))
    tiny = tiny_run(competition, tmp_path)
    named = tiny.config.model_copy(update={"folds": FoldsConfig(count=2, file=Path("folds/demo.csv"))})
    run = on_own_folds(Run(named, competition, tmp_path / "run"))
    assert run.folds_file == Path("folds/competition.csv"), "the data set's folder is called so"
    write_table(pd.DataFrame({"study_id": competition.study_ids, "fold": 0}), Path("folds/demo.csv"))
    assert on_own_folds(replace(run, config=named)).folds_file == Path("folds/demo.csv")
