"""Renders one slice of a patient's anatomy."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lumbar.mri.geometry import Plane
from lumbar.phantom.anatomy.arch import paint_arch
from lumbar.phantom.anatomy.body import Body
from lumbar.phantom.anatomy.canal import paint_canal
from lumbar.phantom.anatomy.column import paint_column
from lumbar.phantom.anatomy.foramen import paint_foramen_walls, paint_foramina
from lumbar.phantom.anatomy.painting import Painting, Signals
from lumbar.phantom.anatomy.profile import Profile, tabulate_profile
from lumbar.phantom.anatomy.surroundings import Scene, paint_surroundings

Floats = NDArray[np.float32]

NEAR_SPINE = {"u": 36.0, "front": -48.0, "back": 60.0}
"""Millimetres around the canal within which pixels are painted at full resolution."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A body with its profile, lying in the scanner: `rotation` (3, 3) and `shift` (3,) take patient space to it."""

    body: Body
    profile: Profile
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]

    @classmethod
    def lay(cls, body: Body, rotation: NDArray[np.float64], shift: NDArray[np.float64]) -> "Patient":
        """Tabulates a body and lays it into patient space."""
        return cls(body, tabulate_profile(body), rotation, shift)

    def to_patient_space(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Patient millimetres (..., 3) of points (..., 3) in the body's own frame."""
        return points @ self.rotation + self.shift

    def to_frame(self, plane: Plane) -> Plane:
        """A plane of patient space in the body's own frame."""
        return replace(
            plane,
            position=self.rotation @ (plane.position - self.shift),
            x_axis=self.rotation @ plane.x_axis,
            y_axis=self.rotation @ plane.y_axis,
        )


def sample_plane(plane: Plane, rows: int, columns: int) -> tuple[Floats, Floats, Floats]:
    """x, y and z (rows, columns) in mm of all pixels."""
    across = np.arange(columns, dtype=np.float32) * np.float32(plane.x_spacing)
    down = np.arange(rows, dtype=np.float32)[:, None] * np.float32(plane.y_spacing)
    x, y, z = (
        np.float32(plane.position[axis])
        + across * np.float32(plane.x_axis[axis])
        + down * np.float32(plane.y_axis[axis])
        for axis in range(3)
    )
    return x, y, z


def render_slice(patient: Patient, plane: Plane, rows: int, columns: int, signals: Signals) -> Floats:
    """The brightness (rows, columns) of the tissue in a plane of the body's own frame, before any scanner fault."""
    x, y, z = sample_plane(plane, rows, columns)
    image = _render_surroundings(patient, plane, rows, columns, signals)
    u, v, s = patient.body.spine.locate(x, y, z)
    chosen = np.flatnonzero((np.abs(u) < NEAR_SPINE["u"]) & (v > NEAR_SPINE["front"]) & (v < NEAR_SPINE["back"]))
    u, v, s = (values.ravel()[chosen] for values in (u, v, s))
    row = patient.body.spine.index(s)
    painting = Painting(u, v, s, row, image.ravel()[chosen], patient.profile, signals, patient.body.texture)
    for paint in (paint_column, paint_foramen_walls, paint_arch, paint_canal, paint_foramina):
        paint(painting)
    image.ravel()[chosen] = painting.signal
    return image


def _render_surroundings(patient: Patient, plane: Plane, rows: int, columns: int, signals: Signals) -> Floats:
    spine = patient.body.spine
    coarse = replace(
        plane,
        position=plane.to_patient((0.5, 0.5)),
        x_spacing=2 * plane.x_spacing,
        y_spacing=2 * plane.y_spacing,
    )
    half = (rows + 1) // 2, (columns + 1) // 2
    x, y, z = sample_plane(coarse, *half)
    u, v, s = spine.locate(x, y, z)
    scene = Scene(x, y, z, u, v, s, spine.index(s), np.zeros(half, np.float32), patient.body, patient.profile, signals)
    paint_surroundings(scene)
    enlarged = cv2.resize(scene.signal, (2 * half[1], 2 * half[0]), interpolation=cv2.INTER_LINEAR)
    return np.array(enlarged[:rows, :columns], dtype=np.float32)
