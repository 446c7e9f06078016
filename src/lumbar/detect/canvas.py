"""The detector's view of a slice: a square image of fixed scale around the slice's middle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumbar.config import DetectConfig
from lumbar.dicom import Series, Slice
from lumbar.geometry import Plane
from lumbar.sampling import sample_square


@dataclass(frozen=True, eq=False)
class Canvas:
    """A square grey image (S, S), the plane its pixels lie in, and the slice it shows."""

    pixels: NDArray[np.uint8]
    plane: Plane
    series_id: int
    instance_number: int


def draw_canvas(series: Series, image: Slice, config: DetectConfig) -> Canvas:
    """The canvas of one slice."""
    pixels, plane = sample_square(series, image, image.centre, config.image_size, config.mm_per_pixel)
    return Canvas(pixels, plane, series.series_id, image.instance_number)
