"""Galleries of cells: each a crop with its points, what the grader saw in it, the truth and the prediction."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from lumbar.config import ViewConfig
from lumbar.data.points import KEY, NO_SLICE, PATIENT
from lumbar.labels import CONDITIONS, GRADES, GROUPS, level_title
from lumbar.mri.geometry import BACK, Array, Plane
from lumbar.report.gradcam import Attention, Explainer
from lumbar.report.grades import GRADE_STYLES
from lumbar.report.slices import Picture, Scans, Spot, draw_square, grey_uri, mark, overlay_uri
from lumbar.report.system_view import SystemView
from lumbar.report.words import finding_words, grade_words
from lumbar.run.run import Run

SHOWN_OF_GROUP = 3
"""Cells of each condition group in a gallery: enough to see a pattern, few enough to look at all of them."""

KINDS = ("best", "worst", "surprising")
SIDE = 200
"""Pixels of a crop's picture."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Chosen cells, the most telling first, and why they are chosen."""

    kind: str
    cells: pd.DataFrame


def choose_cells(cells: pd.DataFrame) -> list[Gallery]:
    """The best, the worst and the most surprising cells of each condition group that are labelled and graded.

    Best: the image took most off the prior's weighted loss. Worst: the weighted loss is largest. Surprising: wrong,
    with the highest probability, and not among the worst already.
    """
    known = rate_cells(cells[cells["graded"]])
    best = _top(known[known["gain"] > 0], "gain")
    worst = _top(known, "cost")
    wrong = known[known["grade"] != known["predicted"]]
    surprising = _top(wrong[~wrong["row_id"].isin(worst["row_id"])], "confidence")
    return [Gallery(kind, chosen) for kind, chosen in zip(KINDS, (best, worst, surprising), strict=True)]


def rate_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The labelled cells with their weighted loss (`cost`), how much less it is than the prior's (`gain`), and the
    probability of the predicted grade (`confidence`)."""
    known = cells[cells["grade"].notna()]
    return known.assign(
        cost=known["weight"] * known["loss"],
        gain=known["weight"] * (known["prior_loss"] - known["loss"]),
        confidence=known[list(GRADES)].max(axis=1),
    )


def _top(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    ordered = cells.sort_values([column, "row_id"], ascending=[False, True])
    chosen = [ordered[ordered["group"] == group].head(SHOWN_OF_GROUP) for group in GROUPS]
    return pd.concat(chosen)


def choose_studies(cells: pd.DataFrame, count: int) -> list[tuple[int, str]]:
    """At most so many studies with the reason for each, by turns the best, the worst and the most surprising one left.

    The best study has the largest mean gain on the prior, the worst the largest mean loss, the most surprising one
    the most confident wrong cell. Studies without a label come last.
    """
    known = rate_cells(cells)
    sums = known.groupby("study_id")[["gain", "cost", "weight"]].sum()
    wrong = known[known["grade"] != known["predicted"]]
    orders = {
        "best": (sums["gain"] / sums["weight"]).sort_values(ascending=False, kind="stable").index.tolist(),
        "worst": (sums["cost"] / sums["weight"]).sort_values(ascending=False, kind="stable").index.tolist(),
        "surprising": wrong.groupby("study_id")["confidence"]
        .max()
        .sort_values(ascending=False, kind="stable")
        .index.tolist(),
    }
    chosen: dict[int, str] = {}
    while len(chosen) < count and any(orders.values()):
        for kind, order in orders.items():
            left = [study for study in order if study not in chosen]
            orders[kind] = left[1:]
            if left and len(chosen) < count:
                chosen[left[0]] = kind
    rest = [study for study in cells["study_id"].unique() if study not in chosen]
    chosen |= dict.fromkeys(rest[: count - len(chosen)], "without a label")
    return sorted(chosen.items(), key=lambda item: [*KINDS, "without a label"].index(item[1]))


@dataclass(frozen=True)
class Bar:
    """A cell's three probabilities, its predicted grade, its true one (None without a label), and whether a model
    graded it."""

    shares: tuple[float, ...]
    predicted: int
    grade: int | None
    graded: bool


@dataclass(frozen=True)
class Overlay:
    """Grad-CAM over the square that the network sees: its data URI, and the square's corner and side in pixels."""

    uri: str
    corner: float
    side: float


@dataclass(frozen=True)
class Exhibit:
    """A cell in a gallery."""

    title: str
    probability: float
    picture: Picture
    overlay: Overlay | None
    bar: Bar
    truth: str
    notes: tuple[str, ...]
    study_id: int
    fold: int


@dataclass(frozen=True)
class Exhibition:
    """A gallery, ready to be shown."""

    kind: str
    exhibits: tuple[Exhibit, ...]


