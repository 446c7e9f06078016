"""What this process may use of the machine: GPUs, threads and memory. Nothing here needs torch."""

import math
import os
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from joblib import effective_n_jobs

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may hold, or `max`."""


@dataclass(frozen=True)
class Machine:
    """What there is to share: GPUs by the names that CUDA knows them by, threads, and bytes of memory."""

    gpus: tuple[str, ...]
    threads: int
    memory: float


def this_machine() -> Machine:
    """What this process may use: as many threads as `OMP_NUM_THREADS` says, and the GPUs of `CUDA_VISIBLE_DEVICES`."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return Machine(
        gpus=_visible_gpus(Path("/dev")),
        threads=int(threads) if threads.isdigit() and int(threads) else os.cpu_count() or 1,
        memory=min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _memory_limit()),
    )


def processes(jobs: int) -> int:
    """How many processes `jobs` asks for, joblib's way: -1 for all that there may be.

    joblib knows the machine's cores and a container's share of them, but not `OMP_NUM_THREADS`, which is a worker's.
    """
    return jobs if jobs > 0 else min(effective_n_jobs(jobs), this_machine().threads)


def _visible_gpus(devices: Path) -> tuple[str, ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # CUDA sees those up to the first that makes no sense
        return tuple(takewhile(lambda name: name not in ("", "-1"), map(str.strip, visible.split(","))))
    # CUDA numbers those that it sees from 0, whatever the numbers of their nodes.
    return tuple(str(number) for number, _ in enumerate(devices.glob("nvidia[0-9]*")))


def _memory_limit() -> float:
    try:
        return float(CGROUP_LIMIT.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return math.inf
