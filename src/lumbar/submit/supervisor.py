"""Grading in a process of its own, watched: whatever becomes of it, a valid submission stands there and grows.

A decoder that crashes, memory that runs out or a study that never ends would take a single process down with all its
work. Here they cost one study.
"""

import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from lumbar.config import read_saved_config
from lumbar.data.competition import Competition
from lumbar.data.priors import PRIOR_FILE, read_prior
from lumbar.records import write_text
from lumbar.submit.asked import read_asked
from lumbar.submit.journal import Job, Journal
from lumbar.submit.results import write_results

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0
"""How often the submission on disk takes up what the journal has gained."""
STALL_SECONDS = 600.0
"""A process that finishes no study for so long hangs: a study takes seconds, loading the models a minute."""
POLL_SECONDS = 0.2
WORKER = ("-m", "lumbar.submit")
"""What Python is told to start a worker with."""
IDLE_DEATHS = 2
"""Processes in a row that may die before they start a study. The second tries without a GPU."""


def predict_supervised(
    models: Path, competition: Competition, work: Path, output: Path, deadline: float | None = None
) -> dict[str, Any]:
    """Writes the submission and its report, beginning with priors; grading stops at `deadline` (seconds since the
    epoch). Returns the report."""
    work.mkdir(parents=True, exist_ok=True)
    asked, prior = read_asked(competition), read_prior(models / PRIOR_FILE)
    journal, floor = Journal(work / "journal.jsonl"), read_saved_config(models / "config.json").submit.floor
    job = Job(
        models=models.resolve(),
        competition=competition.root.resolve(),
        study_ids=asked.study_ids,
        journal=journal.path.resolve(),
        deadline=deadline,
        supervisor=os.getpid(),
    )
    died: list[str] = []
    report = write_results(journal, asked, prior, floor, output)
    for in_progress in _watch(job, work / "job.json", died):
        report = write_results(journal, asked, prior, floor, output, tuple(died), in_progress)
    return report


def _watch(job: Job, path: Path, died: list[str]) -> Iterator[bool]:
    """Runs workers until nothing is left to do or the time is up; yields whenever there may be something new to write:
    whether a study may have been begun that no process died of."""
    journal = Journal(job.journal)
    write_text(job.model_dump_json(), path)
    idle, ending = 0, None
    while journal.left_to_do(job.study_ids) and not _is_over(job) and idle < IDLE_DEATHS:
        started = len(journal.read())
        ending = yield from _run_worker(path, job, without_gpu=idle > 0)
        if ending is not None:
            logger.error("the grading process was lost: %s; going on with another one", ending)
            died.append(ending)
        idle = idle + 1 if len(journal.read()) == started else 0
    yield ending is None and _is_over(job)


def _is_over(job: Job) -> bool:
    return time.time() > (job.deadline or math.inf)


def _run_worker(path: Path, job: Job, without_gpu: bool) -> Generator[bool, None, str | None]:
    """Runs one worker to its end; returns how it was lost, or None when it ended well or its time was up."""
    worker = subprocess.Popen([sys.executable, *WORKER, str(path)], env=_environment(without_gpu))
    try:
        progress, changed = 0, time.monotonic()
        refreshed = changed
        while worker.poll() is None:
            time.sleep(POLL_SECONDS)
            now, size = time.monotonic(), job.journal.stat().st_size if job.journal.is_file() else 0
            if size != progress:
                progress, changed = size, now
            if now - changed > STALL_SECONDS:
                return f"no study was finished in {STALL_SECONDS:.0f} s"
            if _is_over(job):
                logger.warning("the time is up")
                return None
            if now - refreshed > REFRESH_SECONDS:
                refreshed = now
                yield True
    finally:
        worker.kill()
        worker.wait()
    return None if worker.returncode == 0 else f"exit status {worker.returncode}"


def _environment(without_gpu: bool) -> dict[str, str]:
    """This process's, with the packages that were added to its path while it ran."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return environment | {"CUDA_VISIBLE_DEVICES": ""} if without_gpu else environment
