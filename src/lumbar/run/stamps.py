"""Stages that resume: each leaves a stamp of what it was made from, and runs again only when that changes."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lumbar
from lumbar.data.tables import write_text
from lumbar.errors import InputError

logger = logging.getLogger(__name__)

SHARED_SOURCES = ("annotations", "dicom", "geometry", "image_file", "labels", "notes", "sampling", "stack", "studies")
"""The modules by which all stages read images."""
UNTRAINED = 3
"""The command's exit status for an UntrainedError: nothing is wrong, but others must train first."""


class UntrainedError(InputError):
    """Models that a stage needs are not there, and the run's part leaves their training to others."""


def fingerprint(**inputs: Any) -> str:
    """A short hash of what something is made from, together with the package's version."""
    text = json.dumps({"version": lumbar.__version__, **inputs}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_files(*paths: Path) -> str:
    """A short hash of the content of files; a missing one counts as empty."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes() if path.is_file() else b"")
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def hash_sources(stage: str) -> str:
    """A short hash of a stage's code and of what all stages read images with: other code, other results."""
    package = Path(lumbar.__file__).parent
    shared = [package / f"{name}.py" for name in SHARED_SOURCES]
    return hash_files(*sorted((package / stage).rglob("*.py")), *shared)


def run_stage(name: str, folder: Path, made_from: str, work: Callable[[], object]) -> None:
    """Runs a stage's work, unless its folder bears the stamp of the same inputs; notes the seconds it took.

    The stamp is written last, so a stage that was interrupted runs again; what it keeps for itself lets it go on.
    """
    stamp = folder / "stamp.json"
    if _read_stamp(stamp).get("made_from") == made_from:
        logger.info("%s: nothing has changed, kept as it is (%s)", name, folder)
        return
    logger.info("%s ...", name)
    stamp.unlink(missing_ok=True)
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    work()
    seconds = round(time.monotonic() - started, 1)
    folder.mkdir(parents=True, exist_ok=True)  # the work may have begun by clearing it
    write_text(json.dumps({"made_from": made_from, "seconds": seconds}) + "\n", stamp)
    logger.info("%s done in %.0f s", name, seconds)


def wait_for(stage: str, untrained: Sequence[str]) -> None:
    """Ends a stage here when some of its models are not there; the message names them."""
    if untrained:
        raise UntrainedError(f"{stage}: still to be trained: {', '.join(untrained)}")


def stamped(folder: Path) -> str | None:
    """What a finished stage was made from, or None when it has not run."""
    return _read_stamp(folder / "stamp.json").get("made_from")


def stage_seconds(folder: Path) -> float | None:
    """How long a stage took when it last ran, or None when it has not."""
    return _read_stamp(folder / "stamp.json").get("seconds")


def _read_stamp(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
