"""Jobs as tasks of a Ray cluster whose nodes share a disk: what a lost node had is made on another."""

import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lumbar.errors import InputError
from lumbar.run.lock import IN_USE
from lumbar.workers.jobs import Job
from lumbar.workers.timeline import Ran, write_timeline

logger = logging.getLogger(__name__)

TRIES = 4
"""How often a job is begun whose worker or node is lost."""
PATIENCE = 120
"""Seconds that a job waits for the lock of the worker that had it before, which may take a while to end."""


def run_on_ray(rounds: Sequence[Sequence[Job]], address: str, folder: Path) -> None:
    """Runs the jobs, as many at a time as the cluster has cores or, where it has some, GPUs; writes what each says to
    `<name>.log` in `folder`, and when each ran, see `timeline`.

    Every node needs the package, and the folder that this is called in at the same place. InputError where Ray is not
    installed or a job fails; what is done is kept, and the same command goes on.
    """
    if find_spec("ray") is None:
        raise InputError("--ray needs Ray: pip install '.[cluster]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would tell its makers over the network
    import ray

    folder.mkdir(parents=True, exist_ok=True)
    ray.init(address, include_dashboard=False, log_to_driver=False)
    try:
        finished = [each for jobs in rounds for each in _run_round(ray, jobs, folder.resolve())]
    finally:
        ray.shutdown()
    nodes = sorted({made.node for _, made in finished})
    ran = [Ran(job=name, worker=nodes.index(made.node), began=made.began, ended=made.ended) for name, made in finished]
    write_timeline(ran, folder)


def _run_round(ray: Any, jobs: Sequence[Job], folder: Path) -> list[tuple[str, "Made"]]:
    """The jobs' names, and how each was made, of jobs that do not need each other."""
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    # A process for each: what a training leaves behind in one is no other's.
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=TRIES - 1, max_calls=1)(make)
    asked = {task.remote(job.arguments, Path.cwd(), job.log_in(folder)): job for job in jobs}
    ended, left = [], list(asked)
    with tqdm(total=len(left), desc="Ray", unit="job") as progress:
        while left:
            (done,), left = ray.wait(left)
            job = asked[done]
            try:
                made: Made = ray.get(done)
            except ray.exceptions.RayError as error:
                raise InputError(f"{job.log_in(folder)}: {job.name} was lost {TRIES} times: {error}") from error
            if made.status:
                raise job.failure(made.status, folder)
            ended.append((job.name, made))
            progress.update()
    return ended


@dataclass(frozen=True)
class Made:
    """How a job was made: the command's exit status, the node, and from when to when, in seconds since the epoch."""

    status: int
    node: str
    began: float
    ended: float


def make(arguments: Sequence[str], folder: Path, log: Path) -> Made:
    """Makes a job by the command, in a Ray worker's own process, which ends with its node."""
    import ray

    began = time.time()
    os.chdir(folder)
    with log.open("ab") as said:
        for stream in (1, 2):
            os.dup2(said.fileno(), stream)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    status = call(arguments)
    while status == IN_USE and time.time() - began < PATIENCE:
        time.sleep(1)
        status = call(arguments)
    return Made(status, ray.get_runtime_context().get_node_id(), began, time.time())


def call(arguments: Sequence[str]) -> int:
    """The exit status of the installed command, called in this process."""
    (command,) = entry_points(group="console_scripts", name="lumbar")
    sys.argv = [command.name, *arguments]
    try:
        command.load()()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
