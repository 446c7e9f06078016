"""Variants of a system in one table: every one trained and measured on shared crops, and the table, its plot and a
picture."""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.baselines.measure import measure_run
from lumbar.baselines.needs import expect_cells, expect_series
from lumbar.baselines.stage import expect_net, run_system_crop, run_system_grade
from lumbar.data.tables import write_table
from lumbar.pipeline import expect_weights, run_folds
from lumbar.records import write_json, write_text
from lumbar.report.system_charts import save
from lumbar.report.system_variants import draw_accuracies, draw_one_crop
from lumbar.run.checkpoint import current_commit
from lumbar.run.run import Run
from lumbar.systems.table_rows import TableRow, describe_variant
from lumbar.systems.table_text import SPLIT_WORDS, format_table

logger = logging.getLogger(__name__)

GRADERS = ("grade", "models", "predictions")
"""The folders that the grade stage writes."""


def run_table(shared: Run, runs: Sequence[Run], columns: Mapping[str, str], place: Path) -> str:
    """Trains and measures variants of a system, which see the same crops, as far as there is anything new to do.

    `shared` is the run that makes the crops, `place` where the table is written, without a suffix: `.json`, `.csv`,
    `.txt` and `.png`, anew with each variant that is finished, and in the end `_predictions.png`. Returns the text.
    InputError where the data lack what the system looks at.
    """
    for run in runs:
        expect_net(run.config)
        expect_weights(run.config)
    expect_series(shared)
    with shared.entered():
        run_folds(shared)
        run_system_crop(shared)
        expect_cells(shared)
        return _run_rows(shared, runs, columns, place)


def _run_rows(shared: Run, runs: Sequence[Run], columns: Mapping[str, str], place: Path) -> str:
    rows, text = list[TableRow](), ""
    for number, run in enumerate(runs):
        logger.info("%s: %s", place.name, run.config.title)
        alike = next((other for other in runs[:number] if are_trained_alike(run, other)), None)
        rows += describe_variant(shared.config.name, run, _train(run, shared, alike))
        text = format_table(shared.config, rows, columns)
        write_rows(shared.config.name, rows, text, place)
    draw_one_crop({run.config.title: run for run in runs}, place.with_name(f"{place.name}_predictions.png"))
    return text


def _train(run: Run, shared: Run, alike: Run | None) -> dict[str, Any]:
    """Trains and measures one variant on shared crops, with the graders of another that is trained alike, if there is
    one; returns its figures."""
    with run.entered():
        share(run, shared.folder / "crop")
        if alike:
            for name in GRADERS:
                share(run, alike.folder / name)
        else:
            run_system_grade(run)
        return measure_run(run)


def are_trained_alike(run: Run, other: Run) -> bool:
    """Whether the graders of the folds are the same: whatever two variants are called, and however their papers' own
    split is made."""
    left_out: Any = {"name": True, "published": {"title", "own_split"}}
    return run.config.model_dump(exclude=left_out) == other.config.model_dump(exclude=left_out)


def share(run: Run, folder: Path) -> None:
    """Lets a folder of a run be another run's, which bears the same name, by a link."""
    link = run.folder / folder.name
    if not link.is_symlink():
        if link.is_dir():
            shutil.rmtree(link)  # of an earlier version, which shared less
        link.symlink_to(os.path.relpath(folder, run.folder), target_is_directory=True)


def write_rows(system: str, rows: Sequence[TableRow], text: str, place: Path) -> None:
    """Writes a table as far as it has got, and its plot."""
    write_json({"system": system, "commit": current_commit(), "rows": list(rows)}, place.with_suffix(".json"))
    write_table(pd.DataFrame(rows), place.with_suffix(".csv"))
    write_text(text + "\n", place.with_suffix(".txt"))
    save(draw_accuracies(rows, SPLIT_WORDS), place.with_suffix(".png"))
