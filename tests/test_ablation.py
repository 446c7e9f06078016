"""An ablation: rows that differ in one thing, scored in expectation; one fold held out; and labels that are doubted."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.ablation import Judge, Row, format_rows, run_ablation
from lumbar.config import Config, ConfigError, read_saved_config
from lumbar.config.run import AblationConfig
from lumbar.crop.stage import view_made_from
from lumbar.data.competition import read_labels
from lumbar.ensemble import average_predictions
from lumbar.ensemble.members import tabulate
from lumbar.grade.noise import find_suspects, measure_suspects, weigh_labels
from lumbar.metric import score_losses, study_losses
from lumbar.phantom.check import simulate_labels
from lumbar.phantom.expected import expected_losses
from lumbar.phantom.grades import best_answer, draw_grades, grade_of
from lumbar.pipeline import run_through, score_run
from lumbar.report.page import write_report
from lumbar.run.run import Run
from lumbar.submit.cards import find_gaps
from miniature import dated


def table_of(answers: np.ndarray) -> pd.DataFrame:
    """Answers (studies, 25, 3) of studies 0, 1, ... in submission format."""
    return tabulate(answers, range(len(answers)))


def test_the_expected_score_is_the_mean_over_labels_that_could_have_been_given():
    simulated = simulate_labels(300, seed=0)
    best = table_of(best_answer(simulated.latents))
    said = table_of(best_answer(0.7 * simulated.latents))
    expected = score_losses(expected_losses(simulated.labels, best, said))
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(60):
        grades = np.stack([draw_grades(rng, each) for each in simulated.latents])
        drawn.append(study_losses(simulated.labels.assign(grade=grades.ravel()), said))
    sums = sum(table.sum() for table in drawn)
    for name, value in expected.components.items():
        assert value == pytest.approx(sums[name, "loss"] / sums[name, "weight"], rel=0.025), name


def test_in_expectation_nothing_scores_better_than_the_best_answer():
    simulated = simulate_labels(200, seed=3)
    best = table_of(best_answer(simulated.latents))
    score = score_losses(expected_losses(simulated.labels, best, best)).components
    for factor in (0.9, 1.1):
        other = table_of(best_answer(factor * simulated.latents))
        worse = score_losses(expected_losses(simulated.labels, best, other)).components
        assert all(worse[group] > score[group] for group in ("spinal", "foraminal", "subarticular"))


ROWS = {
    "spinal": {"views": "spinal"},
    "other": {"views": "spinal", "mixup": 0.5, "points": "either"},
}


@pytest.fixture(scope="module")
def held_out(trained, tmp_path_factory) -> Run:
    """The session's run with one fold held out, and its detectors taken over."""
    folder = tmp_path_factory.mktemp("held_out")
    shutil.copytree(trained.folder / "detect", folder / "ablation" / "detect")
    (folder / "ablation" / "models").mkdir()
    for path in (trained.folder / "run.json", *trained.models.glob("detector_*")):
        shutil.copy2(path, folder / "ablation" / path.relative_to(trained.folder))
    values = trained.config.model_dump(mode="json")
    views = {"spinal": values["crop"]["views"]["spinal"]}
    changes = {
        "name": "ablation",
        "folds": {**values["folds"], "held_out": [0]},
        "crop": {"views": views},
        "grade": {**values["grade"], "points": "annotated", "seeds": 2},
        "graders": ROWS,
        "ablation": {"means": {"both": ["spinal", "other"]}},
    }
    config = Config.model_validate({**values, **changes})
    return replace(trained, config=config, folder=folder / "ablation")


def test_an_ablation_has_a_row_for_each_grader_and_mean_beside_the_first(held_out):
    text = run_ablation(held_out)
    lines = [line.split() for line in text.splitlines()]
    assert [line[0] for line in lines] == ["row", "spinal", "other", "both"]
    assert "+0.0000" in lines[1], "the first differs from itself by nothing"
    assert (held_out.folder / "ablation.json").is_file()
    kept = dated(held_out.models, "[!d]*.safetensors")
    assert len(kept) == 4, "two seeds of two graders, of the fold that is held out"
    assert run_ablation(held_out) == text
    assert kept.items() <= dated(held_out.models, "*.safetensors").items()


def test_an_ablation_crops_at_another_runs_points_and_never_makes_those_anew_for_folds_of_its_own(
    held_out, trained, tmp_path
):
    shutil.copytree(trained.folder, tmp_path / "bench")
    before = dated(tmp_path / "bench" / "detect", "*")
    served = AblationConfig(detected_by="bench")
    rows = {"spinal": trained.config.trained_graders["spinal"]}
    changes = {"ablation": served, "graders": rows, "crop": held_out.config.crop}
    of_one_fold = held_out.config.model_copy(update={"ablation": served})
    with pytest.raises(ConfigError, match=r"detected_by: .*bench has points of another kind \(folds\)"):
        run_ablation(replace(held_out, config=of_one_fold, folder=tmp_path / "other"))
    run = replace(trained, config=trained.config.model_copy(update=changes), folder=tmp_path / "same")
    assert [line.split()[0] for line in run_ablation(run).splitlines()] == ["row", "spinal"]
    assert not (run.folder / "detect").exists()
    assert dated(tmp_path / "bench" / "detect", "*") == before


