"""Paints the neural foramina: openings between neighbouring pedicles, with the nerve root in their fat."""

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.column import back_of_column, inside_rim
from lumbar.phantom.anatomy.painting import Canvas, soft
from lumbar.phantom.anatomy.profile import FIRST_SACRAL, PEDICLE_SPAN

Floats = NDArray[np.float32]

LENGTH = 11.0
"""Millimetres of a foramen from inside to outside."""
ROOT_BELOW_PEDICLE = 5.2
"""Millimetres of the middle of the nerve root below the pedicle."""
ROOT_HALF_HEIGHT, ROOT_HALF_WIDTH = 3.2, 2.6
"""Millimetres of the root with its ganglion; a narrow foramen flattens it."""


def paint_foramen_walls(canvas: Canvas) -> None:
    """Fills the space between neighbouring pedicles with what narrows a foramen: capsule, ligament and disc."""
    beside = np.abs(np.abs(canvas.u) - canvas["foramen_offset"]) < LENGTH / 2 + 1
    with canvas.only(beside & (canvas["arch"] < FIRST_SACRAL - 0.5) & (canvas.v > -8) & (canvas.v < 14)) as near:
        outside_body = -inside_rim(near, near["half_width"], near["depth"])
        height = np.minimum(near["over_disc"] + 12, np.float32(PEDICLE_SPAN[0]) * near["pitch"] + 4 - near["over_disc"])
        ends = soft(np.float32(LENGTH / 2) - np.abs(np.abs(near.u) - near["foramen_offset"]), 2.0)
        near.paint("annulus", soft(np.minimum(outside_body, height)) * soft(12 - near.v) * ends)


def paint_foramina(canvas: Canvas) -> None:
    """The foramina of the lumbar discs on both sides."""
    beside = np.abs(np.abs(canvas.u) - canvas["foramen_offset"]) < LENGTH / 2 + 1
    with canvas.only(beside & (canvas["arch"] < FIRST_SACRAL - 0.5) & (canvas.v > -8) & (canvas.v < 18)) as near:
        opening = _inside_foramen(near)
        ends = soft(LENGTH / 2 - np.abs(np.abs(near.u) - near["foramen_offset"]), 2.0)
        near.paint("ligament", soft(opening + 1.1, 1.2) * ends)
        near.paint("fat", soft(opening, 1.2) * ends)
        _paint_exiting_root(near)
        _paint_vessels(near, opening)


def _inside_foramen(canvas: Canvas) -> Floats:
    """Millimetres inside a keyhole: wide below the upper pedicle, narrow behind the disc."""
    over, front = canvas["over_disc"], back_of_column(canvas)
    upper = np.clip((over - 1) * np.float32(0.2), 0, 1)
    width = canvas["foramen_width"] * (np.float32(0.5) + np.float32(0.5) * upper)
    height = np.minimum(canvas["foramen_top"] - over, over - canvas["foramen_bottom"])
    rounding = np.sqrt(np.clip(height * np.float32(0.22), 0.05, 1))
    lean = np.float32(0.10) * (over - 8)
    inside = width * np.float32(0.5) * rounding - np.abs(canvas.v - front + lean - width * np.float32(0.5))
    return np.minimum(inside, height)


def _paint_exiting_root(canvas: Canvas) -> None:
    """The root descends outwards."""
    outwards = np.abs(canvas.u) - canvas["foramen_offset"]
    half = canvas["foramen_width"] * np.float32(0.5)
    middle = canvas["foramen_top"] - np.float32(ROOT_BELOW_PEDICLE) - np.float32(0.45) * outwards
    height = (canvas["over_disc"] - middle) * np.float32(1 / ROOT_HALF_HEIGHT)
    flattened = np.minimum(half - np.float32(0.3), np.float32(ROOT_HALF_WIDTH))
    across = (canvas.v - back_of_column(canvas) - half + np.float32(0.1) * outwards) / flattened
    canvas.paint("nerve", soft((1 - np.sqrt(height**2 + across**2)) * 2.5, 1.2))


def _paint_vessels(canvas: Canvas, opening: Floats) -> None:
    """Small veins above and below the root."""
    below = np.abs(canvas["over_disc"] - canvas["foramen_bottom"] - 4.5) + np.abs(canvas.v - 2.0)
    canvas.paint("vein", soft(1.0 - below, 1.5) * soft(opening - 1.0, 1.5) * np.float32(0.6))
