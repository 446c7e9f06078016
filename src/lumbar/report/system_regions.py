"""Slices with the annotated regions of a system's cells: a box and a name for each finding, or "No finding"."""

from collections.abc import Iterable
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lumbar.baselines.samplers import is_graded
from lumbar.config import Config
from lumbar.data.points import KEY
from lumbar.export.tables import PLACE
from lumbar.labels import GROUPS, group_of, level_title
from lumbar.mri.series import Series, SeriesError, read_series
from lumbar.report.system_charts import save
from lumbar.report.system_pictures import Tile, tile
from lumbar.report.words import class_words, grade_words
from lumbar.run.run import Run

SHOWN = 8
COLUMNS = 4
BOX_MM = 24.0
"""Side of the box around a point where the system sees whole slices: about a disc's depth."""
COLOURS = ("gold", "cyan", "lime", "orange", "magenta")
"""Of the boxes and their names, on a dark slice."""


def write_regions(run: Run, path: Path) -> None:
    """Writes annotated slices of different studies as a picture; nothing without any."""
    shown: list[Tile] = []
    for rows in choose_slices(list_regions(run), run.config.seed):
        series = _open(run, rows) if len(shown) < SHOWN else None
        if series is not None:
            shown.append(
                partial(_draw, series=series, rows=rows, side_mm=box_mm(run.config, rows["condition"].iloc[0]))
            )
    if shown:
        save(tile(shown, COLUMNS), path)


def _open(run: Run, rows: pd.DataFrame) -> Series | None:
    """The series that some regions of one slice lie on; None where it, or the slice, cannot be read."""
    first = rows.iloc[0]
    directory = run.competition.series_directory("train", first["study_id"], first["series_id"])
    try:
        series = read_series(directory, GROUPS[group_of(first["condition"])].plane)
        series.by_instance_number(first["instance_number"])
    except (SeriesError, KeyError):
        return None
    return series


def list_regions(run: Run) -> pd.DataFrame:
    """The annotated points of a system's cells, as the competition's table has them, with the grade of each."""
    points = run.competition.coordinates
    mine = points[is_graded(points, run.config.cells)]
    return mine.merge(run.competition.labels[[*KEY, "grade"]], on=KEY)


def choose_slices(regions: pd.DataFrame, seed: int) -> list[pd.DataFrame]:
    """The regions of one slice of each study, in a random order: slices with a finding, from half of the studies that
    have one, and slices without take turns."""
    slices = [rows for _, rows in regions.groupby(PLACE)]
    order = [slices[number] for number in np.random.default_rng(seed).permutation(len(slices))]
    found = _one_of_each_study(rows for rows in order if (rows["grade"] > 0).any())
    found = dict(list(found.items())[: max(SHOWN // 2, len(found) // 2)])
    healthy = _one_of_each_study(rows for rows in order if not (rows["grade"] > 0).any())
    others = [rows for study_id, rows in healthy.items() if study_id not in found]
    return [rows for pair in zip_longest(found.values(), others) for rows in pair if rows is not None]


def _one_of_each_study(slices: Iterable[pd.DataFrame]) -> dict[int, pd.DataFrame]:
    by_study: dict[int, pd.DataFrame] = {}
    for rows in slices:
        by_study.setdefault(int(rows["study_id"].iloc[0]), rows)
    return by_study


def box_mm(config: Config, condition: str) -> float:
    """The side of a box: of the crop that the system sees, or `BOX_MM` where it sees whole slices."""
    view = config.crop.views[group_of(condition)]
    return BOX_MM if config.system.slices.whole_slice else view.size * view.mm_per_pixel


def _draw(axis: Axes, series: Series, rows: pd.DataFrame, side_mm: float) -> None:
    image = series.by_instance_number(rows["instance_number"].iloc[0])
    x_mm, y_mm = image.plane.x_spacing, image.plane.y_spacing
    axis.imshow(series.windowed(image), cmap="gray", aspect=y_mm / x_mm)
    found = rows[rows["grade"] > 0]
    axis.set_title(f"study {rows['study_id'].iloc[0]}" + ("" if len(found) else ": No finding"), fontsize=8)
    for number, row in enumerate(found.itertuples()):
        width, height, colour = side_mm / x_mm, side_mm / y_mm, COLOURS[number % len(COLOURS)]
        corner = (row.x - width / 2, row.y - height / 2)
        axis.add_patch(plt.Rectangle(corner, width, height, fill=False, color=colour, linewidth=1.2))
        words = f"{grade_words(row.grade)} {class_words(row.condition)} {level_title(row.level)}"
        where: dict[str, Any] = {"transform": axis.transAxes, "va": "top", "bbox": {"color": "black", "pad": 1.0}}
        axis.text(0.02, 0.98 - 0.08 * number, words, color=colour, fontsize=7, **where)
