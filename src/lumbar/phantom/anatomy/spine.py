"""The curve of the spine, and coordinates that follow it.

`Spine` turns millimetres of the patient's own frame into (u, v, s): u to the patient's left of the mid-sagittal plane
of the spine, v to the back of the posterior wall of the vertebral bodies, s along that wall to the head. In them the
spine is straight, so that everything on it is a cross-section (u, v) that changes with s.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

DISCS = ("t10_t11", "t11_t12", "t12_l1", "l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1", "s1_s2", "s2_s3", "s3_s4")
"""All discs that a lumbar image may show, from head to foot; those of the sacrum are rudiments."""
FIRST_GRADED = DISCS.index("l1_l2")
ORIGIN = DISCS.index("l3_l4")
"""The disc at s = 0, near the middle of the images."""
PITCHES = np.array([26.0, 29.0, 33.5, 35.5, 35.5, 34.0, 30.0, 30.0, 24.0, 20.0])
"""Millimetres between neighbouring discs along the posterior wall; in the real annotations, in units of the field of
view, 0.119, 0.117, 0.111 and 0.096 from L1/L2 to L5/S1."""
ANGLES = np.radians([-4.0, -11.0, -15.0, -14.0, -10.0, -3.0, 9.0, 29.0, 46.0, 48.0, 36.0])
"""Angle of the wall at each disc: how far it goes backwards on the way down. From the real annotations' courses."""
ABOVE, BELOW = 60.0, 70.0
"""Millimetres of the curve above the first and below the last disc."""
STEP = 0.25
"""Millimetres between samples along the curve: a fraction of any pixel."""
REACH_BACK, REACH_FRONT = 95.0, 150.0
"""Millimetres around the wall in which (u, v, s) are wanted."""


@dataclass(frozen=True, eq=False)
class Spine:
    """One patient's curve, sampled every `STEP` mm of `s` (N,): `y`, `z`, `angle` and the sideways `sway` (N,).

    `discs` (11,) are the s of `DISCS`. `lookup` (rows, columns, 2) holds v and s on a grid of whole millimetres of z
    and y that begins at `corner` (y, z).
    """

    s: Array
    y: Array
    z: Array
    angle: Array
    sway: Array
    discs: Array
    lookup: Floats
    corner: tuple[float, float]

    def locate(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """(u, v, s) of points given by x, y and z in mm, all (rows, columns)."""
        columns = np.float32(-self.corner[0]) + y
        rows = np.float32(-self.corner[1]) + z
        found = cv2.remap(self.lookup, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        v, s = np.moveaxis(np.asarray(found, dtype=np.float32), -1, 0)
        return x - self.sway.astype(np.float32)[self.index(s)], v, s

    def index(self, s: NDArray) -> NDArray[np.int32]:
        """The nearest samples of the curve to `s`."""
        scaled = (s - np.float32(self.s[0])) * np.float32(1 / STEP) + np.float32(0.5)
        return np.clip(scaled, 0, len(self.s) - 1).astype(np.int32)

    def to_frame(self, u: float, v: float, s: float) -> Array:
        """The point (3,) x, y, z in mm at (u, v, s)."""
        at = [float(np.interp(s, self.s, values)) for values in (self.y, self.z, self.angle, self.sway)]
        y, z, angle, sway = at
        return np.array([u + sway, y + v * np.cos(angle), z + v * np.sin(angle)])

    def direction(self, s: float) -> Array:
        """The unit direction (3,) of the curve to the head: the normal of the disc plane there."""
        angle = float(np.interp(s, self.s, self.angle))
        return np.array([0.0, -np.sin(angle), np.cos(angle)])


def bend_spine(rng: np.random.Generator, size: float) -> Spine:
    """Draws a patient's curve; `size` scales its lengths."""
    discs = _place_discs(rng, size)
    s = np.arange(discs[-1] - BELOW, discs[0] + ABOVE, STEP)
    angle = _draw_angles(rng, s, discs)
    y, z = _integrate(s, angle)
    sway = _draw_sway(rng, s)
    lookup, corner = _tabulate(s, y, z, angle)
    return Spine(s, y, z, angle, sway, discs, lookup, corner)


def _place_discs(rng: np.random.Generator, size: float) -> Array:
    pitches = PITCHES * size * rng.normal(1.0, 0.025, len(PITCHES))
    below_first = np.concatenate([[0.0], np.cumsum(pitches)])
    return below_first[ORIGIN] - below_first


def _draw_angles(rng: np.random.Generator, s: Array, discs: Array) -> Array:
    at_discs = ANGLES * rng.normal(1.0, 0.2) + np.radians(rng.normal(0.0, 3.0))
    at_discs = at_discs + np.radians(rng.normal(0.0, 1.2, len(DISCS)))
    knots = np.concatenate([[discs[-1] - BELOW], discs[::-1], [discs[0] + ABOVE]])
    values = np.concatenate([[at_discs[-1] - np.radians(30)], at_discs[::-1], [at_discs[0] + np.radians(10)]])
    return PchipInterpolator(knots, values)(s)


def _integrate(s: Array, angle: Array) -> tuple[Array, Array]:
    y, z = np.cumsum(-np.sin(angle)) * STEP, np.cumsum(np.cos(angle)) * STEP
    return y - np.interp(0.0, s, y), z - np.interp(0.0, s, z)


def _draw_sway(rng: np.random.Generator, s: Array) -> Array:
    height = rng.normal(0.0, 2.5)
    return height * np.sin(s / rng.uniform(35.0, 60.0) + rng.uniform(0, 2 * np.pi))


def _tabulate(s: Array, y: Array, z: Array, angle: Array) -> tuple[Floats, tuple[float, float]]:
    """v and s of every whole millimetre of y and z, by Newton's method on the foot of the perpendicular."""
    corner = (float(np.floor(y.min() - REACH_FRONT)), float(np.floor(z.min())))
    grid_y, grid_z = np.meshgrid(np.arange(corner[0], y.max() + REACH_BACK), np.arange(corner[1], z.max()))
    foot = np.interp(grid_z, z, s)
    for _ in range(8):
        along, curvature_factor = _residual(foot, grid_y, grid_z, s, y, z, angle)
        foot = np.clip(foot + along / np.maximum(curvature_factor, 0.3), s[0], s[-1])
    at_y, at_z, at_angle = (np.interp(foot, s, values) for values in (y, z, angle))
    v = (grid_y - at_y) * np.cos(at_angle) + (grid_z - at_z) * np.sin(at_angle)
    return np.stack([v, foot], axis=-1).astype(np.float32), corner


def _residual(
    foot: Array, grid_y: Array, grid_z: Array, s: Array, y: Array, z: Array, angle: Array
) -> tuple[Array, Array]:
    """How far the foot is from right, along the curve, and by what the step is to be divided: 1 + v × curvature."""
    at_y, at_z, at_angle = (np.interp(foot, s, values) for values in (y, z, angle))
    bend = np.interp(foot, s, np.gradient(angle, s))
    cosine, sine = np.cos(at_angle), np.sin(at_angle)
    offset_y, offset_z = grid_y - at_y, grid_z - at_z
    return offset_z * cosine - offset_y * sine, 1 + (offset_y * cosine + offset_z * sine) * bend
