"""The inference kernel as Kaggle runs it: a process of its own, inputs it leaves alone, no network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.data.priors import read_prior
from lumbar.kaggle.inference import run_kernel
from lumbar.labels import CELLS, GRADES
from miniature import dated

REPOSITORY = Path(__file__).parents[1]
SLUG = "rsna-2024-lumbar-spine-degenerative-classification"
LAYOUTS = {
    "old": (SLUG, "lumbar-bundle"),
    "new": (f"competitions/{SLUG}", "datasets/somebody/lumbar-bundle"),
}
CUT_SOCKETS = """
import socket
def refuse(*arguments, **options):
    raise OSError("the network was asked for: %r" % (arguments,))
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def without_network(command: list[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command in a network namespace without an interface, or with Python's sockets refusing to connect."""
    probe = subprocess.run(["unshare", "-rn", "true"], capture_output=True)
    if probe.returncode == 0:
        return ["unshare", "-rn", *command], {}
    (folder / "sitecustomize.py").write_text(CUT_SOCKETS)
    return command, {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_kernel_writes_a_submission_without_a_network(layout, trained, one_test_study, bundle, tmp_path):
    competition_folder, bundle_folder = (tmp_path / "input" / name for name in LAYOUTS[layout])
    shutil.copytree(one_test_study.root, competition_folder)
    shutil.copytree(bundle, bundle_folder)
    (tmp_path / "working").mkdir()
    (tmp_path / "site").mkdir()
    script = str(REPOSITORY / "kernels" / "inference" / "inference.py")
    command, extra = without_network([sys.executable, script], tmp_path / "site")
    environment = {**os.environ, **extra, "LUMBAR_KAGGLE_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    before = dated(tmp_path / "input", "*")
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "PRIORS ONLY" not in ran.stderr, ran.stderr
    assert "lumbar-packages-" in ran.stderr, "the package must come from the bundle's wheel"
    assert dated(tmp_path / "input", "*") == before
    written = pd.read_csv(tmp_path / "working" / "submission.csv")
    report = json.loads((tmp_path / "working" / "run_report.json").read_text())
    assert written["row_id"].tolist() == one_test_study.sample_submission["row_id"].tolist()
    assert report["rows"] == 25
    assert report["rows_from_prior"] < 25


@pytest.mark.parametrize(("is_rerun", "status"), [(False, 1), (True, 0)])
def test_a_kernel_without_its_bundle_says_so_and_where_it_is_scored_ends_well_with_the_sample(
    one_test_study, is_rerun, status, tmp_path
):
    shutil.copytree(one_test_study.root, tmp_path / "input" / SLUG)
    (tmp_path / "working").mkdir()
    script = str(REPOSITORY / "kernels" / "inference" / "inference.py")
    rerun = {"KAGGLE_IS_COMPETITION_RERUN": "1"} if is_rerun else {}
    environment = {**os.environ, **rerun, "LUMBAR_KAGGLE_ROOT": str(tmp_path)}
    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert (ran.returncode, "no bundle.json there" in ran.stderr) == (status, True)
    sample = (one_test_study.root / "sample_submission.csv").read_bytes()
    assert (tmp_path / "working" / "submission.csv").read_bytes() == sample


def test_a_kernel_whose_models_fail_leaves_priors_and_says_so(one_test_study, bundle, tmp_path, caplog):
    shutil.copytree(one_test_study.root, tmp_path / "input" / SLUG)
    shutil.copytree(bundle, tmp_path / "input" / "bundle")
    victim = next((tmp_path / "input" / "bundle" / "models").glob("*.safetensors"))
    victim.write_bytes(b"damaged")
    (tmp_path / "working").mkdir()
    run_kernel(tmp_path / "input", tmp_path / "working")
    written = pd.read_csv(tmp_path / "working" / "submission.csv")
    report = json.loads((tmp_path / "working" / "run_report.json").read_text())
    assert written["row_id"].tolist() == one_test_study.sample_submission["row_id"].tolist()
    prior = read_prior(tmp_path / "input" / "bundle" / "models" / "prior.csv").set_index(["condition", "level"])
    cells = [CELLS[row_id.partition("_")[2]] for row_id in written["row_id"]]
    expected = prior.loc[[(cell.condition, cell.level) for cell in cells], list(GRADES)]
    np.testing.assert_allclose(written[list(GRADES)], expected)
    assert not np.allclose(expected, 1 / 3)
    assert f"{victim.name}: its checksum" in report["error"]
    assert "PRIORS ONLY" in caplog.text


def test_grading_that_breaks_off_leaves_a_submission_and_had_nine_hours_less_a_reserve(
    one_test_study, bundle, tmp_path, monkeypatch
):
    def broken(models, competition, work, output, deadline):
        raise RuntimeError(f"at {deadline}")

    monkeypatch.setattr("lumbar.kaggle.inference.predict_supervised", broken)
    shutil.copytree(one_test_study.root, tmp_path / "input" / SLUG)
    shutil.copytree(bundle, tmp_path / "input" / "bundle")
    (tmp_path / "working").mkdir()
    run_kernel(tmp_path / "input", tmp_path / "working", started=1000.0)
    report = json.loads((tmp_path / "working" / "run_report.json").read_text())
    assert report["warning"].startswith("grading broke off")
    assert f"at {1000.0 + 9 * 3600 - 20 * 60}" in report["error"]
    written = pd.read_csv(tmp_path / "working" / "submission.csv")
    assert written["row_id"].tolist() == one_test_study.sample_submission["row_id"].tolist()
