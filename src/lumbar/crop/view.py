"""One crop: neighbouring slices around a point, always seen as if it were on the left."""

import numpy as np
from numpy.typing import NDArray

from lumbar.config import ViewConfig
from lumbar.dicom import Series
from lumbar.geometry import BACK, Array, anatomical_plane
from lumbar.sampling import sample_square


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
    centre = point - view.anterior_mm * BACK
    images = [sample_square(series, series.slices[index], centre, view.size, view.mm_per_pixel)[0] for index in chosen]
    crop = np.stack(images)  # (slices, size, size), from right to left or from foot to head
    if side != "right":
        return crop
    return crop[::-1] if anatomical_plane(series.slices[own].plane) == "sagittal" else crop[:, :, ::-1]
