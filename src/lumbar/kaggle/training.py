"""What the training kernel does: as much of a run as its part and its time allow, going on from earlier kernels.

The training itself runs in a process of its own, which can be killed at any moment: every model and every epoch is on
disk when it is done. So the kernel ends in time, and keeps what it has.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import lumbar
from lumbar.config import read_config
from lumbar.data.competition import Competition
from lumbar.detect.training import detectors_made_from
from lumbar.errors import InputError
from lumbar.kaggle.bundle import add_models, check_training_bundle
from lumbar.kaggle.mounts import TRAINED, find_competition, find_trained, find_training_bundle
from lumbar.machine import this_machine
from lumbar.records import Record, read_record, write_record
from lumbar.run.run import Run, Selection
from lumbar.run.stamps import UNTRAINED
from lumbar.submit.chain import folds_with

logger = logging.getLogger(__name__)

VERDICTS: Mapping[int | None, str] = {
    0: "EVERYTHING IS TRAINED, bundle/ holds it: attach this kernel to the inference kernel",
    UNTRAINED: "THIS PART IS TRAINED, others are not (see above): attach every part's kernel to a run of everything",
    None: "THE TIME IS UP: attach this kernel to the next run, which goes on from here",
}
"""What is told, by the status with which the training ended; None is a training that was stopped."""
NEEDS_POINTS = (
    "THIS PART'S DETECTOR IS TRAINED, and its graders need the points of every fold: attach every fold's kernel to "
    "this part's next run"
)
"""The same where no grader of the part could be trained yet."""
FAILED = "THE TRAINING FAILED (see above); what it had finished is kept"


class TrainingError(InputError):
    """What is attached to the training kernel does not go together; the message says what."""


class TrainingMark(Record):
    """What a training kernel says of its output, in `trained.json`."""

    made_from: str
    """The fingerprint of what the detectors are made from."""
    time: float
    """When the kernel ended, in seconds since the epoch."""
    verdict: str
    """How it ended, in words."""


def run_training(inputs: Path, working: Path, fold: int | None, group: str | None, deadline: float) -> None:
    """Trains in Kaggle's working folder, whose content becomes the kernel's output, until `deadline` (epoch seconds).

    `inputs` holds the competition, the training bundle, and the outputs of earlier training kernels, if any. The output
    is `runs/`, a mark that it is one, and, when everything is trained, `bundle/` for the inference kernel. A training
    that fails is told of loudly, but the kernel ends well: Kaggle keeps no output of one that does not.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("lumbar %s from %s", lumbar.__version__, Path(lumbar.__file__).parent)
    bundle = find_training_bundle(inputs)
    check_training_bundle(bundle)
    os.chdir(working)  # as Kaggle starts a script; a config's paths lead from here
    for name in ("configs", "folds"):
        _copy_files(bundle / name, Path(name))
    config = next(Path("configs").glob("*.yaml"))
    run = _open_run(config, find_competition(inputs), Selection(fold, group))
    run.enter()
    with _kept_outside(run, bundle):
        made_from = detectors_made_from(run).key
        _take_over(find_trained(inputs), made_from)
        status = _train(run, config, deadline)
    if status == 0:
        _copy_files(bundle / "wheels", Path("bundle/wheels"))
        add_models(run.models, Path("bundle"))
    has_graders = any(folds_with(run.models, name) for name in run.config.members)
    verdict = NEEDS_POINTS if status == UNTRAINED and not has_graders else VERDICTS.get(status, FAILED)
    mark = TrainingMark(made_from=made_from, time=time.time(), verdict=verdict)
    write_record(mark, Path(TRAINED))
    logger.info("\n%s", mark.verdict)


def _open_run(path: Path, competition: Path, selection: Selection) -> Run:
    config = read_config(path)
    return Run(config, Competition(competition), Path("runs") / config.name, selection)


def _take_over(outputs: list[Path], made_from: str) -> None:
    """Copies what earlier kernels have trained, the latest last; TrainingError for another training's output."""
    marks = {output: _read_mark(output / TRAINED) for output in outputs}
    for output in sorted(outputs, key=lambda output: marks[output].time):
        if marks[output].made_from != made_from:
            raise TrainingError(
                f"{output}: its detectors were made from another config, data, folds or code than this kernel's would "
                "be; detach it, or attach the training bundle that made it"
            )
        logger.info("taking over %s: %s", output, marks[output].verdict)
        _copy_files(output / "runs", Path("runs"))


def _read_mark(path: Path) -> TrainingMark:
    return read_record(path, TrainingMark, "the mark of a training kernel's output", TrainingError)


def _copy_files(source: Path, target: Path) -> None:
    """Copies a folder's files over those of another, without the modes of Kaggle's read-only ones."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


@contextmanager
def _kept_outside(run: Run, bundle: Path) -> Iterator[None]:
    """Links folders that must not be part of the output, whose limit is 20 GB, to where there is room for them.

    They are what can be made again, crops and training images, and the weights to start from.
    """
    with tempfile.TemporaryDirectory() as scratch:
        links = {Path("weights"): bundle / "weights"} if (bundle / "weights").is_dir() else {}
        for folder in (run.folder / "crop", run.folder / "detect" / "training_set"):
            links[folder] = Path(scratch) / folder.name
            links[folder].mkdir()
        for link, folder in links.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)
        try:
            yield
        finally:
            for link in links:
                link.unlink()


def training_command(config: Path, data: Path, selection: Selection, gpus: int) -> list[str]:
    """The call that trains a part, or everything: of that, a fold on each of several GPUs."""
    command = [sys.executable, "-m", "lumbar.cli", "cv", "--config", str(config), "--data", str(data)]
    command += ["--fold", str(selection.fold)] if selection.fold is not None else []
    command += ["--group", selection.group] if selection.group else []
    is_everything = selection == Selection()
    return [*command, "--workers", str(gpus)] if is_everything and gpus > 1 else command


def _train(run: Run, config: Path, deadline: float) -> int | None:
    """Trains in a process of its own and returns its exit status; None when it had to be stopped at the deadline."""
    command = training_command(config, run.competition.root, run.selection, len(this_machine().gpus))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # the bundle's wheels are on it
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return child.wait(max(0.0, deadline - time.time()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its loaders and pools, too
        child.wait()
