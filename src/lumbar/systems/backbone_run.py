"""A paper's table of backbones made anew: every net trained and measured, and the table, its plot and a picture."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.baselines.measure import measure_run
from lumbar.baselines.stage import expect_net, run_system_crop, run_system_grade
from lumbar.data.tables import write_table
from lumbar.pipeline import expect_weights, run_folds
from lumbar.records import write_json, write_text
from lumbar.report.system_backbones import draw_accuracies, draw_one_crop
from lumbar.report.system_charts import save
from lumbar.run.checkpoint import current_commit
from lumbar.run.run import Run
from lumbar.systems.backbone_rows import TableRow, describe_net
from lumbar.systems.backbone_table import SPLIT_WORDS, format_table
from lumbar.systems.backbones import Backbone, open_row
from lumbar.systems.needs import expect_cells, expect_series

logger = logging.getLogger(__name__)


def run_backbones(shared: Run, backbones: Sequence[Backbone]) -> str:
    """Trains and measures a system with each backbone as far as there is anything new to do; returns the table.

    `shared` is of `open_backbones`. Its folder gets `backbones.json`, `.csv`, `.txt` and `.png`, anew with each net
    that is finished, and in the end `backbones_predictions.png`. InputError where the data lack what the system looks
    at.
    """
    runs = [open_row(shared, backbone) for backbone in backbones]
    for run in runs:
        expect_net(run.config)
        expect_weights(run.config)
    expect_series(shared)
    with shared.held():
        shared.enter()
        run_folds(shared)
        run_system_crop(shared)
        expect_cells(shared)
        return _run_rows(shared, backbones, runs)


def _run_rows(shared: Run, backbones: Sequence[Backbone], runs: Sequence[Run]) -> str:
    rows, text = list[TableRow](), ""
    for backbone, run in zip(backbones, runs, strict=True):
        logger.info("backbones: %s", backbone.name)
        rows += describe_net(shared.config.name, backbone, run, _train(run, shared.folder / "crop"))
        text = write_rows(shared, rows)
    draw_one_crop({run.config.title: run for run in runs}, shared.folder / "backbones_predictions.png")
    return text


def _train(run: Run, crops: Path) -> dict[str, Any]:
    """Trains and measures one net on shared crops; returns its figures."""
    with run.held():
        run.enter()
        share_crops(run, crops)
        run_system_grade(run)
        return measure_run(run)


def share_crops(run: Run, crops: Path) -> None:
    """Lets a run's crop folder be that of the run around it: every net sees the same crops."""
    place = run.folder / "crop"
    if not place.is_symlink():
        place.symlink_to(Path("..") / crops.name, target_is_directory=True)


def write_rows(shared: Run, rows: Sequence[TableRow]) -> str:
    """Writes the table and its plot, and returns the text."""
    folder, name = shared.folder, shared.config.name
    text = format_table(shared.config, rows)
    write_json({"system": name, "commit": current_commit(), "rows": list(rows)}, folder / "backbones.json")
    write_table(pd.DataFrame(rows), folder / "backbones.csv")
    write_text(text + "\n", folder / "backbones.txt")
    save(draw_accuracies(rows, SPLIT_WORDS), folder / "backbones.png")
    return text
