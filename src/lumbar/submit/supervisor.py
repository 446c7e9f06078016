"""Grading in processes of their own, watched: whatever becomes of them, a valid submission stands there and grows.

A decoder that crashes, memory that runs out or a study that never ends would take a single process down with all its
work. Here they cost one study.
"""

import logging
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lumbar.config import read_saved_config
from lumbar.data.competition import Competition
from lumbar.data.priors import PRIOR_FILE, read_prior
from lumbar.machine import this_machine
from lumbar.records import write_text
from lumbar.submit.asked import read_asked
from lumbar.submit.journal import GPU_FAILED, Entry, Job, Journal
from lumbar.submit.results import write_results
from lumbar.submit.sharing import Share, share_of_one, share_out

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0
"""How often the submission on disk takes up what the journals have gained."""
STALL_SECONDS = 600.0
"""A process that finishes no study for so long hangs: a study takes seconds, loading the models a minute."""
POLL_SECONDS = 0.2
WORKER = ("-m", "lumbar.submit")
"""What Python is told to start a worker with."""
IDLE_DEATHS = 2
"""Processes in a row that may die before they start a study, or of their GPU before they finish one. Where there is no
other to help, the second tries without a GPU."""
ITS_GPU_FAILED = "its GPU failed"
"""How a worker was lost that ended with `GPU_FAILED`."""


def predict_supervised(
    models: Path, competition: Competition, work: Path, output: Path, deadline: float | None = None
) -> dict[str, Any]:
    """Writes the submission and its report, beginning with priors; grading stops at `deadline` (seconds since the
    epoch). The studies are shared among processes, see `sharing`. Returns the report."""
    work.mkdir(parents=True, exist_ok=True)
    asked, prior = read_asked(competition), read_prior(models / PRIOR_FILE)
    floor = read_saved_config(models / "config.json").submit.floor
    job = Job(
        models=models.resolve(),
        competition=competition.root.resolve(),
        study_ids=asked.study_ids,
        journal=work.resolve() / "journal.jsonl",
        deadline=deadline,
        supervisor=os.getpid(),
    )
    watches = list[Watch]()
    with tqdm(total=len(asked.study_ids), desc="grade studies", unit="study") as progress:
        report = write_results(*_noted(watches), asked, prior, floor, output)
        for _ in _watch_shares(job, watches):
            died = tuple(ending for watch in watches for ending in watch.died)
            report = write_results(*_noted(watches), asked, prior, floor, output, died)
            progress.update(report["studies_graded"] - progress.n)
    return report


class Watch:
    """The workers that grade a share, one after the other, and what became of them."""

    def __init__(self, share: Share, is_last_resort: bool) -> None:
        self.share, self.is_last_resort = share, is_last_resort
        self.journal = Journal(share.job.journal)
        self.died: list[str] = []
        self.is_last_open = False
        """Whether the journal's last study may be unfinished without a death: it is being graded, or time ran out."""

    def left_to_do(self) -> list[int]:
        """The studies that may still be graded; none when the time is up."""
        return [] if _is_over(self.share.job) else self.journal.left_to_do(self.share.job.study_ids)

    def steps(self) -> Generator[bool, None, None]:
        """Runs workers until nothing is left to do or the time is up, and gives True whenever it has looked."""
        path, idle = self.journal.path.with_suffix(".job.json"), 0
        write_text(self.share.job.model_dump_json(), path)
        while self.left_to_do() and idle < IDLE_DEATHS:
            begun, finished = len(self.journal.read()), len(self.journal.finished())
            self.is_last_open = True
            ending = yield from _run_worker(path, self.share, without_gpu=idle > 0 and self.is_last_resort)
            self.is_last_open = ending is None and _is_over(self.share.job)
            if ending is not None:
                logger.error("a grading process was lost: %s; going on with another one", ending)
                self.died.append(ending)
            worked = (
                len(self.journal.finished()) > finished
                if ending == ITS_GPU_FAILED
                else len(self.journal.read()) > begun
            )
            idle = 0 if worked else idle + 1


def _watch_shares(job: Job, watches: list[Watch]) -> Iterator[None]:
    """Adds the watches of a job's shares, and lets them be graded; gives way whenever there may be something new to
    write.

    What is left where processes gave up, for want of memory or a bad GPU, say, is graded by one that has the machine to
    itself, and a GPU that has worked.
    """
    machine = this_machine()
    shares = share_out(job, machine)
    watches += [Watch(share, is_last_resort=len(shares) == 1) for share in shares]
    yield from _side_by_side(watches)
    left = [study_id for watch in watches for study_id in watch.left_to_do()]
    if left and len(shares) > 1:
        proven = next((watch.share.gpu for watch in watches if watch.journal.finished()), None)
        watches.append(Watch(share_of_one(job, machine, left, proven), is_last_resort=True))
        yield from _side_by_side(watches[-1:])


def _side_by_side(watches: Sequence[Watch]) -> Iterator[None]:
    with ExitStack() as stack:
        running = [stack.enter_context(closing(watch.steps())) for watch in watches]
        refreshed = time.monotonic()
        while running := [steps for steps in running if next(steps, False)]:
            time.sleep(POLL_SECONDS)
            if time.monotonic() - refreshed > REFRESH_SECONDS:
                refreshed = time.monotonic()
                yield
    yield


def _noted(watches: Sequence[Watch]) -> tuple[Mapping[int, Entry], Counter[int]]:
    """The studies that are finished, of all shares, and how often processes died of the others."""
    finished: dict[int, Entry] = {}
    fatal = Counter[int]()
    for watch in watches:
        finished |= watch.journal.finished()
        fatal += watch.journal.fatal(watch.is_last_open)
    return finished, Counter({study_id: deaths for study_id, deaths in fatal.items() if study_id not in finished})


def _is_over(job: Job) -> bool:
    return time.time() > (job.deadline or math.inf)


def _run_worker(path: Path, share: Share, without_gpu: bool) -> Generator[bool, None, str | None]:
    """Runs one worker to its end, and gives True whenever it has looked; returns how it was lost, or None when it ended
    well or its time was up."""
    job = share.job
    worker = subprocess.Popen([sys.executable, *WORKER, str(path)], env=_environment(share, without_gpu))
    try:
        progress, changed = 0, time.monotonic()
        while worker.poll() is None:
            yield True
            now, size = time.monotonic(), job.journal.stat().st_size if job.journal.is_file() else 0
            if size != progress:
                progress, changed = size, now
            if now - changed > STALL_SECONDS:
                return f"no study was finished in {STALL_SECONDS:.0f} s"
            if _is_over(job):
                logger.warning("the time is up")
                return None
    finally:
        worker.kill()
        worker.wait()
    if worker.returncode == GPU_FAILED:
        return ITS_GPU_FAILED
    return None if worker.returncode == 0 else f"exit status {worker.returncode}"


def _environment(share: Share, without_gpu: bool) -> dict[str, str]:
    """This process's, with the packages that were added to its path while it ran, and the share's threads and GPU."""
    gpu = "" if without_gpu else share.gpu
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": str(share.threads),
        **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}),
    }
