"""A run in parts: each trains its own models, takes the others as they are, and says which are still missing."""

import shutil
from pathlib import Path

import pytest

from lumbar.config import ConfigError
from lumbar.detect.stage import detectors_made_from
from lumbar.pipeline import run_through
from lumbar.run.run import Run, Selection
from lumbar.run.stamps import UntrainedError, stamped


@pytest.fixture
def copied(trained, tmp_path) -> Run:
    """The finished run in a folder of its own."""
    shutil.copytree(trained.folder, tmp_path / "run")
    return Run(trained.config, trained.competition, tmp_path / "run")


def select(run: Run, fold: int | None = None, group: str | None = None) -> Run:
    return Run(run.config, run.competition, run.folder, Selection(fold, group))


def remove_model(run: Run, stem: str) -> None:
    for path in run.models.glob(f"{stem}.*"):
        path.unlink()


def changed(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_part_is_of_one_fold_or_one_group_or_everything():
    assert Selection().includes(1, "spinal")
    assert Selection(fold=1).includes(1, "spinal")
    assert not Selection(fold=1).includes(0, "spinal")
    assert not Selection(group="spinal").includes(0, "foraminal")
    assert Selection(group="spinal").includes(0), "a detector has no group"


def test_finished_folds_are_neither_trained_nor_predicted_again(copied):
    detect = copied.folder / "detect"
    (detect / "stamp.json").unlink()
    kept = {name: changed(detect / name) for name in ("fold0", "fold1", "training_set")}
    points = (detect / "points.csv").read_bytes()
    run_through(copied, last="detect")
    assert {name: changed(detect / name) for name in kept} == kept
    assert (detect / "points.csv").read_bytes() == points


def test_a_fold_trained_apart_is_the_same_to_the_byte(copied, trained):
    remove_model(copied, "detector_fold1")
    detect = copied.folder / "detect"
    shutil.rmtree(detect / "fold1")
    (detect / "stamp.json").unlink()
    (detect / "points.csv").unlink()

    run_through(select(copied, fold=0), last="detect")
    assert stamped(detect) is None
    with pytest.raises(UntrainedError, match=r"^detect: still to be trained: fold 1$"):
        run_through(select(copied, fold=0))

    run_through(select(copied, fold=1), last="detect")
    assert stamped(detect) == stamped(trained.folder / "detect")
    for name in ("detect/points.csv", "models/detector_fold1.safetensors"):
        assert (copied.folder / name).read_bytes() == (trained.folder / name).read_bytes()


def test_a_group_waits_for_the_graders_of_the_others(copied, trained):
    for stem in ("spinal_fold0", "spinal_fold1", "foraminal_fold1"):
        remove_model(copied, stem)
    (copied.folder / "grade" / "stamp.json").unlink()
    with pytest.raises(UntrainedError, match=r"^grade: still to be trained: spinal fold 0, foraminal fold 1$"):
        run_through(select(copied, fold=1, group="spinal"))
    assert stamped(copied.folder / "grade") is None
    run_through(copied)
    for path in trained.models.glob("*.safetensors"):
        assert (copied.models / path.name).read_bytes() == path.read_bytes(), path.name


def test_where_weights_lie_changes_nothing_but_what_they_hold_does(trained, tmp_path):
    def made_from(content: bytes, name: str) -> str:
        (tmp_path / name).write_bytes(content)
        detect = trained.config.detect.model_copy(update={"weights": tmp_path / name})
        config = trained.config.model_copy(update={"detect": detect})
        return detectors_made_from(Run(config, trained.competition, trained.folder))

    assert made_from(b"same", "here.pt") == made_from(b"same", "there.pt")
    assert made_from(b"same", "here.pt") != made_from(b"other", "here.pt")


def test_a_fold_that_does_not_exist_is_refused(copied):
    with pytest.raises(ConfigError, match=r"folds\.csv: there is no fold 7, it has 0, 1"):
        run_through(select(copied, fold=7))
