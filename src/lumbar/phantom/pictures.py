"""Draws the pictures of docs/phantom.md: one patient with one level normal, moderately and severely narrowed."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from lumbar.labels import CELLS, GRADES, GROUPS, LEVELS, SIDES, grade_title, group_of, level_title
from lumbar.mri.geometry import Plane
from lumbar.phantom.anatomy.body import draw_body
from lumbar.phantom.anatomy.landmarks import place_landmark
from lumbar.phantom.anatomy.render import Patient, render_slice, sample_plane
from lumbar.phantom.grades import CELL_CUTS
from lumbar.phantom.scanner.contrast import Sequence, acquire, draw_sequence

Array = NDArray[np.float64]

SHOWN_LEVEL = "l4_l5"
PIXELS = 320
GREYS, ORANGES = 48, 8
"""Colours of a picture's palette: few, so that its file stays small enough for a repository."""
WIDE, CLOSE = {"spinal": 250.0, "foraminal": 250.0, "subarticular": 180.0}, 70.0
"""Fields of view in mm: the whole image, and the zoom below it."""
TYPICAL_LATENTS = (-0.5, 0.35)
"""Latents of a clearly normal cell, and how far beyond the cut to Severe a severe one lies."""


def draw_pictures(out: Path, seed: int) -> list[Path]:
    """Writes `canal.png` (sagittal T2), `foramen.png` (sagittal T1) and `recess.png` (axial T2) into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    names = dict(zip(GROUPS, ("canal", "foramen", "recess"), strict=True))
    return [_draw_group(out / f"{name}.png", group, seed) for group, name in names.items()]


def _draw_group(path: Path, group: str, seed: int) -> Path:
    matplotlib.use("Agg")
    figure = Figure(figsize=(8.4, 5.9), dpi=90, facecolor="black", layout="constrained")
    axes = figure.subplots(2, len(GRADES))
    name = "T1" if GROUPS[group].series_description.endswith("T1") else "T2"
    look = draw_sequence(np.random.default_rng(seed), name)
    for column, grade in enumerate(GRADES):
        patient = _patient_of_grade(group, column, seed)
        wide, close = (_plane_of(patient, group, view) for view in (WIDE[group], CLOSE))
        _show(axes[0, column], patient, group, wide, look)
        axes[0, column].set_title(grade_title(grade), color="white", fontsize=11)
        _show(axes[1, column], patient, group, close, look)
        axes[1, column].set_title(f"{level_title(SHOWN_LEVEL)}, {CLOSE:.0f} mm", color="white", fontsize=9)
    figure.savefig(path, facecolor="black")
    Image.open(path).convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def _palette() -> Image.Image:
    """An image whose palette holds greys, and oranges from black to bright for the points and their names."""
    greys = [(round(grey),) * 3 for grey in np.linspace(0, 255, GREYS)]
    oranges = [(round(255 * share), round(165 * share), 0) for share in np.linspace(0.3, 1, ORANGES)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for colour in (*greys, *oranges) for channel in colour])
    return palette


def _patient_of_grade(group: str, grade: int, seed: int) -> Patient:
    """One patient, in whom only the cells of the group at the shown level change."""
    latents = np.full(len(CELLS), TYPICAL_LATENTS[0])
    for index, cell in enumerate(CELLS.values()):
        if group_of(cell.condition) == group and cell.level == SHOWN_LEVEL:
            moderate, severe = CELL_CUTS[index]
            latents[index] = (TYPICAL_LATENTS[0], (moderate + severe) / 2, severe + TYPICAL_LATENTS[1])[grade]
    return Patient.lay(draw_body(np.random.default_rng(seed), latents), np.eye(3), np.zeros(3))


def _plane_of(patient: Patient, group: str, view: float) -> Plane:
    """A plane through the landmark: sagittal, or axial along the disc."""
    spine = patient.body.spine
    place = place_landmark(patient, group, SIDES[0] if GROUPS[group].has_sides else None, SHOWN_LEVEL)
    if group == "subarticular":
        place = place * [0.0, 1.0, 1.0] + [0.0, 6.0, 0.0]
        down = np.cross(spine.direction(float(spine.discs[6])), [1.0, 0.0, 0.0])
        axes = np.array([1.0, 0.0, 0.0]), down
    else:
        axes = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])
    return Plane(place - (axes[0] + axes[1]) * view / 2, *axes, view / PIXELS, view / PIXELS)


def _show(axis: Axes, patient: Patient, group: str, plane: Plane, look: Sequence) -> None:
    signal = render_slice(patient, plane, PIXELS, PIXELS, look.signals)
    _, y, z = sample_plane(plane, PIXELS, PIXELS)
    image = acquire(np.random.default_rng(0), signal, y, z, look)
    axis.imshow(image, cmap="gray", vmin=0, vmax=float(np.percentile(image, 99.7)))
    axis.set_axis_off()
    for side in SIDES if GROUPS[group].has_sides else (None,):
        _mark_points(axis, patient, group, side, plane)


def _mark_points(axis: Axes, patient: Patient, group: str, side: str | None, plane: Plane) -> None:
    """The landmarks that lie in the plane, named by level (and side, where both are in the picture)."""
    for level in LEVELS:
        place = place_landmark(patient, group, side, level)
        x, y = plane.to_pixels(place)
        if abs(float(plane.distance(place))) < 4.0 and 0 < x < PIXELS and 0 < y < PIXELS:
            label = side if side and group == "subarticular" else level_title(level)
            axis.plot(x, y, "+", color="orange", markersize=7)
            right_of_point = side != "right"
            axis.text(
                x + (9 if right_of_point else -9),
                y - 6,
                label,
                color="orange",
                fontsize=7,
                horizontalalignment="left" if right_of_point else "right",
            )
