"""One simulated study: its latents and grades, its anatomy, its series and an annotator's points."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lumbar.labels import CELLS, CONDITIONS, GROUPS, LEVELS
from lumbar.mri.geometry import Plane
from lumbar.phantom.anatomy.body import draw_body
from lumbar.phantom.anatomy.landmarks import place_landmark
from lumbar.phantom.anatomy.render import Patient, render_slice, sample_plane
from lumbar.phantom.grades import best_answer, draw_grades, draw_latents
from lumbar.phantom.scanner.acquisition import RARE, PlannedSeries, PlannedSlice, plan_sagittals
from lumbar.phantom.scanner.axial import plan_axials
from lumbar.phantom.scanner.contrast import Sequence, acquire, draw_sequence

Array = NDArray[np.float64]

POINT_JITTER = 1.0
"""Standard deviation of an annotated point in mm, in each direction."""
SLICE_JITTER = 0.33
"""Standard deviation of the choice of slice, in slices: in the real data the left and right subarticular points of a
level lie on different slices in 38 % of cases."""
ONE_CANAL_SLICE = 0.75
"""Share of annotators who mark the canal on one slice for all levels; with it 78 % of studies have one, as measured."""
NO_LABEL_STUDIES = 0.0096
"""Share of studies with empty cells for no reason that shows (the other empty cells are those no axial covers)."""
ACQUIRED_SIZE = 384
"""Largest matrix that is rendered; scanners, too, interpolate larger images from about this size."""
COARSE_SPACING = 1.3
"""Pixels of so many mm or more are supersampled: nerve roots and endplates are finer than that."""
MIXED_SIZES_IN_TEST = 0.03
"""Rate of axial series with two image sizes in the test studies: seen by participants, the rate is assumed."""


@dataclass(frozen=True)
class Annotation:
    """One row of `train_label_coordinates.csv`."""

    series_id: int
    instance_number: int
    cell: str
    x: float
    y: float


@dataclass(frozen=True, eq=False)
class SimulatedStudy:
    """A planned study. `latents` (25,) and `grades` (25,) has -1 for a cell without a label; `answer` (25, 3)."""

    study_id: int
    latents: Array
    grades: NDArray[np.int64]
    answer: Array
    series: tuple[PlannedSeries, ...]
    points: tuple[Annotation, ...]


def simulate_study(
    rng: np.random.Generator, study_id: int, max_size: int | None, is_test: bool
) -> tuple[SimulatedStudy, Patient]:
    """Draws a study and the patient it shows; neither anatomy nor grades depend on `max_size`."""
    label_rng, body_rng, scan_rng, annotator_rng = rng.spawn(4)
    latents = draw_latents(label_rng)
    patient = Patient.lay(draw_body(body_rng, latents), *_draw_pose(body_rng))
    mixed_sizes = MIXED_SIZES_IN_TEST if is_test else 0.0
    series = (
        *plan_sagittals(scan_rng, patient, max_size),
        *plan_axials(scan_rng, patient, max_size, mixed_sizes),
    )
    points = annotate(annotator_rng, patient, series)
    grades = _leave_empty(annotator_rng, draw_grades(label_rng, latents), points)
    labelled = {column for column, grade in zip(CELLS, grades, strict=True) if grade >= 0}
    kept = tuple(point for point in points if point.cell in labelled)
    unmarked = annotator_rng.random() < RARE
    study = SimulatedStudy(study_id, latents, grades, best_answer(latents), series, () if unmarked else kept)
    return study, patient


def _draw_pose(rng: np.random.Generator) -> tuple[Array, Array]:
    """How the patient lies: a rotation into the body's frame, and the place of its origin in the scanner (mm)."""
    angles = rng.normal(0.0, (2.5, 1.5, 1.5))
    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), rng.normal(0.0, (8.0, 20.0, 25.0))


