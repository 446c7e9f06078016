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


def plan_jobs(run: Run, options: Sequence[str], finely: bool = False) -> list[list[Job]]:
    """The run's jobs, in rounds: each needs the rounds before it, and nothing of its own round.

    `options` name the config and the data, as the command takes them. The crops are one job, and a fold's graders; or,
    `finely`, each view's crops, and each net of a fold.
    """

    def by_fold(stage: str) -> list[Job]:
        return [Job(f"{stage} fold {fold}", (stage, *options, "--fold", str(fold))) for fold in run.fold_numbers]

    cropped, graded = [Job("crop", ("crop", *options))], by_fold("grade")
    if finely:
        views, nets = run.config.crop.views, run.config.members
        if run.config.published is None:  # a system's views are pooled from the same points
            cropped = [Job(f"crop {view}", ("crop", *options, "--view", view)) for view in views]
        graded = [Job(f"{job.name} {net}", (*job.arguments, "--net", net)) for job in graded for net in nets]
    return [by_fold("detect"), cropped, graded]
