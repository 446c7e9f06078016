"""A study on one screen: its three series with the detected levels, and its 25 grades."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from lumbar.data.points import KEY, PATIENT, SLICE, on_slices
from lumbar.labels import CONDITIONS, GROUPS, LEVELS, SIDES, level_title
from lumbar.mri.series import Series
from lumbar.report.gallery import Bar, bar_of
from lumbar.report.slices import Picture, draw_square, mark
from lumbar.report.words import LANDMARK_TITLES

SAGITTAL_SIDE, SAGITTAL_MM = 300, 210.0
"""Pixels and field of view of a sagittal picture: L1 to S1 of a tall patient."""
AXIAL_SIDE, AXIAL_MM = 170, 85.0
"""Pixels and field of view of an axial picture: the disc, the canal and the facets."""


class SeriesSource(Protocol):
    """What gives a study's series and annotated points, such as `slices.Scans`."""

    def of_kind(self, study_id: int, group: str) -> list[Series]:
        """A study's readable series of the type that a group is seen on."""

    def annotated(self, study_id: int, conditions: Collection[str] = CONDITIONS) -> pd.DataFrame:
        """A study's annotated points: the `KEY` columns and `PATIENT`."""


@dataclass(frozen=True)
class GradeRow:
    """A condition's grades at the five levels."""

    name: str
    bars: tuple[Bar | None, ...]


@dataclass(frozen=True)
class StudyPage:
    """Everything shown of a study."""

    study_id: int
    reason: str
    fold: int
    wrong: int
    labelled: int
    loss: float
    prior_loss: float
    sagittal: tuple[Picture, ...]
    axial: tuple[Picture, ...]
    grades: tuple[GradeRow, ...]


def show_studies(
    scans: SeriesSource, chosen: Sequence[tuple[int, str]], cells: pd.DataFrame, points: pd.DataFrame
) -> list[StudyPage]:
    """A page for each chosen (study_id, reason)."""
    return [_show(scans, study, reason, cells[cells["study_id"] == study], points) for study, reason in chosen]


def _show(scans: SeriesSource, study_id: int, reason: str, cells: pd.DataFrame, points: pd.DataFrame) -> StudyPage:
    known = cells[cells["grade"].notna()]
    # Clustered points lie on another series than their condition's.
    mine = points[(points["study_id"] == study_id) & (points["source"] != "clustered")]
    found = on_slices(mine).merge(cells[[*KEY, "predicted"]], on=KEY, how="left")
    found = found.rename(columns={"predicted": "grade"})
    annotated = scans.annotated(study_id).merge(cells[[*KEY, "grade"]], on=KEY, how="left")
    views = [("spinal", None), *(("foraminal", side) for side in SIDES)]
    total = known["weight"].sum()
    return StudyPage(
        study_id,
        reason,
        int(cells["fold"].iloc[0]),
        int((known["grade"] != known["predicted"]).sum()),
        len(known),
        float((known["weight"] * known["loss"]).sum() / total) if total else float("nan"),
        float((known["weight"] * known["prior_loss"]).sum() / total) if total else float("nan"),
        tuple(_sagittal(scans, study_id, group, side, found, annotated) for group, side in views),
        tuple(_axial(scans, study_id, level, found, annotated) for level in LEVELS),
        _grades(cells),
    )


def _sagittal(
    scans: SeriesSource, study_id: int, group: str, side: str | None, found: pd.DataFrame, annotated: pd.DataFrame
) -> Picture:
    condition = next(name for name, of in CONDITIONS.items() if (of.group, of.side) == (group, side))
    title = f"{GROUPS[group].series_description}: {f'{side} ' if side else ''}{LANDMARK_TITLES[group]}"
    mine, truth = (table[table["condition"] == condition] for table in (found, annotated))
    return _draw(scans, study_id, group, title, mine, truth, SAGITTAL_SIDE, SAGITTAL_MM)


def _axial(scans: SeriesSource, study_id: int, level: str, found: pd.DataFrame, annotated: pd.DataFrame) -> Picture:
    names = [name for name, of in CONDITIONS.items() if of.group == "subarticular"]
    mine, truth = (table[table["condition"].isin(names) & (table["level"] == level)] for table in (found, annotated))
    return _draw(scans, study_id, "subarticular", level_title(level), mine, truth, AXIAL_SIDE, AXIAL_MM)


def _draw(
    scans: SeriesSource,
    study_id: int,
    group: str,
    title: str,
    found: pd.DataFrame,
    annotated: pd.DataFrame,
    side: int,
    field_mm: float,
) -> Picture:
    """The slice with most of the found points, around their middle; without a point a sagittal stack's middle."""
    readable = scans.of_kind(study_id, group)
    if not readable:
        return Picture(title, None, side, note=f"no readable {GROUPS[group].series_description} series")
    if found.empty and GROUPS[group].plane == "axial":
        return Picture(title, None, side, note="no slice near this level")
    series, number, centre = _where(readable, found)
    uri, plane = draw_square(series, number, centre, field_mm, side)
    return Picture(title, uri, side, mark(annotated, plane, side, "annotated") + mark(found, plane, side))


def _where(readable: list[Series], found: pd.DataFrame) -> tuple[Series, int, np.ndarray]:
    if found.empty:
        image = readable[0].slices[len(readable[0].slices) // 2]
        return readable[0], image.instance_number, image.centre
    series_id, number = found[SLICE].value_counts().index[0]
    series = next(series for series in readable if series.series_id == series_id)
    return series, int(number), found[PATIENT].to_numpy().mean(axis=0)


def _grades(cells: pd.DataFrame) -> tuple[GradeRow, ...]:
    rows = {(row.condition, row.level): row for row in cells.itertuples()}
    return tuple(
        GradeRow(
            condition.replace("_", " ").capitalize(),
            tuple(bar_of(rows[condition, level]) if (condition, level) in rows else None for level in LEVELS),
        )
        for condition in CONDITIONS
    )
