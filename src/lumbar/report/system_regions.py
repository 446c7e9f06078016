"""Slices with the annotated regions of a system's cells: a box and a name for each finding, or "No finding"."""

from functools import partial
from itertools import zip_longest
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lumbar.baselines.samplers import is_graded
from lumbar.config import Config
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
SLICE = ["study_id", "series_id", "instance_number"]


def write_regions(run: Run, path: Path) -> list[str]:
    """Writes annotated slices of different studies as a picture, and returns its name; nothing without any."""
    shown: list[Tile] = []
    for _, rows in choose_slices(list_regions(run), run.config.seed):
        series = _open(run, rows) if len(shown) < SHOWN else None
        if series is not None:
            shown.append(
                partial(_draw, series=series, rows=rows, side_mm=box_mm(run.config, rows["condition"].iloc[0]))
            )
    if not shown:
        return []
    save(tile(shown, COLUMNS), path)
    return [path.name]


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
    grades = run.competition.labels[["study_id", "condition", "level", "grade"]]
    return mine.merge(grades, on=["study_id", "condition", "level"])


def choose_slices(regions: pd.DataFrame, seed: int) -> list[tuple[int, pd.DataFrame]]:
    """The regions of one slice of each study, with the study's id, in a random order; slices with a finding and
    without take turns."""
    slices = [rows for _, rows in regions.groupby(SLICE)]
    by_study: dict[int, pd.DataFrame] = {}
    for number in np.random.default_rng(seed).permutation(len(slices)):
        by_study.setdefault(int(slices[number]["study_id"].iloc[0]), slices[number])
    found = [item for item in by_study.items() if (item[1]["grade"] > 0).any()]
    healthy = [item for item in by_study.items() if not (item[1]["grade"] > 0).any()]
    return [item for pair in zip_longest(found, healthy) for item in pair if item is not None]


def box_mm(config: Config, condition: str) -> float:
    """The side of a box: of the crop that the system sees, or `BOX_MM` where it sees whole slices."""
    view = config.crop.view(group_of(condition))
    return BOX_MM if config.system.slices.whole_slice else view.size * view.mm_per_pixel


def _draw(axis: Axes, series: Series, rows: pd.DataFrame, side_mm: float) -> None:
    image = series.by_instance_number(rows["instance_number"].iloc[0])
    x_mm, y_mm = image.plane.x_spacing, image.plane.y_spacing
    axis.imshow(series.windowed(image), cmap="gray", aspect=y_mm / x_mm)
    found = rows[rows["grade"] > 0]
    axis.set_title(f"study {rows['study_id'].iloc[0]}" + ("" if len(found) else ": No finding"), fontsize=8)
    for number, row in enumerate(found.itertuples()):
        width, height = side_mm / x_mm, side_mm / y_mm
        corner = (row.x - width / 2, row.y - height / 2)
        axis.add_patch(plt.Rectangle(corner, width, height, fill=False, color=f"C{number}", linewidth=1.2))
        words = f"{grade_words(row.grade)} {class_words(row.condition)} {level_title(row.level)}"
        axis.text(0.02, 0.98 - 0.07 * number, words, color=f"C{number}", fontsize=7, transform=axis.transAxes, va="top")
