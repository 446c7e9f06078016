"""A picture of what the detector found: annotated and predicted points on the slices of a few studies."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lumbar.data.competition import Competition
from lumbar.data.points import SLICE, on_slices
from lumbar.labels import GROUPS, group_of, level_title
from lumbar.mri.series import SeriesError, read_series
from lumbar.report.system_charts import save

SHOWN = 8
"""Studies in the picture."""
DOTS = 80
"""Of the picture's inch."""
BOX_MM = 12.0
"""Side of the box drawn around a predicted point."""


def draw_points(competition: Competition, points: pd.DataFrame, path: Path) -> None:
    """Writes a PNG: a column for each of a few studies, spread over the ids, a row for each condition group.

    Boxes are predicted points (dashed where interpolated), crosses annotated ones; both only on the slice shown, which
    is the one with most of the predicted points.
    """
    points = on_slices(points)
    studies = sorted(points["study_id"].unique())
    chosen = [studies[index] for index in np.linspace(0, len(studies) - 1, min(SHOWN, len(studies))).astype(int)]
    columns = max(1, len(chosen))  # an untrained detector finds nothing, which is a picture, too
    figure, axes = plt.subplots(len(GROUPS), columns, figsize=(2.6 * columns, 2.8 * len(GROUPS)), squeeze=False)
    for column, study_id in enumerate(chosen):
        for row, group in enumerate(GROUPS):
            axes[row, column].axis("off")
            mine = points[(points["study_id"] == study_id) & (points["condition"].map(group_of) == group)]
            if len(mine):
                _draw_slice(axes[row, column], competition, study_id, mine)
    figure.tight_layout(pad=0.3)
    save(figure, path, DOTS)


def _draw_slice(axis: Axes, competition: Competition, study_id: int, points: pd.DataFrame) -> None:
    series_id, number = points[SLICE].value_counts().index[0]
    try:
        series = read_series(competition.series_directory("train", study_id, series_id))
        image = series.by_instance_number(number)
    except (SeriesError, KeyError):
        return
    axis.imshow(series.windowed(image), cmap="gray", aspect=image.plane.y_spacing / image.plane.x_spacing)
    width, height = BOX_MM / image.plane.x_spacing, BOX_MM / image.plane.y_spacing
    for row in _on_slice(points, series_id, number).itertuples():
        style = "-" if row.source == "detected" else "--"
        corner = (row.x - width / 2, row.y - height / 2)
        axis.add_patch(plt.Rectangle(corner, width, height, fill=False, color="orange", linestyle=style))
        axis.text(row.x + width, row.y, level_title(row.level), color="orange", fontsize=6, verticalalignment="center")
    annotated = competition.coordinates
    annotated = annotated[annotated["condition"].isin(points["condition"])]
    shown = _on_slice(annotated[annotated["study_id"] == study_id], series_id, number)
    axis.plot(shown["x"], shown["y"], "+", color="cyan", markersize=5)
    axis.set_title(f"{study_id}, fold {points['fold'].iloc[0]}", fontsize=7)


def _on_slice(points: pd.DataFrame, series_id: int, instance_number: int) -> pd.DataFrame:
    return points[(points["series_id"] == series_id) & (points["instance_number"] == instance_number)]
