"""How axial series are planned: stacks with one tilt or blocks at the discs, one to four of them."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lumbar.labels import LEVELS, SIDES
from lumbar.mri.geometry import Plane, unit
from lumbar.phantom.anatomy.render import Patient
from lumbar.phantom.anatomy.spine import FIRST_GRADED
from lumbar.phantom.scanner.acquisition import (
    PlannedSeries,
    PlannedSlice,
    cap_size,
    draw_series_id,
    draw_thickness,
    number_instances,
    pick,
)

Array = NDArray[np.float64]

DESCRIPTION = "Axial T2"
AXIAL_SIZES = {256: 0.06, 320: 0.29, 384: 0.15, 448: 0.13, 512: 0.22, 640: 0.11, 768: 0.04}
"""Shares of the sizes of square images, estimated from the annotated points, which lie near the middle."""
SERIES_COUNTS = {1: 1640, 2: 306, 3: 28, 4: 1}
"""Studies with so many axial series, measured."""
SPLIT_BY_SIDE = 0.43
"""The share of studies with two axials, one annotated for the left and the other for the right, measured."""
LEVEL_SPLITS: Mapping[int, Mapping[tuple[int, ...], float]] = {
    2: {(3,): 0.68, (2,): 0.22, (4,): 0.10},
    3: {(2, 3): 0.5, (3, 4): 0.5},
    4: {(1, 2, 3): 1.0},
}
"""Where several axials meet, as the index of the first level of each but the first, with shares."""
UNCOVERED_LEVELS = {0: 1808, 1: 84, 2: 82}
"""Studies whose axials leave out so many levels at the upper end, measured; their cells have no label."""
BLOCKS = 0.5
"""Share of series made of a block of slices at each disc; the real counts peak at 20, 25 and 30."""
BLOCK_COUNTS = {4: 0.15, 5: 0.5, 6: 0.25, 7: 0.1}
"""Slices in a block."""
SPACINGS = (3.0, 3.5, 4.0, 4.4, 5.0)
"""Millimetres between slices; with them series have 17 to 55 slices, half of them 29 or fewer, as measured."""
DOWNWARDS = 0.79
"""Share of axial series whose instance numbers grow to the feet, measured."""


def plan_axials(
    rng: np.random.Generator, patient: Patient, max_size: int | None, mixed_sizes: float
) -> list[PlannedSeries]:
    """The axial series of a study. `mixed_sizes` is the rate of series whose blocks differ in size."""
    series_count, first = pick(rng, SERIES_COUNTS), pick(rng, UNCOVERED_LEVELS)
    if series_count == 2 and rng.random() < SPLIT_BY_SIDE:
        return [_plan_axial(rng, patient, LEVELS[first:], (side,), max_size, mixed_sizes) for side in SIDES]
    starts = [first, *(pick(rng, LEVEL_SPLITS[series_count]) if series_count > 1 else ()), len(LEVELS)]
    groups = [LEVELS[max(start, first) : end] for start, end in pairwise(starts)]
    return [_plan_axial(rng, patient, levels, SIDES, max_size, mixed_sizes) for levels in groups if levels]


def _plan_axial(
    rng: np.random.Generator,
    patient: Patient,
    levels: tuple[str, ...],
    sides: tuple[str, ...],
    max_size: int | None,
    mixed_sizes: float,
) -> PlannedSeries:
    field_of_view = float(np.clip(rng.normal(195.0, 18.0), 160.0, 240.0))
    between = float(rng.choice(SPACINGS))
    in_blocks = rng.random() < BLOCKS and len(levels) > 2
    centres = (_plan_blocks if in_blocks else _plan_stack)(rng, patient, levels, between)
    if rng.random() >= DOWNWARDS:
        centres = centres[::-1]
    sizes, numbers = _draw_sizes(rng, len(centres), max_size, mixed_sizes), number_instances(rng, len(centres))
    slices = tuple(
        PlannedSlice(_centre_plane(*centre, field_of_view, size), size, size, number)
        for centre, size, number in zip(centres, sizes, numbers, strict=True)
    )
    thickness = draw_thickness(rng, between)
    return PlannedSeries(draw_series_id(rng), DESCRIPTION, "T2", slices, thickness, between, levels, sides)


def _draw_sizes(rng: np.random.Generator, count: int, max_size: int | None, mixed_sizes: float) -> list[int]:
    """The size of each slice: all alike, but for the rare series whose second half is smaller."""
    wanted = pick(rng, AXIAL_SIZES)
    size, _ = cap_size(wanted, wanted, max_size)
    smaller = size * 3 // 4 if rng.random() < mixed_sizes else size
    return [size if number < count // 2 else smaller for number in range(count)]


def _discs_of(patient: Patient, levels: tuple[str, ...]) -> list[float]:
    return [float(patient.body.spine.discs[FIRST_GRADED + LEVELS.index(level)]) for level in levels]


def _plan_blocks(
    rng: np.random.Generator, patient: Patient, levels: tuple[str, ...], between: float
) -> list[tuple[Array, Array]]:
    """Centres and normals of slices in blocks along the discs, from head to foot."""
    count, across = pick(rng, BLOCK_COUNTS), float(rng.normal(0.0, 3.0))
    centres = []
    for disc in _discs_of(patient, levels):
        normal = unit(patient.body.spine.direction(disc) + rng.normal(0.0, 0.04, 3))
        middle = patient.body.spine.to_frame(across, 5.0, disc + float(rng.normal(0.0, 1.0)))
        offsets = ((count - 1) / 2 - np.arange(count)) * between
        centres += [_lie(patient, middle + offset * normal, normal) for offset in offsets]
    return centres


def _plan_stack(
    rng: np.random.Generator, patient: Patient, levels: tuple[str, ...], between: float
) -> list[tuple[Array, Array]]:
    """Centres and normals of one stack with one tilt, from above the first to below the last disc."""
    spine, discs = patient.body.spine, _discs_of(patient, levels)
    normal = unit(spine.direction((discs[0] + discs[-1]) / 2) * 0.8 + [0.0, 0.0, 0.2] + rng.normal(0.0, 0.03, 3))
    middle = spine.to_frame(float(rng.normal(0.0, 3.0)), 5.0, (discs[0] + discs[-1]) / 2)
    reach = [float((spine.to_frame(0.0, 5.0, s) - middle) @ normal) for s in (discs[0], discs[-1])]
    top, bottom = reach[0] + float(rng.uniform(12.0, 35.0)), reach[1] - float(rng.uniform(12.0, 30.0))
    return [_lie(patient, middle + offset * normal, normal) for offset in np.arange(top, bottom, -between)]


def _lie(patient: Patient, centre: Array, normal: Array) -> tuple[Array, Array]:
    return patient.to_patient_space(centre), patient.rotation.T @ normal


def _centre_plane(centre: Array, normal: Array, field_of_view: float, size: int) -> Plane:
    """The plane of an axial image whose middle is `centre`, with columns to the patient's left, as on a screen."""
    spacing = field_of_view / size
    x_axis = unit(np.array([1.0, 0.0, 0.0]) - normal[0] * normal)
    y_axis = np.cross(normal, x_axis)
    return Plane(centre - (x_axis + y_axis) * spacing * (size - 1) / 2, x_axis, y_axis, spacing, spacing)
