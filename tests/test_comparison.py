"""The comparison: every system on the same studies, folds and detector, its own figures beside the metric."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.baselines.layers import build_bare, count_all
from lumbar.baselines.opening import open_systems
from lumbar.baselines.papers import PAPERS
from lumbar.comparison import run_compare
from lumbar.config import CompareConfig
from lumbar.data.annotations import annotated_points
from lumbar.data.competition import split_row_ids
from lumbar.data.priors import nested_prior
from lumbar.data.tables import write_table
from lumbar.labels import GRADES
from lumbar.report.collect import collect
from lumbar.report.system_names import SHOWN_FOLDER
from lumbar.report.systems import TESTED
from lumbar.run.run import MAIN, Run
from lumbar.run.stamps import stage_seconds
from lumbar.submit.stage import predict_submission
from miniature import dated
from small_systems import CONFIG, FAST, SYSTEMS

CLASSICAL = ("classical_svm", "classical_forest")
"""Rows that are no paper's, without a split of their own."""


@pytest.fixture(scope="module")
def compared(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished comparison in miniature."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    shutil.copytree(trained.folder, folder)
    # The detector of two epochs finds next to nothing; a perfect one finds what is annotated.
    perfect = annotated_points(trained.competition, trained.folds, jobs=1)[0].assign(source="detected")
    write_table(perfect, folder / "detect" / "points.csv")
    config = trained.config.model_copy(update={"compare": CompareConfig(systems=SYSTEMS)})
    main = Run(config, trained.competition, folder)
    run_compare(main, CONFIG)
    return main


@pytest.fixture(scope="module")
def rows(compared: Run) -> pd.DataFrame:
    """The comparison's table."""
    return pd.DataFrame(json.loads((compared.folder / "compare.json").read_text())).set_index("system")


def test_every_system_has_a_row_in_the_configs_order(rows):
    assert rows.index.tolist() == ["main", *SYSTEMS]
    assert rows.loc["main", "difference"] == 0
    assert rows.loc["main", "difference_ci95"] == [0, 0]
    assert rows["cells_a_study"].tolist() == [25, 1, 5, 25, 25, 5, 25, 25]


def test_a_row_says_what_the_table_needs(rows):
    assert rows["cells"].tolist()[:3] == [
        "all conditions, all levels",
        "left subarticular, L4/L5",
        "left subarticular, all levels",
    ]
    assert (rows["parameters"] >= rows["trainable"]).all()
    assert rows.loc["vgg16_frozen", "trainable"] < rows.loc["vgg16_frozen", "parameters"] / 10
    for name in ("own_accuracy_own_split", "own_accuracy_grouped", "own_accuracy_detected", "most_frequent_class"):
        assert rows[name].dropna().between(0, 1).all(), name
    assert np.isfinite(rows[["seconds", "score", "excess", "difference"]].to_numpy(dtype=float)).all()


def test_parameters_are_counted_as_the_list_of_systems_counts_them(compared, rows):
    systems = open_systems(compared, CONFIG)
    counted = {name: count_all(build_bare(systems[name].config)) for name in PAPERS}
    assert rows.loc[list(PAPERS), "parameters"].to_dict() == counted


def test_the_seconds_of_a_systems_own_split_stand_beside_those_of_its_stages(compared, rows):
    spent = stage_seconds(compared.folder / "cnn_lstm" / "own_split")
    assert rows.loc["cnn_lstm", "seconds_own_split"] == spent > 0
    assert set(rows.index[rows["seconds_own_split"].isna()]) == {"main", *CLASSICAL}
    line = next(line for line in (compared.folder / "compare.txt").read_text().splitlines() if "cnn_lstm" in line)
    assert re.split(" {2,}", line)[4] == f"{spent:.0f}"


def test_differences_are_those_of_the_scores(rows):
    np.testing.assert_allclose(rows["difference"], rows["score"] - rows.loc["main", "score"])


def test_an_accuracy_that_was_not_measured_is_a_dash(compared, rows):
    lacking = {kind: set(rows.index[rows[f"own_accuracy_{kind}"].isna()]) for kind in TESTED}
    assert lacking["own_split"] == {"main", *CLASSICAL}
    assert lacking["grouped"] == {"main"}, "whose answers are at the detector's points"
    assert lacking["detected"] == {"five_block_cnn"}, "clustered points are the paper's own"
    heads, *lines = (re.split(" {2,}", line) for line in (compared.folder / "compare.txt").read_text().splitlines())
    told = {cells[0]: dict(zip(heads, cells, strict=False)) for cells in lines[: len(rows)]}
    assert told["classical_svm"]["own split"] == told["five_block_cnn"]["detected"] == "-"
    assert told["main"]["grouped"] == "-" != told["main"]["detected"]


def test_a_system_takes_the_prior_for_the_cells_it_leaves_out(compared):
    oof = pd.read_csv(compared.folder / "cnn_lstm" / "oof.csv").set_index("row_id")[list(GRADES)]
    nested = nested_prior(compared.competition.labels, compared.folds).set_index("row_id").loc[oof.index]
    own = oof.index.str.contains("left_subarticular_stenosis_l4_l5")
    np.testing.assert_allclose(oof[~own], nested[~own], atol=1e-3)
    assert own.sum() == len(compared.competition.study_ids)
    assert np.abs(oof[own] - nested[own]).to_numpy().max() > 1e-3


def test_every_run_leaves_its_figures(compared, rows):
    for name, row in rows.iterrows():
        figures = json.loads((Path(row["folder"]) / "figures.json").read_text())
        assert figures["classes"] == row["classes"]
        copied = ["own_split_copied"] if name == "five_block_cnn" else []
        own = [] if name in ("main", *CLASSICAL) else ["own_split"]
        grouped = [] if name == "main" else ["grouped"]
        detected = [] if name == "five_block_cnn" else ["detected"]
        for kind in (*grouped, *detected, *own, *copied):
            part = figures[kind]
            assert sum(map(sum, part["confusion_matrix"])) == part["cases"] == sum(part["class_counts"].values())
            assert set(figures["classes"]) < set(part["classification_report"])
        for curves in (figures["curves"]["grouped"] | figures["curves"]["own_split"]).values():
            assert len(curves["loss"]) == len(curves["accuracy"]) >= 1
            assert len(curves["watched_loss"]) == (len(curves["loss"]) if own else 0)


def test_the_cases_say_what_was_seen(compared):
    cases = pd.read_csv(compared.folder / "cnn_lstm" / "cases" / "grouped.csv")
    assert (
        cases["sentence"].str.fullmatch(r"(normal or mild|moderate|severe) left subarticular stenosis at L4/L5").all()
    )
    two_heads = pd.read_csv(compared.folder / "inception_two_head" / "cases" / "grouped.csv")
    assert set(two_heads["level_right"].dropna()) <= {0, 1}
    assert (
        two_heads["sentence"]
        .str.fullmatch(r"healthy|(left |right )?(spinal|neural|subarticular) .* at L\d/[LS]\d")
        .all()
    )


def test_the_healthy_images_of_two_heads_are_the_slices_without_an_annotation(compared):
    cases = pd.read_csv(compared.folder / "inception_two_head" / "cases" / "grouped.csv")
    competition, healthy = compared.competition, cases["truth"] == "healthy"
    files = sum(1 for path in (competition.root / "train_images").glob("*/*/*") if path.is_file())
    marked = competition.coordinates[["series_id", "instance_number"]].drop_duplicates()
    assert healthy.sum() == files - len(marked)
    assert cases.loc[healthy, "level_right"].isna().all()
    cells = split_row_ids(cases.loc[~healthy, "row_id"])
    assert (cells["condition"] == cases.loc[~healthy, "truth"]).all(), "whatever its grade"


def test_no_study_is_on_both_sides_of_a_fold_and_some_are_of_a_papers_split(compared):
    own = pd.read_csv(compared.folder / "inception_two_head" / "own_split" / "cases.csv")
    grouped = pd.read_csv(compared.folder / "inception_two_head" / "cases" / "grouped.csv")
    assert len(own) < len(grouped) / 3
    assert own["study_id"].nunique() > 2, "the rows of one part are of many studies"


def test_crops_as_they_are_of_every_grade_are_tested_whether_copies_of_them_are_trained_on_or_not(compared):
    folder = compared.folder / "five_block_cnn" / "own_split"
    apart, copied = (pd.read_csv(folder / f"{name}.csv") for name in ("cases", "cases_copied"))
    keys = ["row_id", "copy", "truth"]
    pd.testing.assert_frame_equal(apart[keys], copied[keys])
    counts = apart["truth"].value_counts()
    assert set(counts.index) == set(GRADES)
    assert len(set(counts)) == 1
    assert 1 <= counts.iloc[0] <= 3, "of a rare grade no more than its share"
    assert not apart["copy"].any()
    assert not np.allclose(apart[list(GRADES)], copied[list(GRADES)]), "two trainings"
    grouped = pd.read_csv(compared.folder / "five_block_cnn" / "cases" / "grouped.csv")
    assert len(set(grouped["truth"].value_counts())) == 1, "the folds are tested the same way"


def test_as_many_rows_are_trained_on_in_both_splits(compared, rows):
    for name in ("cnn_coordinates", "vgg16_frozen", "inception_two_head"):
        (path,) = (compared.folder / name / "own_split").glob("*_part0.json")
        trained_on = json.loads(path.read_text())["details"]["crops"]
        cases = pd.read_csv(compared.folder / name / "cases" / "grouped.csv")
        # Whole studies are taken, of which the split leaves a share for testing.
        of_a_study = int(cases["study_id"].value_counts().max())
        assert trained_on == pytest.approx(rows.loc[name, "training_rows"], abs=of_a_study), name


def test_a_second_comparison_trains_and_draws_nothing(compared):
    before, text = dated(compared.folder, "*.safetensors", "*.png"), (compared.folder / "compare.txt").read_text()
    assert run_compare(Run(compared.config, compared.competition, compared.folder), CONFIG) + "\n" == text
    assert dated(compared.folder, "*.safetensors", "*.png") == before


def test_some_systems_can_be_compared_and_those_that_are_finished_train_nothing(compared, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(compared.folder, folder)
    shutil.rmtree(folder / "cnn_coordinates")
    before = dated(folder, "*.safetensors")
    run_compare(Run(compared.config, compared.competition, folder), CONFIG, wanted=["cnn_coordinates", "cnn_lstm"])
    rows = json.loads((folder / "compare.json").read_text())
    assert [row["system"] for row in rows] == ["main", "cnn_coordinates", "cnn_lstm"]
    assert before.items() <= dated(folder, "*.safetensors").items()
    assert list((folder / "cnn_coordinates").rglob("*.safetensors"))


def test_every_system_leaves_what_its_paper_shows(compared):
    for name in SYSTEMS:
        assert (compared.folder / name / SHOWN_FOLDER / "confusion_matrix.png").is_file()
        assert (compared.folder / name / SHOWN_FOLDER / "gradcam.png").is_file()


def test_a_system_with_too_little_to_train_on_still_has_a_row(compared, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(compared.folder, folder)
    systems = {"cnn_lstm": SYSTEMS["cnn_lstm"] | {"grade": FAST | {"batch_size": 64}}}
    config = compared.config.model_copy(update={"compare": CompareConfig(systems=systems)})
    run_compare(Run(config, compared.competition, folder), CONFIG)
    row = json.loads((folder / "compare.json").read_text())[1]
    assert row["own_accuracy_own_split"] is row["own_accuracy_grouped"] is None
    prior = json.loads((folder / "cv.json").read_text())["prior"]["score"]
    assert row["score"] == pytest.approx(prior, abs=0.05), "but for the floor of what is submitted"


@pytest.mark.parametrize(
    ("name", "graded"), [("inception_two_head", 25), ("five_block_cnn", 5), ("classical_forest", 25)]
)
def test_a_system_can_be_submitted(compared, tmp_path, name, graded):
    models = tmp_path / "models"
    shutil.copytree(compared.folder / name / "models", models)
    for path in compared.models.glob("detector_fold*"):
        shutil.copy(path, models)
    report = predict_submission(models, compared.competition, tmp_path / "work", tmp_path / "submission.csv")
    cells = {row.partition("_")[2] for row in report["fallback"]}
    assert report["rows"] == 25 * report["studies"]
    # What the system does not grade always falls back; the rest does where the miniature's detector finds nothing.
    assert (25 - graded) * report["studies"] <= report["rows_from_prior"] < report["rows"]
    assert graded == 25 or not any("spinal" in cell for cell in cells)


def test_the_report_finds_the_figures_of_every_system_and_of_the_main_pipeline(compared):
    assert set(collect(compared, CONFIG).compared.figures) == {MAIN, *SYSTEMS}
    assert "Five-block CNN" in (compared.folder / "report.html").read_text(), "and the comparison has written it"
