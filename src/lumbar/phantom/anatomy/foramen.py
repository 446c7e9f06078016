"""Paints the neural foramina: openings between neighbouring pedicles, with the nerve root in their fat."""

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.column import back_of_column, inside_rim
from lumbar.phantom.anatomy.painting import Painting, soft
from lumbar.phantom.anatomy.profile import FIRST_SACRAL, PEDICLE_SPAN

Floats = NDArray[np.float32]

LENGTH = 11.0
"""Millimetres of a foramen from inside to outside."""
ROOT_BELOW_PEDICLE = 5.2
"""Millimetres of the middle of the nerve root below the pedicle."""
ROOT_HALF_HEIGHT, ROOT_HALF_WIDTH = 3.2, 2.6
"""Millimetres of the root with its ganglion; a narrow foramen flattens it."""


def paint_foramen_walls(painting: Painting) -> None:
    """Fills the space between neighbouring pedicles with what narrows a foramen: capsule, ligament and disc."""
    beside = np.abs(np.abs(painting.u) - painting["foramen_offset"]) < LENGTH / 2 + 1
    with painting.only(
        beside & (painting["arch"] < FIRST_SACRAL - 0.5) & (painting.v > -8) & (painting.v < 14)
    ) as near:
        outside_body = -inside_rim(near, near["half_width"], near["depth"])
        height = np.minimum(near["over_disc"] + 12, np.float32(PEDICLE_SPAN[0]) * near["pitch"] + 4 - near["over_disc"])
        ends = soft(np.float32(LENGTH / 2) - np.abs(np.abs(near.u) - near["foramen_offset"]), 2.0)
        near.paint("annulus", soft(np.minimum(outside_body, height)) * soft(12 - near.v) * ends)


def paint_foramina(painting: Painting) -> None:
    """The foramina of the lumbar discs on both sides."""
    beside = np.abs(np.abs(painting.u) - painting["foramen_offset"]) < LENGTH / 2 + 1
    with painting.only(
        beside & (painting["arch"] < FIRST_SACRAL - 0.5) & (painting.v > -8) & (painting.v < 18)
    ) as near:
        opening = _inside_foramen(near)
        ends = soft(LENGTH / 2 - np.abs(np.abs(near.u) - near["foramen_offset"]), 2.0)
        near.paint("ligament", soft(opening + 1.1, 1.2) * ends)
        near.paint("fat", soft(opening, 1.2) * ends)
        _paint_exiting_root(near)
        _paint_vessels(near, opening)


def _inside_foramen(painting: Painting) -> Floats:
    """Millimetres inside a keyhole: wide below the upper pedicle, narrow behind the disc."""
    over, front = painting["over_disc"], back_of_column(painting)
    upper = np.clip((over - 1) * np.float32(0.2), 0, 1)
    width = painting["foramen_width"] * (np.float32(0.5) + np.float32(0.5) * upper)
    height = np.minimum(painting["foramen_top"] - over, over - painting["foramen_bottom"])
    rounding = np.sqrt(np.clip(height * np.float32(0.22), 0.05, 1))
    lean = np.float32(0.10) * (over - 8)
    inside = width * np.float32(0.5) * rounding - np.abs(painting.v - front + lean - width * np.float32(0.5))
    return np.minimum(inside, height)


def _paint_exiting_root(painting: Painting) -> None:
    """The root descends outwards."""
    outwards = np.abs(painting.u) - painting["foramen_offset"]
    half = painting["foramen_width"] * np.float32(0.5)
    middle = painting["foramen_top"] - np.float32(ROOT_BELOW_PEDICLE) - np.float32(0.45) * outwards
    height = (painting["over_disc"] - middle) * np.float32(1 / ROOT_HALF_HEIGHT)
    flattened = np.minimum(half - np.float32(0.3), np.float32(ROOT_HALF_WIDTH))
    across = (painting.v - back_of_column(painting) - half + np.float32(0.1) * outwards) / flattened
    painting.paint("nerve", soft((1 - np.sqrt(height**2 + across**2)) * 2.5, 1.2))


def _paint_vessels(painting: Painting, opening: Floats) -> None:
    """Small veins above and below the root."""
    below = np.abs(painting["over_disc"] - painting["foramen_bottom"] - 4.5) + np.abs(painting.v - 2.0)
    painting.paint("vein", soft(1.0 - below, 1.5) * soft(opening - 1.0, 1.5) * np.float32(0.6))
