"""One crop: neighbouring slices around a point, always seen as if it were on the left."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbar.config import ViewConfig
from lumbar.crop.crops import slice_facts
from lumbar.data.points import NO_SLICE, PATIENT
from lumbar.data.studies import Study
from lumbar.labels import CONDITIONS, plane_of
from lumbar.mri.geometry import BACK, DECIMALS, Array
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, nearest_slice

BLOCK_GAP_MM = 12.0
"""Slices farther apart than this are of two blocks: a lumbar stack's are 3 to 6 mm apart, and one may be missing."""
BLOCK_TILT = np.cos(np.deg2rad(1.0))
"""Slices whose normals make a greater angle are of two blocks, as when each disc's own were planned: those of one block
are parallel to the last digits."""


class ViewCutter:
    """Cuts one view: what `store.write_crops` is told, and what a study's prediction uses as well."""

    def __init__(self, view: ViewConfig) -> None:
        self.view, self.group = view, view.group
        self.series_description = view.series
        self.stand_in = None if view.series else view.series_description

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (slices, size, size) of a crop."""
        return self.view.stored_slices, self.view.size, self.view.size

    @property
    def facts(self) -> tuple[str, ...]:
        """Whether the middle slice is the point's own, its number, and of each slice `crops.slice_facts`."""
        return ("is_own", "instance_number", *slice_facts(self.view.stored_slices))

    def cut(self, study: Study, row: Any) -> tuple[NDArray[np.uint8], tuple[float, ...]] | None:
        """The crop of a row of the points table on a study's series, and its facts; None where no slice shows it."""
        point = np.array([getattr(row, axis) for axis in PATIENT])
        own = own_slice(study, row, self.stand_in) if self.stand_in else None
        is_on_none = self.stand_in is not None and row.series_id == NO_SLICE
        place = own if own or is_on_none else self._nearest_slice(study, point)
        if place is None:
            return None
        series, instance_number = place
        side = CONDITIONS[row.condition].side
        crop = crop_view(series, instance_number, point, self.view, side)
        facts = describe_slices(series, instance_number, point, self.view, side)
        return crop, (float(own is not None), float(instance_number), *facts)

    def _nearest_slice(self, study: Study, point: Array) -> tuple[Series, int] | None:
        """The slice nearest to a point, of all series of the view's type that show it within the tolerance."""
        plane, stacks = plane_of(self.view.series_description), study.get(self.view.series_description, [])
        usable = (stack for stack in stacks if stack.is_placed and stack.slices[0].anatomical_plane == plane)
        shown = nearest_slice(usable, point)
        if shown is None or shown[1].distance(point) > self.view.tolerance_mm:
            return None
        return shown[0], shown[1].instance_number


def own_slice(study: Study, row: Any, description: str) -> tuple[Series, int] | None:
    """The series of this type and the instance that a row of the points table names; None for a point on no slice, or
    on a series of another type, as in one real study, whose canal was annotated on T1."""
    series = next((stack for stack in study.get(description, []) if stack.series_id == row.series_id), None)
    return None if series is None else (series, int(row.instance_number))


def crop_view(
    series: Series, instance_number: int, point: Array, view: ViewConfig, side: str | None
) -> NDArray[np.uint8]:
    """The crop (slices, size, size) around a patient point (3,), one slice in the middle.

    Beyond the ends of the slice's block its last slice is repeated. A right crop is mirrored onto the left: an axial
    one from left to right, a sagittal one in the order of its slices, so that both run from the middle of the body
    outwards.
    """
    centre = point - view.anterior_mm * BACK
    chosen, _ = neighbours(series, instance_number, view.stored_slices)
    images = [sample_square(series, series.slices[index], centre, view.size, view.mm_per_pixel)[0] for index in chosen]
    return mirror_right(np.stack(images), series, instance_number, side)


def describe_slices(
    series: Series, instance_number: int, point: Array, view: ViewConfig, side: str | None
) -> tuple[float, ...]:
    """`crops.slice_facts` of a crop's slices, in the crop's order."""
    chosen, is_real = neighbours(series, instance_number, view.stored_slices)
    real, distances = is_real.astype(float), series.signed_distances(point)[chosen]
    if side == "right" and _is_sagittal(series, instance_number):
        real, distances = real[::-1], -distances[::-1]
    return *real, *distances


def neighbours(series: Series, instance_number: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The numbers (count,) of the slices around one, right to left or foot to head, and which are real: the ends of
    its block are repeated."""
    block = _block_around(series, instance_number)
    place, reach = block.index(series.instance_numbers.index(instance_number)), count // 2
    wanted = np.arange(place - reach, place + reach + 1)
    within = np.clip(wanted, 0, len(block) - 1)
    return np.array(block)[within], within == wanted


def _block_around(series: Series, instance_number: int) -> list[int]:
    """The numbers of the slices that lie parallel to one, in its own direction and without a gap up to it."""
    own = series.instance_numbers.index(instance_number)
    normal = series.slices[own].plane.normal
    normal = normal * np.copysign(1.0, normal @ series.normal)
    offsets = [float(image.centre @ normal) for image in series.slices]
    parallel = [number for number, image in enumerate(series.slices) if abs(image.plane.normal @ normal) > BLOCK_TILT]
    ordered = sorted(parallel, key=lambda number: round(offsets[number], DECIMALS))
    gaps = [
        after
        for after, (lower, upper) in enumerate(pairwise(ordered), start=1)
        if offsets[upper] - offsets[lower] > BLOCK_GAP_MM
    ]
    return next(ordered[first:last] for first, last in pairwise([0, *gaps, len(ordered)]) if own in ordered[first:last])


def mirror_right(crop: NDArray[np.uint8], series: Series, instance_number: int, side: str | None) -> NDArray[np.uint8]:
    """The crop (slices, size, size) as it would be on the left."""
    if side != "right":
        return crop
    return crop[::-1] if _is_sagittal(series, instance_number) else crop[:, :, ::-1]


def _is_sagittal(series: Series, instance_number: int) -> bool:
    return series.by_instance_number(instance_number).anatomical_plane == "sagittal"
