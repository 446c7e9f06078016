"""A finished run measured in its own classes: a system on its paper's split and out of fold, the main pipeline by its
answers out of fold."""

from typing import Any

from lumbar.baselines.cases import run_cases, write_pipeline_cases
from lumbar.baselines.figures import write_figures
from lumbar.baselines.opening import at_annotated_points
from lumbar.baselines.own_split import run_own_split
from lumbar.baselines.stage import run_system_crop
from lumbar.run.run import Run


def measure_run(run: Run) -> dict[str, Any]:
    """Writes `cases/`, a system's `own_split/`, and `figures.json` of a run that is scored, and returns the figures."""
    if run.config.published is None:
        write_pipeline_cases(run)
    else:
        _test_system(run)
    return write_figures(run)


def _test_system(run: Run) -> None:
    annotated = at_annotated_points(run)
    run_system_crop(annotated)
    split = run.config.system.own_split
    if split:
        run_own_split(run, annotated, split)
    run_cases(run, annotated)
