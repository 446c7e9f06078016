"""Who works in a run's folder: one process, or one for each part of it; and who makes what several need.

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
"""The file that a run's folder is locked by; those of its parts and of what is made in turns begin so."""
_held: set[tuple[Path | str, ...]] = set()
"""What this process holds: a folder, and the parts within each other that lead to what it holds of it."""
_handles: set[int] = set()
"""The files by which it does."""


class InUseError(InputError):
    """Another process works in a run's folder, or on the fold; the message names it."""


@contextmanager
def hold(folder: Path, *parts: str) -> Iterator[None]:
    """Keeps a run's folder, or a part of it, to this process, which may hold it again inside.

    `parts` lead from the whole to what is wanted, each a part of the one before: a fold, a group of it, a net of that.
    InUseError, at once, where another process holds it: a whole and its parts exclude each other, two parts do not.
    """
    place: tuple[Path | str, ...] = (folder.resolve(), *parts)
    if any(place[: number + 1] in _held for number in range(len(place))):
        yield
        return
    with ExitStack() as stack:
        for number in range(len(parts) + 1):
            outer = parts[:number]
            path = folder / "_".join([LOCK, *outer]).replace(" ", "")
            what = f"{folder}: {' of '.join(reversed(outer))}" if outer else f"{folder}"
            _take(stack, path, fcntl.LOCK_EX if number == len(parts) else fcntl.LOCK_SH, what)
        _held.add(place)
        stack.callback(_held.discard, place)
        yield


def _take(stack: ExitStack, path: Path, kind: int, what: str) -> None:
    try:
        handle = _open(stack, path)
        _lock(handle, path, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        holders = [*sorted(path.parent.glob(f"{path.name}_*")), path]
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