def annotate(rng: np.random.Generator, patient: Patient, series: tuple[PlannedSeries, ...]) -> tuple[Annotation, ...]:
    """An annotator's points: one for each cell that some series of the right type covers."""
    middle = np.mean([place_landmark(patient, "spinal", None, level) for level in LEVELS], axis=0)
    one_slice = bool(rng.random() < ONE_CANAL_SLICE)
    points = []
    for column, cell in CELLS.items():
        group, side = CONDITIONS[cell.condition].group, CONDITIONS[cell.condition].side
        place = place_landmark(patient, group, side, cell.level)
        chosen = next((planned for planned in series if _covers(planned, group, side, cell.level)), None)
        if chosen is not None:
            slice_place = middle if one_slice and group == "spinal" else place
            points.append(_mark(rng, chosen, column, place, _choose_slice(rng, chosen, group, slice_place)))
    return tuple(points)


def _covers(series: PlannedSeries, group: str, side: str | None, level: str) -> bool:
    of_type = series.description == GROUPS[group].series_description
    return of_type and level in series.levels and (side is None or side in series.sides)


def _choose_slice(rng: np.random.Generator, series: PlannedSeries, group: str, place: Array) -> PlannedSlice:
    """The slice closest to a point (3,), or now and then its neighbour."""
    off = 0.0 if group == "spinal" else float(rng.normal(0.0, SLICE_JITTER)) * series.spacing
    return min(series.slices, key=lambda image: abs(float(image.plane.distance(place)) - off))


def _mark(rng: np.random.Generator, series: PlannedSeries, cell: str, place: Array, image: PlannedSlice) -> Annotation:
    jitter = rng.normal(0.0, POINT_JITTER, 2) / (image.plane.x_spacing, image.plane.y_spacing)
    x, y = image.plane.to_pixels(place) + jitter
    return Annotation(series.series_id, image.instance_number, cell, float(x), float(y))


def _leave_empty(
    rng: np.random.Generator, grades: NDArray[np.int64], points: tuple[Annotation, ...]
) -> NDArray[np.int64]:
    """Grades with -1 for cells that no series shows, and for the few that were simply left out."""
    marked = {point.cell for point in points}
    empty = np.array([column not in marked for column in CELLS])
    if rng.random() < NO_LABEL_STUDIES:
        empty[rng.choice(len(CELLS), size=int(rng.choice([1, 5])), replace=False)] = True
    return np.where(empty, -1, grades)


def draw_looks(rng: np.random.Generator, study: SimulatedStudy) -> dict[int, Sequence]:
    """The look of each series, by series id."""
    return {series.series_id: draw_sequence(rng, series.sequence) for series in study.series}


def image_slice(rng: np.random.Generator, patient: Patient, image: PlannedSlice, look: Sequence) -> NDArray[np.uint16]:
    """The stored pixels (rows, columns) of a slice."""
    shrink = max(1.0, max(image.rows, image.columns) / ACQUIRED_SIZE)
    rows, columns = round(image.rows / shrink), round(image.columns / shrink)
    plane = _resample_plane(patient.to_frame(image.plane), image.columns / columns, image.rows / rows)
    signal = _render_acquired(patient, plane, rows, columns, look)
    _, y, z = sample_plane(plane, rows, columns)
    acquired = acquire(rng, signal, y, z, look)
    if shrink == 1.0:
        return acquired
    enlarged = cv2.resize(acquired, (image.columns, image.rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, dtype=np.uint16)


def _render_acquired(patient: Patient, plane: Plane, rows: int, columns: int, look: Sequence) -> NDArray[np.float32]:
    """The tissue's signal; coarse pixels are the mean of 2 × 2 samples, as a scanner's would be."""
    if plane.x_spacing < COARSE_SPACING:
        return render_slice(patient, plane, rows, columns, look.signals)
    fine = render_slice(patient, _resample_plane(plane, 0.5, 0.5), 2 * rows, 2 * columns, look.signals)
    return np.asarray(cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _resample_plane(plane: Plane, across: float, down: float) -> Plane:
    """The plane of the same field of view with pixels `across` and `down` times as large."""
    position = plane.to_patient(((across - 1) / 2, (down - 1) / 2))
    return Plane(position, plane.x_axis, plane.y_axis, plane.x_spacing * across, plane.y_spacing * down)
