"""One crop: neighbouring slices around a point, or whole ones, always seen as if it were on the left."""

import cv2
import numpy as np
from numpy.typing import NDArray

from lumbar.config import ViewConfig
from lumbar.mri.geometry import BACK, Array, anatomical_plane, displayed
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, Slice

Place = tuple[float, float]
"""x and y as shares of a square that just holds the slice, 0.5 in its middle."""
DENOISING = (3, 3)
"""Size in pixels of the smallest Gaussian."""


def crop_view(
    series: Series, instance_number: int, point: Array, view: ViewConfig, side: str | None
) -> NDArray[np.uint8]:
    """The crop (slices, size, size) around a patient point (3,), its own slice in the middle.

    Beyond the ends of the stack the last slice is repeated. A right crop is mirrored onto the left: an axial one from
    left to right, a sagittal one in the order of its slices, so that both run from the middle of the body outwards.
    """
    own = series.instance_numbers.index(instance_number)
    reach = view.slices // 2
    chosen = np.clip(np.arange(own - reach, own + reach + 1), 0, len(series.slices) - 1)
    centre, mm_per_pixel = _frame(series.slices[own], point, view)
    images = [sample_square(series, series.slices[index], centre, view.size, mm_per_pixel)[0] for index in chosen]
    crop = np.stack([_prepare(image, view) for image in images])  # (slices, size, size), right to left or foot to head
    if side != "right":
        return crop
    return crop[::-1] if anatomical_plane(series.slices[own].plane) == "sagittal" else crop[:, :, ::-1]


def place_in_slice(series: Series, instance_number: int, point: Array, side: str | None) -> Place:
    """Where a patient point (3,) lies in the whole slice as `crop_view` turns it."""
    image = series.by_instance_number(instance_number)
    axes, offset = displayed(image.plane), (point - image.centre) / _longer_side(image)
    x, y = 0.5 + float(offset @ axes.x_axis), 0.5 + float(offset @ axes.y_axis)
    return (1 - x if side == "right" and anatomical_plane(image.plane) == "axial" else x), y


def _frame(image: Slice, point: Array, view: ViewConfig) -> tuple[Array, float]:
    """The centre (3,) of a crop in patient space and its scale."""
    if view.whole_slice:
        return image.centre, _longer_side(image) / view.size
    return point - view.anterior_mm * BACK, view.mm_per_pixel


def _longer_side(image: Slice) -> float:
    rows, columns = image.pixels.shape
    return max(rows * image.plane.y_spacing, columns * image.plane.x_spacing)


def _prepare(image: NDArray[np.uint8], view: ViewConfig) -> NDArray[np.uint8]:
    if view.equalise:
        image = cv2.equalizeHist(image).astype(np.uint8)
    return cv2.GaussianBlur(image, DENOISING, 0).astype(np.uint8) if view.denoise else image
