"""`lumbar ensemble` as a user runs it: fit, apply, its refusals, and the stage of a run."""

import gzip
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lumbar import cli
from lumbar.data.competition import read_predictions
from lumbar.data.priors import read_prior
from lumbar.ensemble import average_predictions
from lumbar.ensemble.apply import apply_ensemble
from lumbar.ensemble.model import read_model
from lumbar.labels import CELLS, GRADES, grade_title
from lumbar.pipeline import format_table, run_through, score_run
from lumbar.run.run import Run
from lumbar.run.stamps import stamped
from simulated import Maker, simulate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A train.csv, folds and two members of 24 studies, one of them gzipped."""
    root = tmp_path_factory.mktemp("ensemble")
    simulation = simulate({"a": Maker(0.5), "b": Maker(0.8)}, studies=24, folds=3, seed=1)
    grades = pd.DataFrame(simulation.truth.grades, columns=list(CELLS)).map(lambda grade: grade_title(GRADES[grade]))
    grades.insert(0, "study_id", simulation.members.study_ids)
    grades.to_csv(root / "train.csv", index=False)
    simulation.folds.to_csv(root / "folds.csv", index=False)
    simulation.tables["a"].to_csv(root / "a.csv", index=False)
    (root / "b.csv.gz").write_bytes(gzip.compress(simulation.tables["b"].to_csv(index=False).encode()))
    return root


def fit_words(folder, out, *members) -> list[str]:
    options = ["--labels", str(folder / "train.csv"), "--folds", str(folder / "folds.csv")]
    return ["ensemble", "fit", *options, "--predictions", *map(str, members), "--out", str(out)]


@pytest.fixture(scope="module")
def fitted(folder):
    """The folder that `fit` wrote."""
    result = CliRunner().invoke(cli.app, fit_words(folder, folder / "out", folder / "a.csv", folder / "b.csv.gz"))
    assert result.exit_code == 0, result.output
    assert "ensemble - mean: +0.0000 (+0.0000 to +0.0000): none, the interval contains 0" in result.stdout
    return folder / "out"


def test_fit_writes_the_model_the_nested_rows_and_a_report(fitted):
    assert read_model(fitted / "ensemble.json").members == ("a", "b")
    assert len(read_predictions(fitted / "oof.csv")) == 24 * 25
    report = json.loads((fitted / "report.json").read_text())
    assert report["method"] == "mean"
    assert report["weights"]["spinal"] == {"a": 0.5, "b": 0.5}
    assert {row["member"] for row in report["without_member"]} == {"a", "b"}


def test_predictions_may_be_named_in_one_option_or_in_several(folder, fitted, tmp_path):
    words = fit_words(folder, tmp_path, folder / "b.csv.gz", "--predictions", folder / "a.csv")
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    assert (tmp_path / "ensemble.json").read_bytes() == (fitted / "ensemble.json").read_bytes()


def test_a_runs_members_are_called_after_their_folders(folder, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "a.csv", tmp_path / name / "oof.csv")
    words = fit_words(folder, tmp_path / "out", tmp_path / "one" / "oof.csv", tmp_path / "other" / "oof.csv")
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    assert read_model(tmp_path / "out" / "ensemble.json").members == ("one", "other")


def test_apply_predicts_from_the_members_that_are_there(folder, fitted, tmp_path):
    words = ["ensemble", "apply", "--model", str(fitted), "--out", str(tmp_path / "x.csv"), "--predictions"]
    both = CliRunner().invoke(cli.app, [*words, str(folder / "a.csv"), str(folder / "b.csv.gz")])
    assert both.exit_code == 0
    members = [read_predictions(folder / name).sort_values("row_id") for name in ("a.csv", "b.csv.gz")]
    applied = read_predictions(tmp_path / "x.csv").sort_values("row_id")
    mean = np.mean([member[list(GRADES)].to_numpy() for member in members], axis=0)
    np.testing.assert_allclose(applied[list(GRADES)], mean, atol=1e-4)
    one = CliRunner().invoke(cli.app, [*words, str(folder / "a.csv")])
    assert "without b" in one.stdout


def test_apply_writes_the_rows_that_are_asked_for_and_the_prior_where_no_member_has_one(folder, fitted, tmp_path):
    member = read_predictions(folder / "a.csv")
    asked = [*member["row_id"].iloc[[30, 2]], "77_spinal_canal_stenosis_l4_l5"]
    pd.DataFrame({"row_id": asked}).to_csv(tmp_path / "sample.csv", index=False)
    words = ["ensemble", "apply", "--model", str(fitted), "--out", str(tmp_path / "x.csv")]
    words += ["--rows", str(tmp_path / "sample.csv"), "--predictions", str(folder / "a.csv")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert "1 of 3 rows by the prior" in done.stdout
    applied = read_predictions(tmp_path / "x.csv")
    assert applied["row_id"].tolist() == asked
    prior = read_prior(fitted / "prior.csv").set_index(["condition", "level"])
    expected = prior.loc[("spinal_canal_stenosis", "l4_l5"), list(GRADES)].to_numpy(dtype=float)
    np.testing.assert_allclose(applied[list(GRADES)].to_numpy()[2], expected, atol=1e-6)


def refusal(monkeypatch, capsys, words: list[str]) -> str:
    """What the command says when it refuses."""
    monkeypatch.setattr(sys, "argv", ["lumbar", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_prediction_of_a_study_without_a_fold_is_refused(folder, tmp_path, monkeypatch, capsys):
    lines = (folder / "a.csv").read_text() + "99_spinal_canal_stenosis_l1_l2,0.5,0.3,0.2\n"
    (tmp_path / "a.csv").write_text(lines)
    error = refusal(monkeypatch, capsys, fit_words(folder, tmp_path / "out", tmp_path / "a.csv"))
    assert error.startswith(f"lumbar: {tmp_path / 'a.csv'}: row '99_spinal_canal_stenosis_l1_l2': the study is not in")
    assert not (tmp_path / "out").exists()


def test_two_members_of_the_same_name_are_refused(folder, tmp_path, monkeypatch, capsys):
    shutil.copy(folder / "a.csv", tmp_path / "a.csv")
    error = refusal(monkeypatch, capsys, fit_words(folder, tmp_path / "out", folder / "a.csv", tmp_path / "a.csv"))
    assert f"{folder / 'a.csv'} is called a already" in error


def test_a_file_that_is_no_member_of_the_ensemble_is_refused(folder, fitted, tmp_path, monkeypatch, capsys):
    shutil.copy(folder / "a.csv", tmp_path / "stranger.csv")
    words = ["ensemble", "apply", "--model", str(fitted), "--predictions", str(tmp_path / "stranger.csv")]
    error = refusal(monkeypatch, capsys, [*words, "--out", str(tmp_path / "x.csv")])
    assert f"{tmp_path / 'stranger.csv'}: the ensemble's members are a, b" in error


def test_the_runs_stage_leaves_a_model_that_gives_its_members_rows_back(trained):
    members = {path.parent.name: read_predictions(path) for path in (trained.folder / "predictions").glob("*/oof.csv")}
    applied = apply_ensemble(read_model(trained.models / "ensemble.json"), members)
    out_of_fold = read_predictions(trained.folder / "ensemble" / "oof.csv")
    both = applied.merge(out_of_fold, on="row_id", suffixes=("", "_oof"), validate="one_to_one")
    assert len(both) == len(applied) == sum(map(len, members.values()))
    plain = average_predictions(members.values()).set_index("row_id").loc[both["row_id"]]
    for suffix in ("", "_oof"):
        np.testing.assert_allclose(both[[f"{grade}{suffix}" for grade in GRADES]], plain[list(GRADES)], atol=1e-4)


def test_the_cross_validation_table_says_that_eight_studies_get_the_plain_mean(trained):
    result = json.loads((trained.folder / "cv.json").read_text())
    assert result["ensemble"]["method"] == "mean"
    assert "ensemble - mean: +0.0000 (+0.0000 to +0.0000): none, the interval contains 0" in format_table(result)


def test_the_stage_runs_again_when_a_members_predictions_change_and_only_then(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    run = Run(trained.config, trained.competition, folder)
    before = stamped(folder / "ensemble")
    run_through(run)
    assert stamped(folder / "ensemble") == before
    path = folder / "predictions" / "spinal" / "oof.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    run_through(run)
    assert stamped(folder / "ensemble") != before
    assert read_model(run.models / "ensemble.json").groups["spinal"].weights == {"spinal": 1.0}
    assert score_run(run)["ensemble"]["weights"]["spinal"] == {"spinal": 1.0}


def test_the_ensemble_command_alone_is_the_runs_stage(tmp_path, monkeypatch, capsys):
    (tmp_path / "x.yaml").write_text("{}\n")
    words = ["ensemble", "--config", str(tmp_path / "x.yaml"), "--data", str(tmp_path)]
    assert "expected a folder in the competition's layout" in refusal(monkeypatch, capsys, words)


def test_a_member_may_not_be_called_as_all_of_them_together_are(folder, tmp_path, monkeypatch, capsys):
    shutil.copy(folder / "a.csv", tmp_path / "pool.csv")
    error = refusal(monkeypatch, capsys, fit_words(folder, tmp_path / "out", folder / "a.csv", tmp_path / "pool.csv"))
    assert f"{tmp_path / 'pool.csv'}: 'pool' is what an ensemble calls all its members together" in error
