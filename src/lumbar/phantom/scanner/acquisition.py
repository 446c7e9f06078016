"""What a series is, and how sagittal series are planned: sizes, spacings, order and numbering as in the real files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lumbar.labels import LEVELS, SIDES
from lumbar.mri.geometry import BACK, HEAD, LEFT, Plane, unit
from lumbar.phantom.anatomy.render import Patient

Array = NDArray[np.float64]
Choice = TypeVar("Choice")

SAGITTAL_SIZES = {
    "Sagittal T1": {
        (512, 512): 0.43, (384, 384): 0.18, (320, 320): 0.16, (256, 256): 0.06, (760, 640): 0.05, (448, 448): 0.04,
        (852, 768): 0.02, (528, 512): 0.01, (540, 384): 0.01, (640, 576): 0.01, (768, 768): 0.01, (640, 640): 0.01,
        (1024, 1024): 0.005, (352, 352): 0.005,
    },
    "Sagittal T2/STIR": {
        (512, 512): 0.26, (320, 320): 0.22, (448, 448): 0.15, (384, 384): 0.12, (576, 576): 0.04, (836, 704): 0.03,
        (640, 640): 0.03, (768, 768): 0.03, (256, 256): 0.02, (462, 448): 0.02, (456, 384): 0.02, (476, 448): 0.01,
        (852, 768): 0.01, (224, 224): 0.01, (712, 640): 0.01, (588, 416): 0.01, (540, 384): 0.005, (1024, 1024): 0.005,
    },
}  # fmt: skip
"""Shares of image sizes (rows, columns), measured on the real sagittal series."""
SAGITTAL_COUNTS = {15: 0.27, 18: 0.16, 17: 0.15, 21: 0.09, 19: 0.08, 14: 0.06, 12: 0.06, 20: 0.05, 16: 0.05, 23: 0.03}
"""Shares of slice counts, measured; T1 and T2 have the same in 97 of 100 studies."""
SAME_COUNT = 0.97
FIELD_OF_VIEW, COVERAGE = (300.0, 20.0), (72.0, 5.0)
"""Mean and standard deviation in mm of the images' height and of the width that the slices cover. The distances between
real annotations fit them."""
CANAL_PLACE, CANAL_PLACE_DEVIATION = (0.541, 0.531), 0.035
"""Where the canal at L3/L4 lies in the image, in shares of its width and height: measured, as is the spread."""
TOWARDS_LEFT = 0.64
"""Share of sagittal series whose instance numbers grow to the patient's left, measured on the annotated foramina."""
RARE = 0.005
"""Rate of each quirk that the real data have in a handful of 1,975 studies, raised so that a few hundred show some."""
STIR = 0.15
"""Share of STIR among "Sagittal T2/STIR": assumed."""


@dataclass(frozen=True, eq=False)
class PlannedSlice:
    """One image: its plane in patient space, its size and its instance number."""

    plane: Plane
    rows: int
    columns: int
    instance_number: int


@dataclass(frozen=True, eq=False)
class PlannedSeries:
    """One planned series; `levels` and `sides` are the cells that an annotator marks on it, if it is of their type."""

    series_id: int
    description: str
    sequence: str
    slices: tuple[PlannedSlice, ...]
    thickness: float
    spacing: float
    levels: tuple[str, ...] = LEVELS
    sides: tuple[str, ...] = SIDES


def pick(rng: np.random.Generator, shares: Mapping[Choice, float]) -> Choice:
    """One of the keys, by their shares."""
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(shares), p=weights / weights.sum()))]


def draw_series_id(rng: np.random.Generator) -> int:
    """A number like the real ones: anything of up to 32 bits."""
    return int(rng.integers(10_000, 2**32 - 1))


def draw_thickness(rng: np.random.Generator, between: float) -> float:
    """Thickness in mm of slices that are so far apart: the same, or with a gap."""
    return round(between * float(rng.choice([0.8, 0.9, 1.0])), 2)


def cap_size(rows: int, columns: int, max_size: int | None) -> tuple[int, int]:
    """A size scaled down until no side is above `max_size`."""
    scale = 1.0 if max_size is None else min(1.0, max_size / max(rows, columns))
    return round(rows * scale), round(columns * scale)


