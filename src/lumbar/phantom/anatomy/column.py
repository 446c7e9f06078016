"""Paints vertebral bodies and discs."""

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.painting import Painting, hill, soft

Floats = NDArray[np.float32]

ROUNDNESS = 2.7
"""Shape of a body's outline: 2 is an ellipse, 3 nearly a box."""
CORTEX = 0.9
"""Millimetres of the dark rim of bone, thickened by chemical shift."""


def paint_column(painting: Painting) -> None:
    """Bodies, endplates and discs from the thoracic spine to the sacrum."""
    with painting.only((np.abs(painting.u) < 36) & (painting.v > -46) & (painting.v < 8)) as near:
        rim = inside_rim(near, near["half_width"], near["depth"])
        over_endplate = np.abs(near["from_disc"]) - _half_disc(near, rim)
        _paint_bodies(near, rim, over_endplate)
        _paint_discs(near, rim, over_endplate)


def inside_rim(painting: Painting, half_width: Floats, depth: Floats) -> Floats:
    """About how far (mm) pixels lie inside the outline of a body: boxy, with round corners."""
    half_depth = depth * np.float32(0.5)
    across = np.abs(painting.u) / half_width
    along = np.abs(painting.v + half_depth) / half_depth
    return (1 - _round_off(across) - _round_off(along)) * half_depth * np.float32(1 / ROUNDNESS)


def _round_off(ratio: Floats) -> Floats:
    """Between a square and a cube: 1 at 1, where its slope is `ROUNDNESS`."""
    return ratio * ratio * (np.float32(3 - ROUNDNESS) + np.float32(ROUNDNESS - 2) * ratio)


def back_of_column(painting: Painting) -> Floats:
    """Where (v in mm) the body or the bulging disc ends behind: bodies are round, so further in front at the sides."""
    across = _round_off(np.abs(painting.u) / painting["half_width"])
    return bulge(painting) + np.float32(0.4) - across * painting["depth"] * np.float32(0.5 / ROUNDNESS)


def _half_disc(painting: Painting, rim: Floats) -> Floats:
    """Half the disc's height (mm): discs are thickest in the middle."""
    return painting["half_height"] * (np.float32(0.72) + np.float32(0.06) * np.clip(rim, 0, 6))


def _paint_bodies(painting: Painting, rim: Floats, over_endplate: Floats) -> None:
    painting.paint("cortex", soft(rim))
    depth = np.minimum(rim, over_endplate)
    grain = 1 + np.float32(0.07) * painting.grain(2.5) + np.float32(0.05) * painting.grain(9.0)
    painting.paint("marrow", soft(depth - np.float32(CORTEX)), grain * painting["marrow"])
    _paint_worn_endplates(painting, depth, over_endplate)
    _paint_basivertebral_veins(painting)


def _paint_worn_endplates(painting: Painting, depth: Floats, over_endplate: Floats) -> None:
    """Fatty marrow beside a worn disc (Modic type 2)."""
    worn = np.clip(painting["degeneration"] * 2 - np.float32(1.1), 0, 0.8)
    painting.paint("fatty_marrow", soft(depth - np.float32(CORTEX)) * hill(over_endplate - 2, 5.0) * worn)


def _paint_basivertebral_veins(painting: Painting) -> None:
    """The cleft at the middle of the back of a body."""
    height = np.float32(2.4) + np.float32(0.14) * painting.v
    cleft = (
        soft(height - np.abs(painting["from_middle"]))
        * soft(np.float32(4) - np.abs(painting.u), 4.0)
        * soft(painting.v + 9, 6.0)
    )
    lumbar = (painting.v < 0.5) & (painting["disc"] > 1) & (painting["sacral"] <= 0)
    painting.paint("vein", cleft * lumbar * np.float32(0.65))


def _paint_discs(painting: Painting, rim: Floats, over_endplate: Floats) -> None:
    chosen = (over_endplate < 1.5) & (rim > -8)
    with painting.only(chosen) as disc:
        inside, under = rim[chosen], -over_endplate[chosen]
        bulging = bulge(disc) * np.clip((disc.v + 10) * np.float32(0.1), 0, 1)
        disc.paint("annulus", soft(under) * soft(inside + np.float32(0.8) + bulging))
        _paint_nucleus(disc, inside, under)


def bulge(painting: Painting) -> Floats:
    """Millimetres (P,) by which the disc stands out behind the bodies."""
    u = np.abs(painting.u)
    middle = painting["bulge_canal"] * hill(u, 14.0)
    recess = painting["bulge_recess"] * hill(u - np.float32(10), 7.0)
    return middle + recess + painting["bulge_foramen"] * hill(u - painting["foramen_offset"], 7.0)


def _paint_nucleus(painting: Painting, rim: Floats, under_endplate: Floats) -> None:
    """A lens of water, drier with wear, with a faint cleft across its middle."""
    water = np.clip(1 - painting["degeneration"] * np.float32(1.25), 0.05, 1)
    inside = np.clip((rim - 1.5) * np.float32(0.22), 0, 1) * np.clip(under_endplate * np.float32(0.45), 0, 1)
    cleft = 1 - np.float32(0.2) * hill(painting["from_disc"] + np.float32(0.4) * painting.grain(14.0), 1.3)
    painting.paint("nucleus", inside * water, cleft * (1 + np.float32(0.08) * painting.grain(4.0)))
