"""The test studies shared among processes, and the machine's GPUs and cores with them.

One process keeps one core busy, or one GPU: it reads and cuts between what it asks the nets. Nothing here needs torch.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lumbar.submit.journal import Job

MOST = 4
"""Processes without a GPU, however many cores there are: each loads all models."""
HELD_BESIDE = 2 * 2**30
"""Bytes that a process holds beside its models: libraries, a study, and what a net makes of a batch."""


@dataclass(frozen=True)
class Machine:
    """What there is to share: GPUs by the names that CUDA knows them by, threads, and bytes of memory."""

    gpus: tuple[str, ...]
    threads: int
    memory: int


@dataclass(frozen=True)
class Share:
    """What one process grades, and what it may use; `gpu` is None where the machine has none."""

    job: Job
    threads: int
    gpu: str | None


def this_machine() -> Machine:
    """What this process may use: as many threads as `OMP_NUM_THREADS` says, and the GPUs of `CUDA_VISIBLE_DEVICES`."""
    threads, visible = os.environ.get("OMP_NUM_THREADS", ""), os.environ.get("CUDA_VISIBLE_DEVICES")
    there = sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return Machine(
        gpus=tuple(there if visible is None else filter(None, visible.split(","))),
        threads=int(threads) if threads.isdigit() and int(threads) else os.cpu_count() or 1,
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )


def share_out(job: Job, machine: Machine) -> list[Share]:
    """A job parted among as many processes as the machine feeds, one for each GPU or, without one, for each core, and
    has memory for; each notes what it does in a journal of its own, beside the job's."""
    needed = sum(path.stat().st_size for path in job.models.glob("*.safetensors")) + HELD_BESIDE
    fed = len(machine.gpus) or min(machine.threads, MOST)
    count = max(1, min(fed, machine.memory // needed, len(job.study_ids)))
    parts = [_part(job, str(number), dealt) for number, dealt in enumerate(_deal(job.study_ids, count))]
    gpus = machine.gpus or (None,) * count
    return [Share(part, max(1, machine.threads // count), gpu) for part, gpu in zip(parts, gpus, strict=False)]


def share_of_one(job: Job, machine: Machine, study_ids: Sequence[int]) -> Share:
    """What other processes have left, for one that has the machine to itself."""
    return Share(_part(job, "_rest", study_ids), machine.threads, machine.gpus[0] if machine.gpus else None)


def _part(job: Job, name: str, study_ids: Sequence[int]) -> Job:
    journal = job.journal.with_stem(job.journal.stem + name)
    return job.model_copy(update={"study_ids": tuple(study_ids), "journal": journal})


def _deal(study_ids: Sequence[int], count: int) -> list[Sequence[int]]:
    """The studies dealt like cards, so that each part has some of any stretch."""
    return [study_ids[number::count] for number in range(count)]
