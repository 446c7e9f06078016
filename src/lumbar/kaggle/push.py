"""Pushing a kernel and its data set by the `kaggle` command, the only one to talk to Kaggle; or the lines to do it.

That command ends well even where Kaggle refused what it was given, so what it prints is read.
"""

import logging
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lumbar.errors import InputError
from lumbar.kaggle import COMPETITION
from lumbar.kaggle.kernels import KERNEL_METADATA
from lumbar.kaggle.lint import DATA_SET_OF, DATA_SETS, read_metadata
from lumbar.kaggle.manifest import METADATA, read_manifest

logger = logging.getLogger(__name__)

POLL_SECONDS = 10.0
"""Between two looks at whether Kaggle has taken in a data set."""
LONGEST_WAIT = 1800.0
"""Seconds after which a data set that is not taken in counts as refused."""
CREATED = r"is being created"
PUSHED = r"Kernel version (\d+) successfully pushed"
UNKNOWN_DATA_SET = r"\b(403|404)\b"
"""Kaggle's answer for a data set that does not exist: to say so would tell of private ones."""


class PushError(InputError):
    """A push that did not go through; the message says where it stopped, and why."""


@dataclass(frozen=True)
class Push:
    """A kernel in `submission/` and, unless it is up already or not needed, the data set that goes with it."""

    folder: Path
    kernel: str
    with_data: bool = True

    @property
    def kernel_folder(self) -> Path:
        """Where the kernel's script and metadata lie."""
        return self.folder / "kernels" / self.kernel

    @property
    def kernel_id(self) -> str:
        """`owner/slug`."""
        return str(read_metadata(self.kernel_folder / KERNEL_METADATA)["id"])

    @property
    def data_folder(self) -> Path | None:
        """The data set's folder, or None when there is none to upload."""
        folder = self.folder / DATA_SET_OF[self.kernel]
        sources = read_metadata(self.kernel_folder / KERNEL_METADATA)["dataset_sources"]
        return folder if self.with_data and self.data_id in sources else None

    @property
    def data_id(self) -> str | None:
        """`owner/slug`, or None when there is no data set."""
        return read_metadata(self.folder / DATA_SET_OF[self.kernel] / METADATA).get("id")

    @property
    def message(self) -> str:
        """What the data set's version and the submission are called."""
        name = DATA_SET_OF[self.kernel]
        if not (self.folder / name / DATA_SETS[name]).is_file():
            return "lumbar"
        manifest = read_manifest(self.folder / name, DATA_SETS[name])
        return f"lumbar {manifest.version} at {manifest.commit}"


def lines_by_hand(push: Push) -> list[str]:
    """The commands that do what `run_push` does, and the one that submits."""
    lines = []
    if push.data_folder:
        create, version = _upload_arguments(push)
        lines += [f"{_line(*create)}  # the first time", f"{_line(*version)}  # every other time"]
        lines.append(f"{_line('datasets', 'status', str(push.data_id))}  # until it is ready")
    lines.append(_line("kernels", "push", "-p", str(push.kernel_folder)))
    return [*lines, *next_lines(push, "VERSION")]


def next_lines(push: Push, version: str) -> list[str]:
    """What is left to do once a version of the kernel is pushed: to wait for it, and to submit what it wrote."""
    status = f"{_line('kernels', 'status', push.kernel_id)}  # until it is complete"
    submit = ("competitions", "submit", COMPETITION, "-f", "submission.csv", "-k", push.kernel_id, "-v", version)
    return [status, _line(*submit, "-m", push.message)] if push.kernel == "inference" else [status]


def run_push(push: Push, poll_seconds: float = POLL_SECONDS) -> list[str]:
    """Uploads the data set, waits until Kaggle has taken it in, and pushes the kernel; returns the lines that remain.

    PushError when the command is not there, nobody is signed in, or Kaggle refuses something.
    """
    if shutil.which("kaggle") is None:
        raise PushError("the kaggle command is not installed (pip install kaggle)")
    if push.data_folder:
        _upload(push)
        _wait_until_ready(push, poll_seconds)
    output = _kaggle("kernels", "push", "-p", str(push.kernel_folder), expected=PUSHED)
    if "not valid" in output:
        raise PushError("the kernel is pushed, but not all that it needs is attached; mend its sources and push again")
    return next_lines(push, re.findall(PUSHED, output)[0])


def _upload_arguments(push: Push) -> tuple[list[str], list[str]]:
    """The words that create the data set and that add a version. Without `-r zip` folders are left out in silence."""
    folder = ["-p", str(push.data_folder), "-r", "zip"]
    return ["datasets", "create", *folder], ["datasets", "version", *folder, "-m", push.message]


def _upload(push: Push) -> None:
    create, version = _upload_arguments(push)
    known = _run("datasets", "status", str(push.data_id))
    if known.returncode and not re.search(UNKNOWN_DATA_SET, known.stdout):
        raise PushError("kaggle does not answer (see above); is somebody signed in (kaggle auth login)?")
    _kaggle(*(create if known.returncode else version), expected=CREATED)


def _wait_until_ready(push: Push, poll_seconds: float) -> None:
    """The kernel would be pushed without a data set that Kaggle is still unpacking."""
    started = time.monotonic()
    while "ready" not in (answer := _run("datasets", "status", str(push.data_id)).stdout.lower()):
        if "failed" in answer or time.monotonic() - started > LONGEST_WAIT:
            raise PushError(f"{push.data_id} is not ready: {answer.strip()}")
        time.sleep(poll_seconds)


def _kaggle(*arguments: str, expected: str) -> str:
    """Runs the command and returns what it prints; PushError when that is not what success looks like."""
    done = _run(*arguments)
    if done.returncode or not re.search(expected, done.stdout):
        raise PushError(f"`{_line(*arguments)}` did not succeed: {done.stdout.strip()}")
    return done.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    logger.info("%s", _line(*arguments))
    done = subprocess.run(["kaggle", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    logger.info("%s", done.stdout.rstrip())
    return done


def _line(*arguments: str) -> str:
    return shlex.join(["kaggle", *arguments])
