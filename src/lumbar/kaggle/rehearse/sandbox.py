"""A machine like Kaggle's: inputs mounted read-only, no network at all, its sockets traced, memory capped.

Made of Linux namespaces by `unshare`, and of `strace`; neither needs a container engine.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from lumbar.errors import InputError

LAYOUTS = {
    "old": ("{competition}", "{bundle}"),
    "new": ("competitions/{competition}", "datasets/{owner}/{bundle}"),
}
"""Where Kaggle mounts a competition and a data set below `/kaggle/input`, on its older and its newer machines."""
POLL_SECONDS = 0.25
ENTER = """
set -eu
mount --bind "$WORKING" "$WORKING"
mount --bind "$SCRATCH" "$SCRATCH"
for pair in "$COMPETITION=$COMPETITION_MOUNT" "$BUNDLE=$BUNDLE_MOUNT"; do
    mount --bind "${pair%%=*}" "${pair#*=}"
    mount -o remount,bind,ro "${pair#*=}"
done
mount -t tmpfs -o ro nothing "$COMPETITION_MOUNT/hidden"
mount -o remount,bind,ro /
if touch "$COMPETITION_MOUNT/written" "$BUNDLE_MOUNT/written" 2>/dev/null; then
    echo "the inputs can be written to" >&2
    exit 70
fi
cd "$WORKING"
exec "$@"
"""
"""Run by a shell in namespaces of its own: what it mounts, nobody else sees. The labels under `hidden/` are covered."""


class SandboxError(InputError):
    """This machine cannot rehearse; the message says what it lacks."""


@dataclass(frozen=True)
class Ending:
    """How a rehearsed kernel ended."""

    status: int
    seconds: float
    peak_memory: int
    """Bytes, of all its processes together; pages they share are counted for each."""
    sockets: tuple[str, ...]
    """The sockets of a network that were opened, as the tracer saw them."""
    too_much_memory: bool


@dataclass(frozen=True)
class Sandbox:
    """The folders of one rehearsal; `root` stands for `/kaggle`."""

    root: Path
    competition: Path
    bundle: Path
    layout: str
    slug: str

    @property
    def working(self) -> Path:
        """The one folder whose content Kaggle keeps."""
        return self.root / "working"

    @property
    def log(self) -> Path:
        """What the kernel printed."""
        return self.root / "kernel.log"

    @property
    def scratch(self) -> Path:
        """What stands for `/tmp`."""
        return self.root / "scratch"

    @property
    def trace(self) -> Path:
        """What the tracer saw."""
        return self.scratch / "sockets.trace"

    def prepare(self) -> None:
        """Makes the folders afresh."""
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in (*self._mounts(), self.working, self.scratch):
            folder.mkdir(parents=True)

    def _mounts(self) -> list[Path]:
        names = {"competition": self.slug, "bundle": "lumbar-bundle", "owner": "somebody"}
        return [self.root / "input" / place.format(**names) for place in LAYOUTS[self.layout]]

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Starts a command inside, with its output in `log`."""
        _require("unshare", "strace", "mount")
        namespaces = ["--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        trace = ["strace", "--follow-forks", "--seccomp-bpf", "--trace=socket,connect", "--quiet=all"]
        inside = [*trace, f"--output={self.trace.resolve()}", *command]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                ["unshare", *namespaces, "sh", "-c", ENTER, "sh", *inside],
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self) -> Mapping[str, str]:
        """A few variables of our own and none of the caller's: no proxy, no token, no path to this package."""
        competition_mount, bundle_mount = (str(path.resolve()) for path in self._mounts())
        return {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": str(self.scratch.resolve()),
            "TMPDIR": str(self.scratch.resolve()),
            "LUMBAR_KAGGLE_ROOT": str(self.root.resolve()),
            "WORKING": str(self.working.resolve()),
            "SCRATCH": str(self.scratch.resolve()),
            "COMPETITION": str(self.competition.resolve()),
            "BUNDLE": str(self.bundle.resolve()),
            "COMPETITION_MOUNT": competition_mount,
            "BUNDLE_MOUNT": bundle_mount,
        }

    def run(self, command: list[str], memory_cap: int, kill_after: float | None = None) -> Ending:
        """Runs a command to its end, or until it takes more bytes of memory than the cap, or is killed on purpose."""
        started, peak, too_much = time.monotonic(), 0, False
        process = self.start(command)
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                peak = max(peak, _memory_of(process.pid))
                too_much = peak > memory_cap
                if too_much or (kill_after is not None and time.monotonic() - started > kill_after):
                    break
        finally:
            _kill(process)
        sockets = _read_sockets(self.trace)
        return Ending(process.returncode, time.monotonic() - started, peak, sockets, too_much)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the shell and, with its namespace, all that runs in it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _memory_of(pid: int) -> int:
    """The resident bytes of a process and its descendants."""
    try:
        parent = psutil.Process(pid)
        return sum(_resident(process) for process in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _read_sockets(path: Path) -> tuple[str, ...]:
    """The calls that a network could answer: CUDA asks by a socket of the machine's own whether its daemon runs."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return tuple(line for line in lines if re.search(r"\b(socket|connect)\(.*\bAF_INET6?\b", line))


def _require(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise SandboxError(f"{program} is not installed; a rehearsal needs it (Debian: apt-get install {program})")
