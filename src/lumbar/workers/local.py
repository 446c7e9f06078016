"""Jobs as processes of one machine, a few at a time, and when each ran."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from lumbar.machine import this_machine
from lumbar.workers.jobs import Job
from lumbar.workers.timeline import Ran, write_timeline

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "lumbar.cli")
POLL_SECONDS = 0.2
TRIES = 3
"""How often a job is started whose process is killed."""


@dataclass
class Running:
    """A job's process."""

    job: Job
    worker: int
    process: subprocess.Popen[bytes]
    tries: int
    began: float = field(default_factory=time.time)


def run_jobs(rounds: Sequence[Sequence[Job]], workers: int, folder: Path) -> None:
    """Runs the jobs, so many at a time; writes what each says to `<name>.log` in `folder`, and when each ran, see
    `timeline`.

    A job whose process is killed, by hand or for want of memory, is started again, `TRIES` times in all: it goes on
    from what it had. InputError where one fails, with the end of what it said; the others are stopped, and go on when
    asked again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = list[Ran]()
    with tqdm(total=sum(map(len, rounds)), desc=f"{workers} workers", unit="job") as progress:
        for jobs in rounds:
            for done in _run_round(jobs, workers, folder):
                finished.append(Ran(job=done.job.name, worker=done.worker, began=done.began, ended=time.time()))
                progress.update()
    write_timeline(finished, folder)


def _run_round(jobs: Sequence[Job], workers: int, folder: Path) -> Iterator[Running]:
    """Gives each job's process when it has ended well. What no job is there for has no share of the cores."""
    workers = min(workers, len(jobs))
    waiting, running = list(jobs), list[Running]()
    with _stopping(running):
        while waiting or running:
            free = sorted(set(range(workers)) - {each.worker for each in running})
            while waiting and free:
                running.append(_start(waiting.pop(0), free.pop(0), workers, folder))
            time.sleep(POLL_SECONDS)
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                if each.process.returncode < 0 and each.tries < TRIES:
                    logger.warning("%s: was killed; started again", each.job.name)
                    running.append(_start(each.job, each.worker, workers, folder, each.tries + 1))
                    continue
                if each.process.returncode:
                    raise each.job.failure(each.process.returncode, folder)
                yield each


@contextmanager
def _stopping(running: Sequence[Running]) -> Iterator[None]:
    """Ends what is still running when the block ends, however it does."""
    try:
        yield
    finally:
        for each in running:
            each.process.terminate()
        for each in running:
            each.process.wait()


def _start(job: Job, worker: int, workers: int, folder: Path, tries: int = 1) -> Running:
    logger.info("%s ... (%s)", job.name, job.log_in(folder))
    with job.log_in(folder).open("wb" if tries == 1 else "ab") as log:
        process = subprocess.Popen(
            [*COMMAND, *job.arguments], stdout=log, stderr=subprocess.STDOUT, env=environment(worker, workers)
        )
    return Running(job, worker, process, tries)


def environment(worker: int, workers: int) -> Mapping[str, str]:
    """What a worker is told by the environment: its share of the cores, and one of the GPUs, where there are some."""
    machine = this_machine()
    threads = max(1, machine.threads // workers)
    its_gpu = {"CUDA_VISIBLE_DEVICES": machine.gpus[worker % len(machine.gpus)]} if machine.gpus else {}
    return {**os.environ, "OMP_NUM_THREADS": str(threads), **its_gpu}
