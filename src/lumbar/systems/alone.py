"""One published system, run on a data set by itself: its crops, its nets, its own figures, and what its paper shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lumbar.baselines.measure import measure_run
from lumbar.baselines.needs import expect_cells, expect_series
from lumbar.baselines.opening import describe_cells, folder_for, on_own_folds, open_alone
from lumbar.baselines.papers import PAPERS
from lumbar.baselines.stage import expect_net, run_system_crop, run_system_grade
from lumbar.ensemble.stage import run_ensemble
from lumbar.pipeline import expect_weights, run_folds, score_run
from lumbar.records import align
from lumbar.report.page import write_report
from lumbar.report.system_files import write_system_files
from lumbar.report.systems import System, describe_system
from lumbar.run.run import Run

STUDIES = 4
"""With a page of their own in the system's report."""


def open_system(main: Run, config_path: Path, name: str, data: Path | None, full_size: bool = False) -> Run:
    """A system's run on the data, folds and seed of a main run, in `runs/<data>/systems/<name>`.

    `data` is the folder that was asked for; the config's own phantom goes by the config's name.
    """
    folder = folder_for(main, data) / "systems" / name
    return open_alone(on_own_folds(main), config_path, name, folder, full_size)


def run_system(run: Run, config_path: Path) -> str:
    """Trains, measures and draws a system as far as it has anything new to do, and returns its figures as text.

    `config_path` is the one that it was opened with, for the commands in its report.

    Raises InputError where the data set lacks what the system looks at.
    """
    expect_net(run.config)
    expect_weights(run.config)
    expect_series(run)
    with run.entered():
        run_folds(run)
        run_system_crop(run)
        expect_cells(run)
        run_system_grade(run)
        run_ensemble(run)
        score, figures = score_run(run), measure_run(run)
        write_system_files(run)
        write_report(run, config_path, STUDIES)
    return format_system(run, figures, score)


def format_system(run: Run, figures: Mapping[str, Any], score: Mapping[str, Any]) -> str:
    """A system's own figures by split, beside what its paper reports, and its score by the competition's metric."""
    system = describe_system(run.config.title, figures)
    low, high = score["ci95"]
    lines = [f"{run.config.title}: {describe_cells(run.config.cells)}", "", *align_figures(system), ""]
    if run.config.name in PAPERS:
        lines.append(f"its paper reports: {PAPERS[run.config.name].headline}")
    lines.append(
        f"competition metric {score['score']:.4f} (95 % interval {low:.3f} to {high:.3f}), weighted prior "
        f"{score['prior']['score']:.4f}; cells that it leaves out have the prior"
    )
    return "\n".join(lines)


def align_figures(system: System) -> list[str]:
    """The lines of a table of a system's figures by split."""
    return align([("", *system.splits), *((name, *values) for name, values in system.figures)])
