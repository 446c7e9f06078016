"""Pictures of what a competition's tables hold, in the report's colours."""

import re
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lumbar.labels import CONDITIONS, LEVELS, level_title, title
from lumbar.records import written_whole
from lumbar.report.explore import GRADE_TITLES, TITLES, Tables
from lumbar.report.grades import GRADE_STYLES

RIGHT_SIDE = 0.6
"""Opacity of what is on the right, in the colour of its condition group: it is told from the left by that."""
BAR = 0.68
"""Width of a bar as a share of its place."""


def draw_tables(tables: Tables, out: Path) -> None:
    """Writes `conditions.png`, `levels.png`, `cells.png` and `series.png`."""
    pictures = {
        "conditions": _draw_conditions(tables["conditions"]),
        "levels": _draw_levels(tables["levels"], tables["grades"]),
        "cells": _draw_cells(tables["cells"]),
        "series": _draw_series(tables["series"], tables["series_per_study"]),
    }
    for name, figure in pictures.items():
        with written_whole(out / f"{name}.png") as beside:
            figure.savefig(beside, format="png", facecolor=colour("paper"))


@cache
def colour(name: str) -> str:
    """A colour of the report's light theme, such as `severe` or `ink`."""
    style = (resources.files("lumbar.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return re.findall(rf"--{name}: (#[0-9a-f]{{6}})", style)[0]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _draw_conditions(conditions: pd.DataFrame) -> Figure:
    figure = _figure(7.2, 4.0)
    axis = figure.subplots()
    _head(axis, TITLES["conditions"])
    if not conditions["points"].sum():
        axis.axis("off")
        return figure
    wedges = axis.pie(
        conditions["points"],
        labels=[f"{row.condition}\n{row.points:,} · {row.share:.1f} %" for row in conditions.itertuples()],
        startangle=90,
        counterclock=False,
        textprops={"color": colour("ink"), "fontsize": 9},
        wedgeprops={"edgecolor": colour("paper"), "linewidth": 1.5},
    )[0]
    for wedge, condition in zip(wedges, CONDITIONS.values(), strict=True):
        wedge.set_facecolor(colour(condition.group))
        wedge.set_alpha(RIGHT_SIDE if condition.side == "right" else 1.0)
    return figure


def _draw_levels(levels: pd.DataFrame, grades: pd.DataFrame) -> Figure:
    figure = _figure(9.0, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _stack(left, levels["level"].tolist(), levels[list(GRADE_TITLES.values())])
    _head(left, "Labels by level and grade")
    bars = right.bar(grades["grade"], grades["labels"], BAR, color=[colour(style) for style in GRADE_STYLES])
    right.bar_label(bars, [f"{row.labels:,}\n{row.share:.1f} %" for row in grades.itertuples()], **_small())
    right.margins(y=0.18)
    _head(right, TITLES["grades"])
    _legend(figure)
    return figure


def _draw_cells(cells: pd.DataFrame) -> Figure:
    figure = _figure(12.0, 3.4)
    for axis, condition in zip(figure.subplots(1, len(CONDITIONS), sharey=True), CONDITIONS, strict=True):
        mine = cells[cells["condition"] == title(condition)]
        _stack(axis, [level_title(level) for level in LEVELS], mine[list(GRADE_TITLES.values())])
        _head(axis, title(condition))
    _legend(figure)
    return figure


def _draw_series(kinds: pd.DataFrame, per_study: pd.DataFrame) -> Figure:
    figure = _figure(9.0, 3.4)
    left, right = figure.subplots(1, 2)
    _bars(left, kinds["series_description"].tolist(), kinds["series"])
    _head(left, TITLES["series"])
    _bars(right, per_study["series"].astype(str).tolist(), per_study["all"])
    _head(right, TITLES["series_per_study"])
    return figure


def _bars(axis: Axes, names: list[str], counts: pd.Series) -> None:
    axis.bar_label(axis.bar(names, counts, BAR, color=colour("accent")), [f"{count:,}" for count in counts], **_small())
    axis.margins(y=0.12)


def _stack(axis: Axes, names: list[str], counts: pd.DataFrame) -> None:
    """A bar for each name, a piece of it for each grade."""
    below = np.zeros(len(counts))
    for style, (_, column) in zip(GRADE_STYLES, counts.items(), strict=True):
        axis.bar(names, column, BAR, bottom=below, color=colour(style))
        below += column.to_numpy()


def _small() -> dict[str, object]:
    return {"fontsize": 8, "color": colour("quiet"), "padding": 2}


def _head(axis: Axes, words: str) -> None:
    """The title, and an axis with as few lines as it needs."""
    axis.set_title(words, loc="left", fontsize=9, fontweight="bold", color=colour("ink"))
    axis.set_facecolor(colour("paper"))
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(colour("line"))
    axis.tick_params(colors=colour("quiet"), labelsize=8, length=0)
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.grid(axis="y", color=colour("line"), linewidth=0.8)
    axis.set_axisbelow(True)


def _legend(figure: Figure) -> None:
    names = zip(GRADE_TITLES.values(), GRADE_STYLES, strict=True)
    handles = [
        Axes.scatter(figure.axes[0], [], [], marker="s", color=colour(style), label=name) for name, style in names
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=colour("ink")
    )
