"""Who works in a run's folder: one process, or one for each fold or part of a fold; and who makes what several need.

The locks are the system's, on hidden files: it lets go of a process's when the process ends, however that ends.
"""

import fcntl
import logging
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lumbar.errors import InputError

logger = logging.getLogger(__name__)

IN_USE = 4
"""The command's exit status where another process holds what it needs."""
LOCK = ".lock"
"""The file that a run's folder is locked by; those of folds and of what is made in turns begin so."""
_held: set[tuple[Path, int | None, str | None]] = set()
"""What this process holds: folders, the fold or None for the whole, and the part of the fold or None for all of it."""
_handles: set[int] = set()
"""The files by which it does."""


class InUseError(InputError):
    """Another process works in a run's folder, or on the fold; the message names it."""


@contextmanager
def hold(folder: Path, fold: int | None = None, part: str | None = None) -> Iterator[None]:
    """Keeps a run's folder, one fold of it, or a part of a fold, to this process, which may hold it again inside.

    InUseError, at once, where another process holds it: the whole and a fold exclude each other, as do a fold and a
    part of it; two folds do not, nor do two parts.
    """
    place = folder.resolve()
    part = None if fold is None else part
    if {(place, None, None), (place, fold, None), (place, fold, part)} & _held:
        yield
        return
    with ExitStack() as stack:
        wanted = _locks(folder, fold, part)
        for number, (path, what) in enumerate(wanted, start=1):
            _take(stack, path, fcntl.LOCK_EX if number == len(wanted) else fcntl.LOCK_SH, what)
        _held.add((place, fold, part))
        stack.callback(_held.discard, (place, fold, part))
        yield


def _locks(folder: Path, fold: int | None, part: str | None) -> list[tuple[Path, str]]:
    """The files from the whole to what is wanted, each with what it stands for in words."""
    locks = [(folder / LOCK, f"{folder}")]
    if fold is not None:
        locks.append((folder / f"{LOCK}_fold{fold}", f"{folder}: fold {fold}"))
    if part is not None:
        locks.append((folder / f"{LOCK}_fold{fold}_{part}", f"{folder}: {part} of fold {fold}"))
    return locks


def _take(stack: ExitStack, path: Path, kind: int, what: str) -> None:
    try:
        handle = _open(stack, path)
        _lock(handle, path, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        inside = f"{LOCK}_fold*" if path.name == LOCK else f"{path.name}_*"
        holders = [*sorted(path.parent.glob(inside)), path]
        raise InUseError(
            f"{what}: is in use by {_name_holder(holders)}; wait until it has finished, or end it"
        ) from None


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Waits while another process makes the content of a folder; what it has made can be used then."""
    path = folder.with_name(f"{LOCK}_{folder.name}")
    with ExitStack() as stack:
        handle = _open(stack, path)
        try:
            _lock(handle, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("%s: waiting for %s, which makes it", folder, _name_holder([path]))
            _lock(handle, path, fcntl.LOCK_EX)
        yield


def _open(stack: ExitStack, path: Path) -> int:
    """The handle of a lock's file, which is closed with the stack."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _handles.add(handle)
    stack.callback(_close, handle)
    return handle


def _close(handle: int) -> None:
    if handle in _handles:
        _handles.discard(handle)
        os.close(handle)


def _lock(handle: int, path: Path, kind: int) -> None:
    """Locks, and says in the file by whom; BlockingIOError where another process holds it."""
    try:
        fcntl.flock(handle, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        logger.warning("%s: cannot be locked here (%s); start no second command on it", path, error)
    if kind & fcntl.LOCK_EX:
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)


def _name_holder(paths: Sequence[Path]) -> str:
    """What stands in the first lock that some process holds."""
    for path in paths:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode(errors="replace").strip() or "another process"
    return "another process"


def _let_go_in_child() -> None:
    """A forked process, such as one that loads batches, holds nothing: it may outlive this one for a while."""
    for handle in list(_handles):
        _close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
