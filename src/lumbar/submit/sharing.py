"""The test studies shared among processes, and the machine's GPUs and cores with them.

One process keeps one core busy, or one GPU: it reads and cuts between what it asks the nets. Nothing here needs torch.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from lumbar.submit.journal import Job

MOST_ON_CPU = 4
"""Processes without a GPU, however many cores there are: each loads all models."""
HELD_BESIDE = 2 * 2**30
"""Bytes that a process holds beside its models: libraries, a study, and what a net makes of a batch."""
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may hold, or `max`."""


@dataclass(frozen=True)
class Machine:
    """What there is to share: GPUs by the names that CUDA knows them by, threads, and bytes of memory."""

    gpus: tuple[str, ...]
    threads: int
    memory: float


@dataclass(frozen=True)
class Share:
    """What one process grades, and what it may use; `gpu` is None where the machine has none."""

    job: Job
    threads: int
    gpu: str | None


def this_machine() -> Machine:
    """What this process may use: as many threads as `OMP_NUM_THREADS` says, and the GPUs of `CUDA_VISIBLE_DEVICES`."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return Machine(
        gpus=_visible_gpus(Path("/dev")),
        threads=int(threads) if threads.isdigit() and int(threads) else os.cpu_count() or 1,
        memory=min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _memory_limit()),
    )


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


def share_out(job: Job, machine: Machine) -> list[Share]:
    """A job parted among processes: one for each GPU or, without one, for each core up to `MOST_ON_CPU`; fewer where
    memory or studies do not suffice. Each has a journal of its own, beside the job's."""
    needed = sum(path.stat().st_size for path in job.models.glob("*.safetensors")) + HELD_BESIDE
    fed = len(machine.gpus) or min(machine.threads, MOST_ON_CPU)
    count = max(1, min(fed, int(machine.memory // needed), len(job.study_ids)))
    parts = [_part(job, str(number), dealt) for number, dealt in enumerate(_deal(job.study_ids, count))]
    gpus = machine.gpus or (None,) * count
    return [Share(part, max(1, machine.threads // count), gpu) for part, gpu in zip(parts, gpus, strict=False)]


def share_of_one(job: Job, machine: Machine, study_ids: Sequence[int], gpu: str | None) -> Share:
    """What other processes have left, for one that has the machine to itself."""
    return Share(_part(job, "_rest", study_ids), machine.threads, gpu)


def _part(job: Job, name: str, study_ids: Sequence[int]) -> Job:
    journal = job.journal.with_stem(job.journal.stem + name)
    return job.model_copy(update={"study_ids": tuple(study_ids), "journal": journal})


def _deal(study_ids: Sequence[int], count: int) -> list[Sequence[int]]:
    """The studies dealt like cards, so that each part has some of any stretch."""
    return [study_ids[number::count] for number in range(count)]
