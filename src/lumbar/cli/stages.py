"""The stages as commands, each of which runs those before it as far as they have anything new to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lumbar.cli.options import (
    DEMO,
    SUBMISSION,
    ConfigOption,
    DataOption,
    FoldOption,
    GroupOption,
    NetOption,
    ViewOption,
    open_run,
    open_trained_run,
    select,
)

if TYPE_CHECKING:
    from lumbar.run.run import Run, Selection
    from lumbar.workers.jobs import Job


def folds(config: ConfigOption = DEMO, data: DataOption = None) -> None:
    """Stage: write the fold file, or check the one that is there."""
    _run_through("folds", config, data)


def detect(config: ConfigOption = DEMO, data: DataOption = None, fold: FoldOption = None) -> None:
    """Stage: train the detectors and write the out-of-fold points."""
    _run_through("detect", config, data, select(fold))


def crop(config: ConfigOption = DEMO, data: DataOption = None, view: ViewOption = None) -> None:
    """Stage: cut the crops around the points."""
    _run_through("crop", config, data, select(view=view))


def grade(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    fold: FoldOption = None,
    group: GroupOption = None,
    net: NetOption = None,
) -> None:
    """Stage: train the graders and write their out-of-fold predictions."""
    _run_through("grade", config, data, select(fold, group, net))


def submit(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    output: Annotated[Path, typer.Option(help="The CSV to write.")] = SUBMISSION / "submission.csv",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a study's first error.")] = False,
) -> None:
    """Stage: predict the test studies with the run's models, as they are, and write the submission."""
    from lumbar.submit.results import format_report
    from lumbar.submit.stage import run_submit

    report = run_submit(open_trained_run(config, data), output, strict)
    typer.echo(f"{format_report(report)}\nwrote {output}")


def cv(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    fold: FoldOption = None,
    group: GroupOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Train so many folds at a time, each in its own process.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train the folds as tasks of this Ray cluster; local: of this machine."),
    ] = None,
    sbatch: Annotated[
        Path | None, typer.Option(help="Write the run's jobs as files for a Slurm cluster into this folder, and stop.")
    ] = None,
) -> None:
    """Run every stage on the training studies and score what they predict out of fold."""
    from lumbar.pipeline import format_table, run_through, score_run
    from lumbar.records import write_text
    from lumbar.workers.local import run_jobs
    from lumbar.workers.ray_tasks import run_on_ray
    from lumbar.workers.slurm import write_sbatch

    if sum((bool(sbatch), bool(ray), workers > 1)) > 1:
        raise typer.BadParameter("take one of them", param_hint="--workers, --ray, --sbatch")
    run = open_run(config, data, select(fold, group))
    if sbatch or ray or workers > 1:
        rounds, last = _plan(run, config, data, None if sbatch or ray else workers)
    if sbatch:
        typer.echo(f"wrote {write_sbatch(run.config.name, rounds, last, sbatch)}")
        return
    if ray:
        run_on_ray(rounds, ray, run.folder / "jobs")
    elif workers > 1:
        run_jobs(rounds, workers, run.folder / "jobs")
    with run.held():
        run_through(run)
        table = format_table(score_run(run))
        write_text(table + "\n", run.folder / "cv.txt")
    typer.echo(f"\n{table}\n\nwrote {run.folder / 'cv.json'}")


def _plan(run: Run, config: Path, data: Path | None, workers: int | None) -> tuple[list[list[Job]], Job]:
    """The run's jobs, see `workers.jobs.plan_jobs`, and the one that scores it; its folds are made.

    They are parted finely where there are more workers than folds, or nobody knows how many.
    """
    from lumbar.pipeline import run_through
    from lumbar.workers.jobs import Job, plan_jobs

    if run.selection != select():
        raise typer.BadParameter(
            "--fold and --group are for one process by itself", param_hint="--workers, --ray, --sbatch"
        )
    run_through(run, last="folds")
    options = ("--config", str(config), *(("--data", str(data)) if data else ()))
    finely = workers is None or workers > len(run.fold_numbers)
    return plan_jobs(run, options, finely), Job("cv", ("cv", *options))


def _run_through(stage: str, config: Path, data: Path | None, selection: Selection | None = None) -> None:
    from lumbar.pipeline import run_through

    run_through(open_run(config, data, selection), last=stage)


COMMANDS = {command.__name__: command for command in (cv, folds, detect, crop, grade, submit)}
