"""The training kernel as Kaggle runs it: in parts, in several runs, each going on from what is attached."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lumbar import cli
from lumbar.config import ConfigError
from lumbar.kaggle.bundle import build_training_bundle, check_bundle
from lumbar.kaggle.kernels import write_training_kernel
from lumbar.kaggle.manifest import BundleError
from lumbar.kaggle.training import TrainingError, TrainingMark, run_training, training_command
from lumbar.run.checkpoint import read_card
from lumbar.run.run import Selection
from miniature import dated

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def training_bundle(trained, tmp_path_factory) -> Path:
    """What `make bundle-training` uploads, for the miniature's config."""
    out = tmp_path_factory.mktemp("submission") / "training"
    build_training_bundle(trained.config, out, REPOSITORY, "me", third_party=False)
    return out


@pytest.fixture
def kaggle(training_bundle, competition, tmp_path, monkeypatch) -> Path:
    """A `/kaggle` in the new layout, with the competition and the training bundle attached."""
    shutil.copytree(competition.root, tmp_path / "input" / "competitions" / "spines")
    shutil.copytree(training_bundle, tmp_path / "input" / "datasets" / "me" / "lumbar-training-bundle")
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path)  # the kernel changes it
    return tmp_path


def run_script(kaggle: Path, selection: Selection) -> str:
    """Runs the kernel that is pushed for a part, in a process of its own, and returns its log."""
    write_training_kernel(REPOSITORY, kaggle / "kernel", "me", selection)
    environment = {**os.environ, "LUMBAR_KAGGLE_ROOT": str(kaggle), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-I", str(kaggle / "kernel" / "training.py")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def attach_output(kaggle: Path, name: str) -> Path:
    """Ends a run of the kernel: its output is an input of the next, whose working folder is empty."""
    attached = kaggle / "input" / "notebooks" / "me" / name
    shutil.move(kaggle / "working", attached)
    (kaggle / "working").mkdir()
    return attached


def mark_of(folder: Path) -> TrainingMark:
    return TrainingMark.model_validate_json((folder / "trained.json").read_text())


def test_one_fold_and_then_the_rest_make_the_models_of_one_run(kaggle, trained):
    log = run_script(kaggle, Selection(fold=0))
    assert "detect: still to be trained: fold 1" in log
    assert "THIS PART'S DETECTOR IS TRAINED" in log
    assert "detect: train fold 0" in log
    assert "lumbar-packages-" in log, "the package must come from the bundle's wheel"
    first = attach_output(kaggle, "lumbar-training-fold0-run1")
    assert {path.stem for path in (first / "runs" / "tiny" / "models").glob("*.safetensors")} == {"detector_fold0"}

    before = dated(kaggle / "input", "*")
    log = run_script(kaggle, Selection())
    assert dated(kaggle / "input", "*") == before
    assert f"taking over {first}" in log
    assert "EVERYTHING IS TRAINED" in log
    assert "detect: train fold 0" not in log, "what was attached is not trained again"
    made = kaggle / "working" / "runs" / "tiny"
    for path in (*trained.models.glob("*.safetensors"), trained.folder / "oof.csv"):
        assert (made / path.relative_to(trained.folder)).read_bytes() == path.read_bytes(), path.name
    for card in trained.models.glob("*_fold*.json"):
        assert read_card(made / "models" / card.stem).fingerprint == read_card(trained.models / card.stem).fingerprint
    check_bundle(kaggle / "working" / "bundle")
    assert not list((kaggle / "working").rglob("*.npy")), "crops are made again, they would fill the output"


@pytest.mark.parametrize(
    ("selection", "gpus", "ending"),
    [
        (Selection(), 2, ["--workers", "2"]),
        (Selection(), 1, []),
        (Selection(), 0, []),
        (Selection(fold=1), 2, ["--fold", "1"]),
        (Selection(group="spinal"), 2, ["--group", "spinal"]),
    ],
)
def test_a_kernel_trains_a_fold_on_each_of_two_gpus_and_a_part_on_one(selection, gpus, ending):
    command = training_command(Path("configs/gold.yaml"), Path("data"), selection, gpus)
    assert command[3:] == ["cv", "--config", "configs/gold.yaml", "--data", "data", *ending]


def test_a_kernel_whose_time_is_up_ends_well_and_leaves_no_links(kaggle):
    run_training(kaggle / "input", kaggle / "working", None, None, deadline=time.time() + 1)
    assert mark_of(kaggle / "working").verdict.startswith("THE TIME IS UP")
    assert not [path for path in (kaggle / "working").rglob("*") if path.is_symlink()]
    assert not (kaggle / "working" / "bundle").exists()


def test_a_training_that_fails_is_told_of_and_keeps_what_it_had(kaggle):
    (kaggle / "input" / "competitions" / "spines" / "train_series_descriptions.csv").write_text("nothing\n")
    run_training(kaggle / "input", kaggle / "working", None, None, deadline=time.time() + 3600)
    assert mark_of(kaggle / "working").verdict.startswith("THE TRAINING FAILED")


def test_the_latest_of_several_outputs_counts_and_each_adds_its_own(kaggle):
    run_training(kaggle / "input", kaggle / "working", None, None, deadline=0)
    mark = mark_of(kaggle / "working")
    for name, age in (("a", 1), ("b", 3), ("c", 2)):
        folder = kaggle / "input" / "notebooks" / name
        (folder / "runs" / "tiny").mkdir(parents=True)
        (folder / "runs" / "tiny" / f"own_{name}").touch()
        (folder / "runs" / "tiny" / "shared").write_text(name)
        (folder / "trained.json").write_text(mark.model_copy(update={"time": mark.time - age}).model_dump_json())
    run_training(kaggle / "input", kaggle / "working", None, None, deadline=0)
    run = kaggle / "working" / "runs" / "tiny"
    assert {path.name for path in run.glob("own_*")} == {"own_a", "own_b", "own_c"}
    assert (run / "shared").read_text() == "a"


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ({"made_from": "0", "time": 1.0, "verdict": "x"}, "its detectors were made from another config, data, folds"),
        ({"made_from": "0"}, r"trained\.json: not the mark of a training kernel's output"),
    ],
)
def test_an_output_that_does_not_go_with_the_bundle_is_refused(kaggle, mark, words):
    (kaggle / "input" / "other").mkdir()
    (kaggle / "input" / "other" / "trained.json").write_text(json.dumps(mark))
    with pytest.raises(TrainingError, match=words):
        run_training(kaggle / "input", kaggle / "working", None, None, deadline=0)


def test_a_training_bundle_that_is_damaged_is_refused(kaggle):
    (next(kaggle.rglob("configs/tiny.yaml"))).write_text("name: other")
    with pytest.raises(BundleError, match=r"tiny\.yaml: its checksum is not the one in training\.json"):
        run_training(kaggle / "input", kaggle / "working", None, None, deadline=0)


def test_a_fold_that_the_folds_do_not_have_is_refused_at_home(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    words = ["kaggle", "train", "--owner", "me", "--fold", "9", "--folder", str(tmp_path / "submission")]
    done = CliRunner().invoke(cli.app, words)
    assert isinstance(done.exception, ConfigError)
    assert "folds/demo.csv: there is no fold 9, it has 0, 1" in str(done.exception)
    assert not (tmp_path / "submission").exists()
