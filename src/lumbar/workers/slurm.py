"""Jobs as files for a Slurm cluster whose nodes share a disk: an array for each round, and what submits them."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from lumbar.records import write_text
from lumbar.workers.jobs import Job

COMMAND = ("lumbar",)
"""As the nodes call it: the environment must be active where the files are submitted."""
SUBMIT = "submit.sh"


def write_sbatch(name: str, rounds: Sequence[Sequence[Job]], last: Job, folder: Path) -> Path:
    """Writes `round<number>.sbatch` for each round of a run's jobs, one for the `last` job, and `submit.sh`, which
    submits each round behind the one before it; returns the latter's path.

    What `submit.sh` is given, such as `--gres=gpu:1 --mem=32G`, goes to every `sbatch`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "#!/bin/bash",
        "# bash submit.sh [options of sbatch], from the folder that the run was planned in",
        "set -e",
    ]
    for number, jobs in enumerate([*rounds, [last]], start=1):
        path = folder / f"round{number}.sbatch"
        write_text(_array(f"{name}-{number}", jobs, folder), path)
        after = f" --dependency=afterok:$round{number - 1}" if number > 1 else ""
        lines.append(f'round{number}=$(sbatch --parsable{after} "$@" {shlex.quote(path.as_posix())})')
    write_text("\n".join([*lines, f'echo "the last is job $round{len(rounds) + 1}"', ""]), folder / SUBMIT)
    return folder / SUBMIT


def _array(name: str, jobs: Sequence[Job], folder: Path) -> str:
    """A job array with a task for each of the jobs."""
    log = shlex.quote((folder / f"{name}_%a.log").as_posix())
    head = [
        "#!/bin/bash",
        f"#SBATCH --job-name={name}",
        f"#SBATCH --array=0-{len(jobs) - 1}",
        f"#SBATCH --output={log}",
    ]
    tasks = [f"{number}) {shlex.join([*COMMAND, *job.arguments])} ;;" for number, job in enumerate(jobs)]
    return "\n".join([*head, "case $SLURM_ARRAY_TASK_ID in", *tasks, "esac", ""])
