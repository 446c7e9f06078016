"""Slices of a study as square pictures, with points marked on them."""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import cv2
import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.data.annotations import place_annotations
from lumbar.data.competition import Competition
from lumbar.data.points import KEY, PATIENT
from lumbar.data.problems import Problems
from lumbar.labels import CONDITIONS, GROUPS, group_of, level_title
from lumbar.mri.geometry import Plane
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, SeriesError, read_series
from lumbar.report.grades import GRADE_STYLES
from lumbar.report.words import grade_words

WEBP_QUALITY = 82
"""Below this, noise in the air begins to show blocks."""
STRONGEST_OVERLAY = 0.62
"""Opacity where an overlay is brightest: the anatomy must stay visible below it."""
KEPT_SERIES = 6
"""Series kept in memory: those of one study."""
NEAR_MM = 6.0
"""An annotated point farther than this from the slice shown, more than one slice, is not drawn on it."""


def grey_uri(pixels: NDArray[np.uint8]) -> str:
    """A grey image (H, W)."""
    return _uri(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY], "image/webp")


def overlay_uri(heat: NDArray[np.floating]) -> str:
    """A map (H, W) in [0, 1] as colours that grow brighter and more opaque with it."""
    colours = matplotlib.colormaps["inferno"](0.25 + 0.75 * heat)[..., 2::-1]
    opacity = STRONGEST_OVERLAY * np.sqrt(heat)[..., None]  # the root, so that weaker places show as well
    pixels = np.rint(255 * np.concatenate([colours, opacity], axis=-1)).astype(np.uint8)
    return _uri(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9], "image/png")


def _uri(extension: str, pixels: NDArray[np.uint8], options: list[int], kind: str) -> str:
    _, encoded = cv2.imencode(extension, pixels, options)
    return as_uri(encoded.tobytes(), kind)


def as_uri(encoded: bytes, kind: str) -> str:
    """A picture's file of a kind, such as image/png, as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


@dataclass(frozen=True)
class Spot:
    """A marked point, in the picture's pixels; `style` is the CSS class of its grade."""

    x: float
    y: float
    kind: str
    """`detected`, `interpolated` or `annotated`."""
    style: str
    label: str
    note: str


@dataclass(frozen=True)
class Picture:
    """A square picture with its points; without a `uri` there is only the reason in `note`."""

    title: str
    uri: str | None
    side: int
    spots: tuple[Spot, ...] = ()
    note: str = ""


class Scans:
    """A competition's training series, the last ones read kept."""

    def __init__(self, competition: Competition) -> None:
        self.competition = competition
        self.descriptions = competition.series("train")
        self.open = lru_cache(KEPT_SERIES)(self._open)

    def _open(self, study_id: int, series_id: int, plane: str) -> Series | None:
        try:
            return read_series(self.competition.series_directory("train", study_id, series_id), plane)
        except SeriesError:
            return None

    def of_kind(self, study_id: int, group: str) -> list[Series]:
        """A study's readable series of the type that a group is seen on."""
        table, wanted = self.descriptions, GROUPS[group].series_description
        mine = table[(table["study_id"] == study_id) & (table["series_description"] == wanted)]
        opened = (self.open(study_id, int(series_id), GROUPS[group].plane) for series_id in mine["series_id"])
        return [series for series in opened if series is not None]

    def annotated(self, study_id: int, conditions: Collection[str] = CONDITIONS) -> pd.DataFrame:
        """A study's annotated points on readable slices in patient space: the `KEY` columns and `PATIENT`."""
        rows = self.competition.coordinates
        mine = rows[(rows["study_id"] == study_id) & rows["condition"].isin(conditions)]
        planes = {row.series_id: GROUPS[group_of(row.condition)].plane for row in mine.itertuples()}
        opened = {series_id: self.open(study_id, series_id, plane) for series_id, plane in planes.items()}
        readable = {series_id: one for series_id, one in opened.items() if one}
        placed = place_annotations(mine, readable, Problems())  # the detect stage has told of those without an image
        return pd.DataFrame(
            [(point.study_id, point.condition, point.level, *point.patient) for point in placed],
            columns=[*KEY, *PATIENT],
        )


def draw_square(
    series: Series, instance_number: int, centre: NDArray[np.float64], field_mm: float, side: int
) -> tuple[str, Plane]:
    """A slice around a patient point (3,), `field_mm` wide, as a data URI of `side` pixels, and the picture's plane."""
    image = series.by_instance_number(instance_number)
    pixels, plane = sample_square(series, image, centre, side, field_mm / side)
    return grey_uri(pixels), plane


def mark(points: pd.DataFrame, plane: Plane, side: int, kind: str | None = None) -> tuple[Spot, ...]:
    """Spots of those points that fall on a picture of a plane.

    `points` has condition, level, `PATIENT`, the grade that colours them (NaN for none), and `source` unless a `kind`
    is given for all. Annotated points far from the plane are left out, detected ones are projected onto it.
    """
    spots = []
    for row in points.itertuples():
        place = np.array([getattr(row, axis) for axis in PATIENT])
        x, y = plane.to_pixels(place)
        is_far = kind == "annotated" and abs(float(plane.distance(place))) > NEAR_MM
        if is_far or not (0 <= x < side and 0 <= y < side):
            continue
        known = row.grade == row.grade
        words = f"{kind or row.source}: {row.condition.replace('_', ' ')}, {level_title(row.level)}"
        spots.append(
            Spot(
                round(float(x), 1),
                round(float(y), 1),
                kind or str(row.source),
                GRADE_STYLES[int(row.grade)] if known else "unknown",
                level_title(row.level),
                f"{words}, {grade_words(int(row.grade))}" if known else words,
            )
        )
    return tuple(spots)
