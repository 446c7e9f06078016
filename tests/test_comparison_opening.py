"""What a comparison opens and refuses before anything is trained, and the pieces that it is made of."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.baselines.measure import measure_run
from lumbar.baselines.opening import describe_cells, open_main, open_systems
from lumbar.baselines.own_split import choose_rows
from lumbar.comparison import run_compare
from lumbar.config import (
    CellsConfig,
    CompareConfig,
    ConfigError,
    CropConfig,
    GraderConfig,
    ViewConfig,
    merge,
    read_config,
)
from lumbar.data.competition import Competition, read_predictions
from lumbar.data.tables import write_table
from lumbar.errors import InputError
from lumbar.labels import GRADES, LEVELS
from lumbar.run.run import Run
from miniature import small_run, without_rows
from small_systems import CONFIG, SYSTEMS


def test_on_other_data_a_phantoms_config_is_compared_in_a_folder_of_their_name_and_the_phantoms_models_stay(tmp_path):
    data, folder = Competition(tmp_path / "spines"), Path("runs") / "demo"
    demo, real = (read_config(CONFIG.with_name(name)) for name in ("compare.yaml", "rsna2024.yaml"))
    assert open_main(Run(demo, data, folder), data.root).folder == Path("runs") / "spines"
    assert open_main(Run(demo, data, folder), None).folder == folder, "the demo's work is shared"
    assert open_main(Run(real, data, folder), data.root).folder == folder, "and that of a config for data"


def test_a_systems_weights_and_series_are_looked_for_before_the_main_pipeline_is_trained(competition, tmp_path):
    weights = CompareConfig(systems={"cnn_lstm": {"grade": {"weights": "absent.safetensors"}}})
    with pytest.raises(ConfigError, match=r"cnn_lstm: grade\.weights: there is no absent\.safetensors"):
        run_compare(small_run(competition, tmp_path, weights), CONFIG)
    table = "train_series_descriptions.csv"
    sagittal = without_rows(competition, tmp_path / "sagittal", table, "series_description", "Axial T2")
    with pytest.raises(InputError, match=r"cnn_lstm looks at Axial T2, which no study has"):
        run_compare(small_run(sagittal, tmp_path, CompareConfig(systems=SYSTEMS)), CONFIG)
    assert not (tmp_path / "runs").exists()


def test_a_config_that_holds_out_some_folds_is_refused_before_anything_is_trained(trained, tmp_path):
    for file in (trained.config.folds_file, tmp_path / "other.csv"):  # of these studies, and of none
        folds = trained.config.folds.model_copy(update={"held_out": (0,), "file": file})
        config = trained.config.model_copy(update={"folds": folds})
        with pytest.raises(ConfigError, match=r"config tiny: folds\.held_out: expected null, .* needs every fold"):
            run_compare(Run(config, trained.competition, tmp_path / "run"), CONFIG)
        assert not (tmp_path / "run").exists()


def test_the_main_pipeline_is_measured_by_its_answers_out_of_fold_whatever_its_views_and_nets(trained, tmp_path):
    oof = read_predictions(trained.folder / "oof.csv")
    first = oof["row_id"] == trained.scored_labels["row_id"].iloc[0]
    oof.loc[first, list(GRADES)] = (0.4, 0.1, 0.5)  # the best answer where normal or mild is the likeliest
    write_table(oof, tmp_path / "oof.csv")
    views = {"canal": ViewConfig(group="spinal", slices=3, spare=1)}
    graders = {"sequence": GraderConfig(views=("canal",), slices_as="sequence")}
    config = trained.config.model_copy(update={"crop": CropConfig(views=views), "graders": graders})
    figures = measure_run(Run(config, trained.competition, tmp_path))
    rows = trained.scored_labels.merge(oof, on="row_id")
    right = (rows[list(GRADES)] / (1, 2, 4)).to_numpy().argmax(axis=1) == rows["grade"]
    assert figures["detected"]["accuracy"] == pytest.approx(right.mean())
    assert pd.read_csv(tmp_path / "cases" / "detected.csv")["predicted"].iloc[0] == "normal_mild"
    assert figures["own_split"] is figures["grouped"] is None
    assert {path.name for path in tmp_path.iterdir()} == {"oof.csv", "cases", "figures.json"}, "no crop is cut anew"


def test_a_config_that_names_no_system_means_all_of_them_as_published(trained):
    systems = open_systems(Run(trained.config, trained.competition, trained.folder), CONFIG)
    assert list(systems) == sorted(SYSTEMS)
    assert systems["cnn_lstm"].config.grade.image_size == 128


def test_an_unknown_system_lists_the_known_ones(trained):
    config = trained.config.model_copy(update={"compare": CompareConfig(systems={"resnet": {}})})
    with pytest.raises(
        ConfigError, match=r"resnet: there is no .*resnet\.yaml; there are classical_forest, classical_svm, cnn_c"
    ):
        open_systems(Run(config, trained.competition, trained.folder), CONFIG)
    with pytest.raises(ConfigError, match=r"resnet: there is no .*; there are classical_forest"):
        open_systems(Run(config, trained.competition, trained.folder), CONFIG, wanted=["cnn_lstm"])


def test_a_mistake_in_what_a_system_changes_is_named(trained):
    config = trained.config.model_copy(update={"compare": CompareConfig(systems={"cnn_lstm": {"grade": {"epoch": 1}}})})
    with pytest.raises(
        ConfigError, match=r"compare\.yaml: compare\.systems\.cnn_lstm\.grade\.epoch: there is no such key"
    ):
        open_systems(Run(config, trained.competition, trained.folder), CONFIG)


def test_at_full_size_a_system_is_as_its_paper_has_it(trained):
    config = trained.config.model_copy(update={"compare": CompareConfig(systems=SYSTEMS)})
    systems = open_systems(Run(config, trained.competition, trained.folder), CONFIG, full_size=True)
    assert systems["inception_two_head"].config.grade.image_size == 299
    assert systems["five_block_cnn"].config.grade.epochs == 25
    assert {run.config.folds_file for run in systems.values()} == {trained.config.folds_file}


def test_changes_reach_into_sections():
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "e": 4}) == {"a": {"b": 9, "c": 2}, "d": 3, "e": 4}


def test_a_smaller_data_set_is_one_of_fewer_whole_studies():
    index = pd.DataFrame({"study_id": np.repeat(np.arange(10), 5)})
    rows = choose_rows(index, np.arange(50), 21, seed=0)
    studies = index["study_id"].iloc[rows]
    assert len(rows) == 25
    assert studies.value_counts().tolist() == [5] * 5


def test_cells_are_described_in_a_few_words():
    assert describe_cells(CellsConfig()) == "all conditions, all levels"
    some = CellsConfig(conditions=("spinal_canal_stenosis", "left_subarticular_stenosis"), levels=LEVELS[3:])
    assert describe_cells(some) == "spinal, left subarticular, L4/L5, L5/S1"