def number_instances(rng: np.random.Generator, count: int) -> list[int]:
    """Instance numbers in order: 1, 2, 3 ... but for the rare series that starts late, has gaps, or counts in leaps."""
    start = int(rng.integers(2, 60)) if rng.random() < RARE else 1
    numbers = start + np.arange(count)
    if rng.random() < RARE:
        numbers = numbers + np.cumsum(rng.random(count) < 0.1)
    if rng.random() < RARE / 5:
        numbers = 1 + (numbers - 1) * 103
    return [int(number) for number in numbers]


@dataclass(frozen=True, eq=False)
class Prescription:
    """What the sagittal series of a study share.

    `columns` and `rows` (3,) are the directions in which they are counted, `centre` (3,) the point in patient space
    that the images are planned around, `towards_left` whether instance numbers grow to the patient's left.
    """

    columns: Array
    rows: Array
    centre: Array
    count: int
    towards_left: bool


def plan_sagittals(rng: np.random.Generator, patient: Patient, max_size: int | None) -> list[PlannedSeries]:
    """The sagittal series of a study: nearly always one T1 and one T2/STIR, planned alike."""
    in_canal = patient.body.spine.to_frame(float(rng.normal(0.0, 3.0)), 7.0, 0.0)
    prescription = Prescription(
        *_sagittal_axes(rng, patient),
        centre=patient.to_patient_space(in_canal),
        count=pick(rng, SAGITTAL_COUNTS),
        towards_left=bool(rng.random() < TOWARDS_LEFT),
    )
    return [_plan_sagittal(rng, prescription, name, max_size) for name in _sagittal_descriptions(rng)]


def _sagittal_descriptions(rng: np.random.Generator) -> list[str]:
    descriptions = ["Sagittal T1", "Sagittal T2/STIR"]
    chance = rng.random()
    if chance < RARE:
        return ["Sagittal T1", *descriptions]
    if chance < 2 * RARE:
        descriptions.remove("Sagittal T1" if rng.random() < 0.7 else "Sagittal T2/STIR")
    return descriptions


def _sagittal_axes(rng: np.random.Generator, patient: Patient) -> tuple[Array, Array]:
    """Directions of columns and rows: the scanner's own in half of the studies, else turned to fit the patient."""
    if rng.random() < 0.5:
        return BACK, -HEAD
    across = unit(patient.rotation.T @ LEFT + rng.normal(0.0, 0.015, 3))
    down = unit(-HEAD + across * float(across @ HEAD))
    return np.cross(across, down), down


def _plan_sagittal(
    rng: np.random.Generator, shared: Prescription, description: str, max_size: int | None
) -> PlannedSeries:
    rows, columns = cap_size(*pick(rng, SAGITTAL_SIZES[description]), max_size)
    spacing = float(np.clip(rng.normal(*FIELD_OF_VIEW), 260.0, 360.0)) / rows
    count = shared.count if rng.random() < SAME_COUNT else pick(rng, SAGITTAL_COUNTS)
    between = float(np.clip(round(rng.normal(*COVERAGE) / count, 1), 3.0, 6.0))
    place = rng.normal(CANAL_PLACE, CANAL_PLACE_DEVIATION) * (columns, rows) * spacing
    middle = Plane(
        shared.centre - shared.columns * place[0] - shared.rows * place[1],
        shared.columns,
        shared.rows,
        spacing,
        spacing,
    )
    sequence = "T1" if description == "Sagittal T1" else ("STIR" if rng.random() < STIR else "T2")
    slices = tuple(
        PlannedSlice(replace(middle, position=middle.position + step), rows, columns, number)
        for step, number in zip(_steps(shared, count, between), number_instances(rng, count), strict=True)
    )
    return PlannedSeries(draw_series_id(rng), description, sequence, slices, draw_thickness(rng, between), between)


def _steps(shared: Prescription, count: int, between: float) -> Array:
    """Offsets (count, 3) in mm of the slices from the middle, in the order of their instance numbers."""
    left = np.cross(shared.rows, shared.columns)
    offsets = (np.arange(count) - (count - 1) / 2) * between
    return np.outer(offsets if shared.towards_left else -offsets, left)
