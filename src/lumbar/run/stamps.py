"""Stages that resume: each leaves a stamp of what it was made from, and runs again only when that changes."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import lumbar
from lumbar.errors import InputError
from lumbar.mri.files import is_hidden, walk
from lumbar.records import Record, naming, write_record
from lumbar.run.lock import taking_turns

logger = logging.getLogger(__name__)

UNREADABLE = -1
"""In place of a size in a listing: a file or folder that the system refuses to tell of."""

STAMP = "stamp.json"
"""What a finished stage leaves in its folder."""
UNTRAINED = 3
"""The command's exit status for an UntrainedError: nothing is wrong, but others must train first."""


class UntrainedError(InputError):
    """Models that a stage needs are not there, and the run's selection leaves their training to others."""


@dataclass(frozen=True)
class Origin:
    """What a result is made from: a short hash for each of its inputs, such as `code`, `data` and `config`."""

    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """All of it as one short hash."""
        return _digest(dict(self.inputs))

    def changes_from(self, other: "Origin") -> list[str]:
        """The names of the inputs in which the two differ."""
        names = sorted({*self.inputs, *other.inputs})
        return [name for name in names if self.inputs.get(name) != other.inputs.get(name)]


def fingerprint(**inputs: Any) -> Origin:
    """The origin of something made from these inputs, and by the package's version."""
    return Origin({name: _digest(value) for name, value in {**inputs, "version": lumbar.__version__}.items()})


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def hash_files(*paths: Path) -> str:
    """A short hash of the content of files; a missing one counts as empty."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes() if path.is_file() else b"")
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def hash_listing(folder: Path) -> str:
    """A short hash of the names and sizes of all files below a folder, so that images that arrive later are noticed.

    Hidden ones do not count: file managers leave them wherever somebody looks. What cannot be looked at counts as that.
    """
    digest = hashlib.sha256()
    for entry in walk(folder):
        if is_hidden(entry.name) or isinstance(entry.refusal, FileNotFoundError | NotADirectoryError):
            continue
        size = UNREADABLE if entry.refusal else entry.size
        digest.update(f"{entry.name}\0{size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


class Stamp(Record):
    """What a finished stage leaves in its folder, see `STAMP`."""

    made_from: dict[str, str]
    """The inputs of its origin."""
    seconds: float
    """How long it took."""
    remarks: tuple[str, ...] = ()
    """What must be said of the result each time it is used."""


def run_stage(
    name: str, folder: Path, origin: Origin, work: Callable[[], Sequence[str] | None], *, in_turns: bool = False
) -> None:
    """Runs a stage's work, unless its folder bears the stamp of the same inputs; notes the seconds it took.

    The stamp is written last, so a stage that was interrupted runs again; what it keeps for itself lets it go on. What
    the work returns are remarks on the result, which are repeated as often as it is kept. What processes that share a
    run all need is made `in_turns`: by one of them, while the others wait.
    """
    with taking_turns(folder) if in_turns else nullcontext():
        _run_stage(name, folder, origin, work)


def _run_stage(name: str, folder: Path, origin: Origin, work: Callable[[], Sequence[str] | None]) -> None:
    stamp = _read_stamp(folder)
    if stamp and stamp.made_from == origin.inputs:
        logger.info("%s: nothing has changed, kept as it is (%s)", name, folder)
        _say(name, stamp.remarks)
        return
    changes = origin.changes_from(Origin(stamp.made_from)) if stamp else []
    logger.info("%s ...%s", name, f" (again, since these have changed: {', '.join(changes)})" if changes else "")
    (folder / STAMP).unlink(missing_ok=True)
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with naming(folder):
        remarks = tuple(work() or ())
    seconds = round(time.monotonic() - started, 1)
    folder.mkdir(parents=True, exist_ok=True)  # the work may have begun by clearing it
    write_record(Stamp(made_from=dict(origin.inputs), seconds=seconds, remarks=remarks), folder / STAMP)
    logger.info("%s done in %.0f s", name, seconds)
    _say(name, remarks)


def _say(name: str, remarks: Sequence[str]) -> None:
    for remark in remarks:
        logger.warning("%s: %s", name, remark)


def expect_trained(stage: str, untrained: Sequence[str]) -> None:
    """UntrainedError, which ends a stage here, where some of its models are not there; the message names them."""
    if untrained:
        raise UntrainedError(f"{stage}: still to be trained: {', '.join(untrained)}")


def stamped(folder: Path) -> Origin | None:
    """What a finished stage was made from, or None when it has not run."""
    stamp = _read_stamp(folder)
    return Origin(stamp.made_from) if stamp else None


def key_of(folder: Path) -> str | None:
    """What a finished stage was made from, as one short hash, or None when it has not run."""
    origin = stamped(folder)
    return origin.key if origin else None


def stage_seconds(folder: Path) -> float | None:
    """How long a stage took when it last ran, or None when it has not."""
    stamp = _read_stamp(folder)
    return stamp.seconds if stamp else None


def _read_stamp(folder: Path) -> Stamp | None:
    try:
        return Stamp.model_validate_json((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
