"""The test studies shared among processes, and the machine's GPUs and cores with them.

One process keeps one core busy, or one GPU: it reads and cuts between what it asks the nets. Nothing here needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lumbar.machine import Machine
from lumbar.submit.journal import Job

MOST_ON_CPU = 4
"""Processes without a GPU, however many cores there are: each loads all models."""
HELD_BESIDE = 2 * 2**30
"""Bytes that a process holds beside its models: libraries, a study, and what a net makes of a batch."""


@dataclass(frozen=True)
class Share:
    """What one process grades, and what it may use; `gpu` is None where the machine has none."""

    job: Job
    threads: int
    gpu: str | None


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
