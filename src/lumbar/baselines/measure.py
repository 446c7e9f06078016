"""A finished run measured in its own classes: on its paper's split, and out of fold."""

from typing import Any

from lumbar.baselines.cases import run_cases
from lumbar.baselines.figures import write_figures
from lumbar.baselines.own_split import run_own_split
from lumbar.baselines.stage import run_system_crop
from lumbar.baselines.systems import at_annotated_points, described
from lumbar.run.run import Run


def measure_run(run: Run) -> dict[str, Any]:
    """Writes `own_split/`, `cases/` and `figures.json` of a run whose graders are trained, and returns the figures."""
    annotated = at_annotated_points(run)
    run_system_crop(annotated)
    split = described(run).own_split
    if split:
        run_own_split(run, annotated, split)
    run_cases(run, annotated)
    return write_figures(run)
