"""How far the detected points lie from the annotated ones."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lumbar.detect.evaluate import HIT_MM
from lumbar.labels import GROUPS, LEVELS, level_title
from lumbar.report.charts import Axis, Chart, DotPlot, Line, Mark, Row, share_axis
from lumbar.report.figures import cumulative, distance_quantiles, hit_rates
from lumbar.report.score import HeatCell, HeatRow
from lumbar.report.words import LANDMARK_TITLES, percent

FARTHEST_MM = 20.0
"""The right end of the charts: what is farther off is a wrong level, however far."""
TICKS = tuple((float(tick), f"{tick:g}") for tick in (0, 4, 8, 12, 16, 20))
LEAST_SHARE = 0.8
"""A share of hits this low has the full tint."""


@dataclass(frozen=True)
class Detection:
    """Everything the section on detection shows."""

    curve: Chart
    spread: DotPlot
    table: tuple[HeatRow, ...]
    points: int
    hits: float
    median: float
    missed: int


def describe_detection(errors: pd.DataFrame) -> Detection:
    """The distances' distribution by group and by group and level, and the share within 8 mm."""
    groups = [group for group in GROUPS if (errors["group"] == group).any()]
    curve = Chart(
        "Share of points by distance",
        Axis("mm from the annotated point", 0.0, FARTHEST_MM, TICKS),
        share_axis("share of points"),
        tuple(_cumulative(errors, group) for group in groups),
        guides=(Line(((HIT_MM, 0.0), (HIT_MM, 1.0)), "guide"),),
        notes=tuple((LANDMARK_TITLES[group], f"group-{group}") for group in groups),
        width=440,
        height=300,
    )
    rows = [_spread(errors, group, level) for group in groups for level in LEVELS]
    return Detection(
        curve,
        DotPlot(
            Axis("mm from the annotated point", 0.0, FARTHEST_MM, TICKS),
            tuple(row for row in rows if row is not None),
            rule=(HIT_MM, "8 mm"),
        ),
        _table(errors, groups),
        len(errors),
        float((errors["distance"] <= HIT_MM).mean()),
        float(errors["distance"].median()),
        int(np.isinf(errors["distance"]).sum()),
    )


def _cumulative(errors: pd.DataFrame, group: str) -> Line:
    mine = errors.loc[errors["group"] == group, "distance"]
    return Line(cumulative(mine, FARTHEST_MM), f"group-{group}", LANDMARK_TITLES[group])


def _spread(errors: pd.DataFrame, group: str, level: str) -> Row | None:
    mine = errors.loc[(errors["group"] == group) & (errors["level"] == level), "distance"]
    if mine.empty:
        return None
    low, lower, middle, upper, high = distance_quantiles(mine)
    return Row(
        f"{LANDMARK_TITLES[group].capitalize()} {level_title(level)}",
        (Mark(middle, f"group-{group}", f"median {middle:.1f} mm"),),
        (low, high),
        f"{middle:.1f}",
        inner=(lower, upper),
    )


def _table(errors: pd.DataFrame, groups: list[str]) -> tuple[HeatRow, ...]:
    rates = hit_rates(errors)
    names = {group: LANDMARK_TITLES[group].capitalize() for group in groups} | {"all": "All"}
    return tuple(HeatRow(name, tuple(_rate(rate) for rate in rates.loc[group])) for group, name in names.items())


def _rate(rate: float) -> HeatCell:
    if rate != rate:
        return HeatCell(percent(None), "")
    strength = min((1 - rate) / (1 - LEAST_SHARE), 1.0)
    return HeatCell(percent(rate, 1), "", "worse", round(strength, 2))