def show_galleries(
    run: Run,
    scans: Scans,
    galleries: list[Gallery],
    points: pd.DataFrame,
    errors: pd.DataFrame | None,
    explainer: Explainer | SystemView | None,
) -> Iterator[Exhibition]:
    """Draws every chosen cell; `errors` gives the distances to the annotated points. A published system's crops are
    shown as it saw them."""
    for gallery in galleries:
        rows = gallery.cells.merge(points.drop(columns="fold"), on=KEY, how="left")
        if errors is not None:
            rows = rows.merge(errors[[*KEY, "distance"]], on=KEY, how="left")
        yield Exhibition(gallery.kind, tuple(_show(run, scans, explainer, row) for row in rows.itertuples()))


def _show(run: Run, scans: Scans, explainer: Explainer | SystemView | None, row: Any) -> Exhibit:
    if isinstance(explainer, SystemView):
        picture, overlay = _show_seen(explainer, row)
    else:
        picture, overlay = _show_anew(run, scans, explainer, row)
    return Exhibit(
        title=finding_words(int(row.predicted), row.condition, row.level),
        probability=getattr(row, GRADES[int(row.predicted)]),
        picture=picture,
        overlay=overlay,
        bar=bar_of(row),
        truth=grade_words(int(row.grade)),
        notes=tuple(_notes(row)),
        study_id=int(row.study_id),
        fold=int(row.fold),
    )


def _show_anew(run: Run, scans: Scans, explainer: Explainer | None, row: Any) -> tuple[Picture, Overlay | None]:
    """A cell's crop drawn from its series, and what spoke for its grade."""
    name = run.config.crop.own_view(row.group)
    view = run.config.crop.views[name] if name else ViewConfig(group=row.group)
    attention = None
    if explainer is not None and name is not None:
        attention = explainer.explain(row.row_id, name, int(row.fold), int(row.predicted))
    return _picture(scans, row, view), _overlay(attention, row, view)


def _show_seen(view: SystemView, row: Any) -> tuple[Picture, Overlay | None]:
    """A cell's crop as a system's net was given it, with its point, and what spoke for the class that it answered."""
    rows = view.rows_of(row.row_id)
    if not len(rows):
        return Picture("", None, SIDE, note="the system has no crop of this cell"), None
    (seen,) = view.look(rows[:1])
    pixels = cv2.resize(np.rint(255 * seen.image).astype(np.uint8), (SIDE, SIDE))
    (x, y), level = seen.place, level_title(row.level)
    spot = Spot(round(SIDE * x, 1), round(SIDE * y, 1), str(row.source), GRADE_STYLES[int(row.grade)], level, level)
    heat = view.explain(seen)["class"]
    overlay = None if heat is None else Overlay(overlay_uri(heat), 0.0, float(SIDE))
    return Picture("", grey_uri(pixels.astype(np.uint8)), SIDE, (spot,)), overlay


def bar_of(row: Any) -> Bar:
    """The probabilities of a row of `collect.join_cells`."""
    shares = tuple(round(float(getattr(row, grade)), 4) for grade in GRADES)
    return Bar(shares, int(row.predicted), int(row.grade) if row.grade == row.grade else None, bool(row.graded))


def _picture(scans: Scans, row: Any, view: ViewConfig) -> Picture:
    """The middle slice of the cell's crop, drawn anew from the series, and unmirrored where the crop is mirrored."""
    has_point = row.series_id == row.series_id and row.series_id != NO_SLICE
    series = scans.open(int(row.study_id), int(row.series_id), GROUPS[row.group].plane) if has_point else None
    if series is None:
        return Picture("", None, SIDE, note="no point was found on a readable series")
    centre = np.array([getattr(row, axis) for axis in PATIENT]) - view.anterior_mm * BACK
    uri, plane = draw_square(series, int(row.instance_number), centre, view.size * view.mm_per_pixel, SIDE)
    return Picture("", uri, SIDE, _spots(scans, row, plane))


def _spots(scans: Scans, row: Any, plane: Plane) -> tuple[Spot, ...]:
    annotated = scans.annotated(int(row.study_id), [row.condition])
    mine = annotated[annotated["level"] == row.level]
    found = pd.DataFrame([row._asdict()]).assign(grade=row.predicted)
    return mark(found, plane, SIDE) + mark(mine.assign(grade=row.grade), plane, SIDE, "annotated")


def _overlay(attention: Attention | None, row: Any, view: ViewConfig) -> Overlay | None:
    if attention is None:
        return None
    side = SIDE * attention.field_mm / (view.size * view.mm_per_pixel)
    is_right = CONDITIONS[row.condition].side == "right" and GROUPS[row.group].plane == "axial"
    heat: Array = attention.heat[:, ::-1] if is_right else attention.heat
    return Overlay(overlay_uri(heat), round((SIDE - side) / 2, 1), round(side, 1))


def _notes(row: Any) -> Iterator[str]:
    yield f"loss {row.cost:.2f} (prior {row.weight * row.prior_loss:.2f})"
    distance = getattr(row, "distance", float("nan"))
    if np.isfinite(distance):
        yield f"point {distance:.1f} mm off"
    if row.oracle == row.oracle:
        yield f"best possible {row.oracle:.2f}"
