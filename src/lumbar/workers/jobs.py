"""A run as a set of jobs, each of them a call of the command: what one machine's processes or a cluster's nodes make.

A fold trained apart is the same to the byte, where it has as many threads; what folds share is made by one of them,
while the others wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lumbar.errors import InputError
from lumbar.run.run import Run

TOLD = 12
"""Last lines of what a failed job said."""


@dataclass(frozen=True)
class Job:
    """A part of a run that a process makes by itself, and what the command is told for it."""

    name: str
    arguments: tuple[str, ...]

    def log_in(self, folder: Path) -> Path:
        """Where a worker writes what the job says."""
        return folder / f"{self.name.replace(' ', '_')}.log"

    def failure(self, status: int, folder: Path) -> InputError:
        """That the job has ended with a status, and the end of what it said."""
        log = self.log_in(folder)
        said = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
        last = "\n".join(line for line in said[-TOLD:] if line.strip())
        return InputError(f"{log}: {self.name} ended with status {status}:\n{last}")


def plan_jobs(run: Run, options: Sequence[str], by_group: bool = False) -> list[list[Job]]:
    """The run's jobs, in rounds: each needs the rounds before it, and nothing of its own round.

    `options` name the config and the data, as the command takes them. A fold's graders are one job, or, `by_group`, one
    for each condition group.
    """

    def by_fold(stage: str) -> list[Job]:
        return [Job(f"{stage} fold {fold}", (stage, *options, "--fold", str(fold))) for fold in run.fold_numbers]

    graded = by_fold("grade")
    if by_group:
        groups = sorted({member.grades for member in run.config.members.values()})
        graded = [Job(f"{job.name} {group}", (*job.arguments, "--group", group)) for job in graded for group in groups]
    return [by_fold("detect"), [Job("crop", ("crop", *options))], graded]
