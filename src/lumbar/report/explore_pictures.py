"""Pictures of what a competition's tables hold, in the report's colours."""

import re
from functools import cache
from importlib import resources
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lumbar.export.tables import GRADE_TITLES
from lumbar.labels import CONDITIONS, title
from lumbar.records import written_whole
from lumbar.report.explore import TITLES, Tables
from lumbar.report.grades import GRADE_STYLES

RIGHT_SIDE = 0.6
"""Opacity of what is on the right, in the colour of its condition group: it is told from the left by that."""
BAR = 0.68
"""Width of a bar as a share of its place."""
PAD = 0.12
"""Inches around each panel."""
TITLE_WIDTH = 20
"""Letters in a line of a condition's name, above a narrow panel."""


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
    return Figure(figsize=(width, height), dpi=120, layout=ConstrainedLayoutEngine(w_pad=PAD, h_pad=PAD))


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
    _head(left, "Labels by level and grade")
    _stack(left, levels["level"], levels)
    _head(right, TITLES["grades"])
    notes = [f"{row.labels:,}\n{row.share:.1f} %" for row in grades.itertuples()]
    _bars(right, grades["grade"], grades["labels"], notes, [colour(style) for style in GRADE_STYLES])
    _legend(figure, left)
    return figure


def _draw_cells(cells: pd.DataFrame) -> Figure:
    figure = _figure(12.0, 3.6)
    axes = figure.subplots(1, len(CONDITIONS), sharey=True)
    for axis, condition in zip(axes, map(title, CONDITIONS), strict=True):
        mine = cells[cells["condition"] == condition]
        _head(axis, fill(condition, TITLE_WIDTH))
        _stack(axis, mine["level"], mine)
    _legend(figure, axes[0])
    return figure


def _draw_series(kinds: pd.DataFrame, per_study: pd.DataFrame) -> Figure:
    figure = _figure(9.0, 3.4)
    panels = {
        TITLES["series"]: (kinds["series_description"], kinds["series"]),
        TITLES["series_per_study"]: (per_study["series"], per_study["all"]),
    }
    for axis, (head, (names, counts)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        _head(axis, head)
        _bars(axis, names, counts, [f"{count:,}" for count in counts], colour("accent"))
    return figure


def _bars(axis: Axes, names: pd.Series, counts: pd.Series, notes: list[str], colours: str | list[str]) -> None:
    """A bar for each name, with a note above it in place of a scale."""
    bars = axis.bar(range(len(names)), counts, BAR, color=colours)
    axis.bar_label(bars, notes, padding=2, fontsize=8, color=colour("quiet"))
    axis.set_xticks(range(len(names)), [str(name) for name in names])
    axis.yaxis.set_visible(False)
    axis.margins(y=0.15)


def _stack(axis: Axes, names: pd.Series, counts: pd.DataFrame) -> None:
    """A bar for each name, a piece of it for each grade."""
    below = np.zeros(len(counts))
    for style, grade in zip(GRADE_STYLES, GRADE_TITLES.values(), strict=True):
        axis.bar(names, counts[grade], BAR, bottom=below, color=colour(style), label=grade)
        below += counts[grade].to_numpy()
    axis.grid(axis="y", color=colour("line"), linewidth=0.8)
    axis.set_axisbelow(True)


def _head(axis: Axes, words: str) -> None:
    """The title, and an axis with as few lines as it needs."""
    axis.set_title(words, loc="left", fontsize=9, fontweight="bold", color=colour("ink"))
    axis.set_facecolor(colour("paper"))
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(colour("line"))
    axis.tick_params(colors=colour("quiet"), labelsize=8, length=0)
    axis.yaxis.set_major_formatter("{x:,.0f}")


def _legend(figure: Figure, axis: Axes) -> None:
    handles, names = axis.get_legend_handles_labels()
    looks = {"ncols": len(names), "frameon": False, "fontsize": 8, "labelcolor": colour("ink")}
    figure.legend(handles, names, loc="outside lower center", **looks)
