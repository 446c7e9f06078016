"""One crop: neighbouring slices around a point, always seen as if it were on the left."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbar.config import CropConfig, ViewConfig
from lumbar.data.points import PATIENT
from lumbar.labels import CONDITIONS, group_of
from lumbar.mri.geometry import BACK, Array, anatomical_plane
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series


class ViewCutter:
    """Cuts the views of a config: what `store.write_crops` is told, and what a study's prediction uses as well."""

    facts: tuple[str, ...] = ()
    """Numbers that are kept beside each crop."""

    def __init__(self, config: CropConfig) -> None:
        self.config = config

    def shape(self, group: str) -> tuple[int, int, int]:
        """The shape (slices, size, size) of a condition group's crops."""
        view = self.config.view(group)
        return view.slices, view.size, view.size

    def cut(self, series: Series, row: Any) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
        """The crop of a row of the points table on its series, and its facts."""
        view = self.config.view(group_of(row.condition))
        patient = np.array([getattr(row, axis) for axis in PATIENT])
        return crop_view(series, row.instance_number, patient, view, CONDITIONS[row.condition].side), ()


def crop_view(
    series: Series, instance_number: int, point: Array, view: ViewConfig, side: str | None
) -> NDArray[np.uint8]:
    """The crop (slices, size, size) around a patient point (3,), its own slice in the middle.

    Beyond the ends of the stack the last slice is repeated. A right crop is mirrored onto the left: an axial one from
    left to right, a sagittal one in the order of its slices, so that both run from the middle of the body outwards.
    """
    centre = point - view.anterior_mm * BACK
    chosen = neighbours(series, instance_number, view.slices)
    images = [sample_square(series, series.slices[index], centre, view.size, view.mm_per_pixel)[0] for index in chosen]
    return mirror_right(np.stack(images), series, instance_number, side)


def neighbours(series: Series, instance_number: int, count: int) -> NDArray[np.int64]:
    """The numbers (count,) of the slices around one, right to left or foot to head; the stack's ends are repeated."""
    own = series.instance_numbers.index(instance_number)
    reach = count // 2
    return np.clip(np.arange(own - reach, own + reach + 1), 0, len(series.slices) - 1)


def mirror_right(crop: NDArray[np.uint8], series: Series, instance_number: int, side: str | None) -> NDArray[np.uint8]:
    """The crop (slices, size, size) as it would be on the left."""
    if side != "right":
        return crop
    plane = series.by_instance_number(instance_number).plane
    return crop[::-1] if anatomical_plane(plane) == "sagittal" else crop[:, :, ::-1]