def test_a_row_that_has_graded_nothing_is_told_without_figures(held_out):
    judge = Judge.of(held_out)
    base = Row("base", [judge.oracle], 1.0)
    nothing = judge.describe(Row("nothing", [judge.oracle.iloc[:0]], 1.0), base)
    assert nothing["score"] is None
    assert format_rows([judge.describe(base, base), nothing]).splitlines()[2].split()[2:8] == ["-"] * 6


def test_an_ablation_on_other_data_than_a_phantom_is_judged_by_the_labels(held_out):
    judge = replace(Judge.of(held_out), oracle=None)
    row = Row("prior", [judge.prior, judge.prior], 1.0)
    told = judge.describe(row, row)
    labels = judge.labels[judge.labels["row_id"].isin(judge.prior["row_id"])]
    score = score_losses(study_losses(labels, judge.prior)).score
    assert told["score"] == pytest.approx(score)
    assert told["by_seed"] == pytest.approx([score, score])
    assert told["expected"] is None
    assert "excess" not in format_rows([told])


def test_one_fold_held_out_is_scored_alone_and_its_ensemble_never_judged_by_what_it_saw(held_out, tmp_path):
    run = replace(held_out, folder=tmp_path / "run")
    assert run.fold_numbers == [0]
    studies = run.held_out["study_id"].tolist()
    assert studies == run.studies_of(0)
    assert len(set(run.parts["fold"])) > 1
    run_through(run)
    result = score_run(run)
    assert result["studies"] == len(studies)
    assert set(result["folds"]) == {0}
    assert {path.stem for path in run.models.glob("detector_*.json")} == {"detector_fold0"}
    assert read_saved_config(run.models / "config.json").folds.held_out == (0,)
    assert list(find_gaps(run.models)) == []
    assert (run.folder / "oof.csv").is_file()
    assert "Score" in write_report(run, Path("held_out.yaml"), 0).read_text(encoding="utf-8")


def test_an_added_grader_retrains_no_other_and_an_added_view_cuts_no_other(held_out, tmp_path):
    shutil.copytree(held_out.folder.parent, tmp_path / "runs")
    run = replace(held_out, folder=tmp_path / "runs" / "ablation")
    run_ablation(run)
    watched = [*run.models.glob("*.safetensors"), run.folder / "crop" / "spinal" / "pixels.npy"]
    before = {path: path.stat().st_mtime_ns for path in watched}
    view = run.config.crop.views["spinal"].model_copy(update={"series": "Axial T2"})
    crop = run.config.crop.model_copy(update={"views": {**run.config.crop.views, "axial": view}})
    graders = {**run.config.graders, "axial": run.config.graders["spinal"].model_copy(update={"views": ("axial",)})}
    run_ablation(replace(run, config=run.config.model_copy(update={"crop": crop, "graders": graders})))
    assert {path: path.stat().st_mtime_ns for path in watched} == before
    assert (run.models / "axial_fold0.safetensors").is_file()


def test_a_grader_at_annotated_points_has_no_other_view_cut_there(trained):
    graders = trained.config.trained_graders
    detected = {name: grader.model_copy(update={"points": "detected"}) for name, grader in graders.items()}
    before, after = (
        replace(trained, config=trained.config.model_copy(update={"graders": each}))
        for each in (detected, {**detected, "spinal": graders["spinal"].model_copy(update={"points": "either"})})
    )
    same = {view: view_made_from(after, view) == view_made_from(before, view) for view in trained.config.crop.views}
    assert same == {"spinal": False, "foraminal": True, "subarticular": True}


def test_means_are_of_the_members_that_have_a_cell():
    whole = pd.DataFrame({"row_id": ["a", "b"], "normal_mild": 0.7, "moderate": 0.1, "severe": 0.2})
    part = pd.DataFrame({"row_id": ["a"], "normal_mild": 0.5, "moderate": 0.1, "severe": 0.4})
    assert average_predictions([whole, part])["severe"].tolist() == pytest.approx([0.3, 0.2])


# Labels that are doubted


def test_suspect_labels_are_mostly_those_that_noise_has_changed():
    simulated = simulate_labels(600, seed=4)
    truth = pd.DataFrame({"row_id": simulated.labels["row_id"]})
    truth["grade"] = [grade for each in simulated.latents for grade in grade_of(each)]
    suspects = find_suspects(simulated.labels, table_of(best_answer(simulated.latents)))
    found = measure_suspects(simulated.labels, suspects, truth)
    share = found.wrong / len(simulated.labels)
    assert found.precision > 4 * share, "far better than choosing labels at random"
    assert 0.2 < found.recall < 1
    assert (suspects["margin"].diff().dropna() <= 0).all(), "the surest come first"
    assert (suspects["grade"] != suspects["likelier"]).all()


def test_a_suspect_label_counts_less_in_training_and_no_other_does():
    index = pd.DataFrame({"row_id": ["a", "b", "c"]})
    weighed = weigh_labels(index, pd.DataFrame({"row_id": ["b"]}), 0.25)
    assert weighed["label_weight"].tolist() == [1.0, 0.25, 1.0]


def test_the_truth_that_a_phantom_hides_is_of_its_training_cells(competition):
    truth = pd.read_csv(Path(competition.root) / "hidden" / "train_truth.csv")
    labels = read_labels(competition.root / "train.csv").merge(truth, on="row_id", suffixes=("", "_true"))
    assert len(truth) == 25 * len(competition.study_ids)
    assert 0.6 < (labels["grade"] == labels["grade_true"]).mean() < 1
