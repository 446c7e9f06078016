"""Square images sampled from a slice around a patient point, at a fixed scale and in display orientation."""

import cv2
import numpy as np
from numpy.typing import NDArray

from lumbar.mri.geometry import DECIMALS, Plane, displayed
from lumbar.mri.series import Series, Slice


def sample_square(
    series: Series, image: Slice, centre: NDArray[np.float64], size: int, mm_per_pixel: float
) -> tuple[NDArray[np.uint8], Plane]:
    """The windowed slice around a patient point (3,) projected onto it: pixels (size, size), and their plane.

    What lies outside the slice is black. A slice at least twice as fine as `mm_per_pixel` is averaged first, so that
    little aliases.
    """
    pixels, plane = _shrink(series, image, mm_per_pixel)
    target = _square(displayed(plane, image.anatomical_plane), centre, size, mm_per_pixel)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, _matrix(target, plane), (size, size), flags=flags).astype(np.uint8), target


def _matrix(target: Plane, plane: Plane) -> NDArray[np.float64]:
    """From a target's pixels to a slice's, (2, 3).

    OpenCV samples at whole fractions of a pixel, and would turn over at one of them for digits beyond `DECIMALS`.
    """
    origin, right, down = plane.to_pixels(target.to_patient(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])))
    return np.round(np.stack([right - origin, down - origin, origin], axis=1), DECIMALS)


def _square(plane: Plane, centre: NDArray[np.float64], size: int, mm_per_pixel: float) -> Plane:
    on_plane = centre - float(plane.distance(centre)) * plane.normal
    corner = on_plane - (size - 1) / 2 * mm_per_pixel * (plane.x_axis + plane.y_axis)
    return Plane(corner, plane.x_axis, plane.y_axis, mm_per_pixel, mm_per_pixel)


def _shrink(series: Series, image: Slice, mm_per_pixel: float) -> tuple[NDArray[np.uint8], Plane]:
    """Averages whole blocks of pixels where the slice is at least twice as fine as the target."""
    plane = image.plane
    factor = min(int(mm_per_pixel / max(plane.x_spacing, plane.y_spacing)), *image.pixels.shape)
    if factor < 2:
        return series.windowed(image), plane
    middle = (factor - 1) / 2
    shrunk = Plane(
        plane.to_patient([middle, middle]),
        plane.x_axis,
        plane.y_axis,
        plane.x_spacing * factor,
        plane.y_spacing * factor,
    )
    return series.windowed(image, factor), shrunk
