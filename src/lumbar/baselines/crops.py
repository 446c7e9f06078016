"""Crops as the published systems cut them: whole slices, prepared ones, with the point's place, and pooled."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.config import Config, SliceConfig, ViewConfig
from lumbar.crop.crops import Crops
from lumbar.crop.view import mirror_right, neighbours
from lumbar.data.points import PATIENT
from lumbar.data.studies import Study, series_by_id
from lumbar.labels import CONDITIONS
from lumbar.mri.geometry import BACK, Array, displayed
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, Slice

PLACE = ("place_x", "place_y")
"""Where a crop's point lies in its slice, as shares of a square that just holds the slice, .5 in its middle."""
DENOISING = (3, 3)
"""Size in pixels of the smallest Gaussian."""


class SystemCutter:
    """Cuts a system's view of a condition group, see `crop.view.ViewCutter`; its facts are the points' places."""

    facts = PLACE
    series_description = stand_in = None

    def __init__(self, config: Config, group: str) -> None:
        self.group, self.view, self.slices = group, config.crop.views[group], config.system.slices

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (slices, size, size) of a crop."""
        return self.view.slices, self.view.size, self.view.size

    def cut(self, study: Study, row: Any) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
        """The crop of a row of the points table on its series, and the place of its point."""
        series = series_by_id(study)[row.series_id]
        point = np.array([getattr(row, axis) for axis in PATIENT])
        side = CONDITIONS[row.condition].side if self.slices.mirror else None
        crop = crop_slices(series, row.instance_number, point, self.view, self.slices, side)
        return crop, place_in_slice(series, row.instance_number, point, side)


def crop_slices(
    series: Series, instance_number: int, point: Array, view: ViewConfig, slices: SliceConfig, side: str | None
) -> NDArray[np.uint8]:
    """The crop (slices, size, size) around a patient point (3,) or of whole slices, prepared as the config says."""
    own = series.by_instance_number(instance_number)
    centre, mm_per_pixel = point - view.anterior_mm * BACK, view.mm_per_pixel
    if slices.whole_slice:
        centre, mm_per_pixel = own.centre, _longer_side(own) / view.size
    images = [
        sample_square(series, series.slices[index], centre, view.size, mm_per_pixel)[0]
        for index in neighbours(series, instance_number, view.slices)[0]
    ]
    crop = np.stack([_prepare(image, slices) for image in images])
    return mirror_right(crop, series, instance_number, side)


def place_in_slice(series: Series, instance_number: int, point: Array, side: str | None) -> tuple[float, float]:
    """Where a patient point (3,) lies in the whole slice as `crop_slices` turns it, see `PLACE`."""
    image = series.by_instance_number(instance_number)
    axes, offset = displayed(image.plane, image.anatomical_plane), (point - image.centre) / _longer_side(image)
    x, y = 0.5 + float(offset @ axes.x_axis), 0.5 + float(offset @ axes.y_axis)
    return (1 - x if side == "right" and image.anatomical_plane == "axial" else x), y


def _longer_side(image: Slice) -> float:
    """Millimetres."""
    rows, columns = image.pixels.shape
    return max(rows * image.plane.y_spacing, columns * image.plane.x_spacing)


def _prepare(image: NDArray[np.uint8], slices: SliceConfig) -> NDArray[np.uint8]:
    if slices.equalise:
        image = cv2.equalizeHist(image).astype(np.uint8)
    return cv2.GaussianBlur(image, DENOISING, 0).astype(np.uint8) if slices.denoise else image


class _Pooled:
    """Several arrays of crops as if they were one, without reading them."""

    def __init__(self, arrays: Sequence[NDArray[np.uint8]]) -> None:
        self.arrays, self.ends = arrays, np.cumsum([len(array) for array in arrays])

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        place = int(np.searchsorted(self.ends, number, side="right"))
        return self.arrays[place][number - self.ends[place] + len(self.arrays[place])]


def pool_crops(groups: Sequence[Crops]) -> Crops:
    """The crops of several groups as if they were of one."""
    columns = dict.fromkeys(name for crops in groups for name in crops.index)
    known = [crops.index.dropna(axis="columns", how="all") for crops in groups]  # pandas wants no others
    index = pd.concat(known, ignore_index=True).reindex(columns=list(columns))
    return Crops(_Pooled([crops.pixels for crops in groups]), index)


def pool_views(views: Mapping[str, ViewConfig], crops: Mapping[str, Crops]) -> Crops | None:
    """Those of the crops by view that a grader grades, as if they were of one view; None where there is none."""
    mine = [crops[name] for name in views if name in crops]
    return pool_crops(mine) if len(mine) > 1 else mine[0] if mine else None
