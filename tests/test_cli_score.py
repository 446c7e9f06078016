"""The `score` command: what it prints, and how it refuses."""

import json
import sys
from math import log

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lumbar import cli
from lumbar.data.competition import read_labels, read_predictions
from lumbar.labels import CELLS
from lumbar.metric import score


@pytest.fixture
def tables(tmp_path):
    """A train.csv of two studies, and a submission that lacks none of their rows."""
    header = ",".join(["study_id", *CELLS])
    (tmp_path / "train.csv").write_text(f"{header}\n1{',Severe' * 25}\n2{',Normal/Mild' * 25}\n")
    rows = [f"{study}_{cell},0.2,0.3,0.5" for study in (1, 2) for cell in CELLS]
    (tmp_path / "sub.csv").write_text("\n".join(["row_id,normal_mild,moderate,severe", *rows]) + "\n")
    return tmp_path


def arguments(tables, *more: str) -> list[str]:
    """The score command on them."""
    return ["score", "--labels", str(tables / "train.csv"), "--predictions", str(tables / "sub.csv"), *more]


def test_the_score_command_prints_the_score_and_its_components(tables):
    result = CliRunner().invoke(cli.app, arguments(tables))
    assert result.exit_code == 0
    expected = -(4 * log(0.5) + log(0.2)) / 5
    assert f"foraminal          {expected:.6f}" in result.stdout
    assert "over 2 studies" in result.stdout


def test_the_score_command_prints_json_that_agrees_with_the_library(tables):
    printed = json.loads(CliRunner().invoke(cli.app, arguments(tables, "--json")).stdout)
    expected = score(read_labels(tables / "train.csv"), read_predictions(tables / "sub.csv"))
    assert printed["score"] == pytest.approx(expected.score)
    assert printed["studies"] == 2
    assert printed["ci95"][0] <= printed["score"] <= printed["ci95"][1]


def test_rows_that_do_not_sum_to_one_are_told_of_with_the_score_that_they_would_have(tables):
    honest = json.loads(CliRunner().invoke(cli.app, arguments(tables, "--json")).stdout)
    lines = (tables / "sub.csv").read_text().splitlines()
    doubled = [",".join([row_id, *(str(2 * float(share)) for share in shares)]) for row_id, *shares in split(lines[1:])]
    (tables / "sub.csv").write_text("\n".join([*lines[:2], *doubled[1:]]) + "\n")
    result = CliRunner().invoke(cli.app, arguments(tables))
    first = doubled[1].partition(",")[0]
    warning = f"warning: 49 of 50 rows do not sum to 1, the first, '{first}', to 2. Kaggle's metric scales rows"
    assert result.exit_code == 0
    assert f"lumbar: {warning}" in result.stderr
    own, _, scaled = result.stdout.partition(f"\n{warning}")
    assert f"foraminal          {honest['foraminal']:.6f}" in own
    assert f"any_severe_spinal  {honest['any_severe_spinal']:.6f}" not in own
    for name in ("score", "foraminal", "any_severe_spinal"):
        assert f"{name:18s} {honest[name]:.6f}" in scaled
    printed = json.loads(CliRunner().invoke(cli.app, arguments(tables, "--json")).stdout)
    assert printed["rows_not_summing_to_1"] == 49
    assert printed["normalised"]["score"] == pytest.approx(honest["score"])
    assert printed["score"] != pytest.approx(honest["score"], abs=1e-3)


def split(lines: list[str]) -> list[list[str]]:
    """The values of CSV lines."""
    return [line.split(",") for line in lines]


def test_rows_that_are_only_rounded_are_passed_over(tables):
    (tables / "sub.csv").write_text((tables / "sub.csv").read_text().replace("0.2,0.3,0.5", "0.333,0.333,0.333"))
    result = CliRunner().invoke(cli.app, arguments(tables))
    assert "warning" not in result.stdout + result.stderr


def run_main(monkeypatch, capsys, words: list[str]) -> tuple[int, str]:
    """The exit code of the command, and what it wrote to standard error."""
    monkeypatch.setattr(sys, "argv", ["lumbar", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code, capsys.readouterr().err


def test_missing_rows_stop_the_command_unless_they_are_to_be_filled(tables, monkeypatch, capsys):
    lines = (tables / "sub.csv").read_text().splitlines()
    (tables / "sub.csv").write_text("\n".join(lines[:-2]) + "\n")
    code, error = run_main(monkeypatch, capsys, arguments(tables))
    assert code == 2
    assert error.startswith(f"lumbar: {tables / 'sub.csv'}: 2 labelled rows have no prediction")
    assert CliRunner().invoke(cli.app, arguments(tables, "--fill-missing", "uniform")).exit_code == 0


def test_a_wrong_row_id_stops_the_command_with_the_file_and_the_id(tables, monkeypatch, capsys):
    with (tables / "sub.csv").open("a") as file:
        file.write("1_hip_l1_l2,0.2,0.3,0.5\n")
    code, error = run_main(monkeypatch, capsys, arguments(tables))
    assert code == 2
    assert "row_id '1_hip_l1_l2'" in error
    assert str(tables / "sub.csv") in error


def test_two_files_that_predict_the_same_row_are_refused(tables, monkeypatch, capsys):
    code, error = run_main(monkeypatch, capsys, [*arguments(tables), "--predictions", str(tables / "sub.csv")])
    assert code == 2
    assert "is predicted more than once" in error
    assert "--fill-missing" not in error, "filling missing rows does not help with repeated ones"


def test_an_unknown_way_to_fill_is_refused(tables):
    result = CliRunner().invoke(cli.app, arguments(tables, "--fill-missing", "zero"))
    assert result.exit_code == 2
    told = " ".join(result.stderr.replace("│", " ").split())  # out of its frame
    assert "Invalid value for '--fill-missing'" in told
    assert "'zero' is not one of 'error', 'uniform'" in told


def test_labels_without_a_label_cannot_be_scored(tables, monkeypatch, capsys):
    empty = pd.read_csv(tables / "train.csv")
    empty[empty.columns[1:]] = np.nan
    empty.to_csv(tables / "train.csv", index=False)
    code, error = run_main(monkeypatch, capsys, arguments(tables))
    assert code == 2
    assert error.startswith(f"lumbar: {tables / 'train.csv'}: no cell has a label")


def test_one_fold_of_a_file_is_scored_alone(tables, monkeypatch, capsys):
    (tables / "folds.csv").write_text("study_id,fold\n1,0\n2,1\n")
    fold = ["--folds", str(tables / "folds.csv"), "--fold"]
    printed = json.loads(CliRunner().invoke(cli.app, arguments(tables, *fold, "0", "--json")).stdout)
    assert printed["studies"] == 1
    assert printed["score"] == pytest.approx(-log(0.5))
    code, error = run_main(monkeypatch, capsys, arguments(tables, *fold, "7"))
    assert code == 2
    assert error == f"lumbar: {tables / 'folds.csv'}: there is no fold 7, it has 0, 1\n"
    assert CliRunner().invoke(cli.app, arguments(tables, "--fold", "0")).exit_code == 2
