"""Paints vertebral bodies and discs."""

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.painting import Canvas, hill, soft

Floats = NDArray[np.float32]

ROUNDNESS = 2.7
"""Shape of a body's outline: 2 is an ellipse, 3 nearly a box."""
CORTEX = 0.9
"""Millimetres of the dark rim of bone, thickened by chemical shift."""


def paint_column(canvas: Canvas) -> None:
    """Bodies, endplates and discs from the thoracic spine to the sacrum."""
    with canvas.only((np.abs(canvas.u) < 36) & (canvas.v > -46) & (canvas.v < 8)) as near:
        rim = inside_rim(near, near["half_width"], near["depth"])
        over_endplate = np.abs(near["from_disc"]) - _half_disc(near, rim)
        _paint_bodies(near, rim, over_endplate)
        _paint_discs(near, rim, over_endplate)


def inside_rim(canvas: Canvas, half_width: Floats, depth: Floats) -> Floats:
    """About how far (mm) pixels lie inside the outline of a body: boxy, with round corners."""
    half_depth = depth * np.float32(0.5)
    across = np.abs(canvas.u) / half_width
    along = np.abs(canvas.v + half_depth) / half_depth
    return (1 - _round_off(across) - _round_off(along)) * half_depth * np.float32(1 / ROUNDNESS)


def _round_off(ratio: Floats) -> Floats:
    """Between a square and a cube: 1 at 1, where its slope is `ROUNDNESS`."""
    return ratio * ratio * (np.float32(3 - ROUNDNESS) + np.float32(ROUNDNESS - 2) * ratio)


def back_of_column(canvas: Canvas) -> Floats:
    """Where (v in mm) the body or the bulging disc ends behind: bodies are round, so further in front at the sides."""
    across = _round_off(np.abs(canvas.u) / canvas["half_width"])
    return bulge(canvas) + np.float32(0.4) - across * canvas["depth"] * np.float32(0.5 / ROUNDNESS)


def _half_disc(canvas: Canvas, rim: Floats) -> Floats:
    """Half the disc's height (mm): discs are thickest in the middle."""
    return canvas["half_height"] * (np.float32(0.72) + np.float32(0.06) * np.clip(rim, 0, 6))


def _paint_bodies(canvas: Canvas, rim: Floats, over_endplate: Floats) -> None:
    canvas.paint("cortex", soft(rim))
    depth = np.minimum(rim, over_endplate)
    grain = 1 + np.float32(0.07) * canvas.grain(2.5) + np.float32(0.05) * canvas.grain(9.0)
    canvas.paint("marrow", soft(depth - np.float32(CORTEX)), grain * canvas["marrow"])
    _paint_worn_endplates(canvas, depth, over_endplate)
    _paint_basivertebral_veins(canvas)


def _paint_worn_endplates(canvas: Canvas, depth: Floats, over_endplate: Floats) -> None:
    """Fatty marrow beside a worn disc (Modic type 2)."""
    worn = np.clip(canvas["degeneration"] * 2 - np.float32(1.1), 0, 0.8)
    canvas.paint("fatty_marrow", soft(depth - np.float32(CORTEX)) * hill(over_endplate - 2, 5.0) * worn)


def _paint_basivertebral_veins(canvas: Canvas) -> None:
    """The cleft at the middle of the back of a body."""
    height = np.float32(2.4) + np.float32(0.14) * canvas.v
    cleft = (
        soft(height - np.abs(canvas["from_middle"]))
        * soft(np.float32(4) - np.abs(canvas.u), 4.0)
        * soft(canvas.v + 9, 6.0)
    )
    lumbar = (canvas.v < 0.5) & (canvas["disc"] > 1) & (canvas["sacral"] <= 0)
    canvas.paint("vein", cleft * lumbar * np.float32(0.65))


def _paint_discs(canvas: Canvas, rim: Floats, over_endplate: Floats) -> None:
    chosen = (over_endplate < 1.5) & (rim > -8)
    with canvas.only(chosen) as disc:
        inside, under = rim[chosen], -over_endplate[chosen]
        bulging = bulge(disc) * np.clip((disc.v + 10) * np.float32(0.1), 0, 1)
        disc.paint("annulus", soft(under) * soft(inside + np.float32(0.8) + bulging))
        _paint_nucleus(disc, inside, under)


def bulge(canvas: Canvas) -> Floats:
    """Millimetres (P,) by which the disc stands out behind the bodies."""
    u = np.abs(canvas.u)
    middle = canvas["bulge_canal"] * hill(u, 14.0)
    recess = canvas["bulge_recess"] * hill(u - np.float32(10), 7.0)
    return middle + recess + canvas["bulge_foramen"] * hill(u - canvas["foramen_offset"], 7.0)


def _paint_nucleus(canvas: Canvas, rim: Floats, under_endplate: Floats) -> None:
    """A lens of water, drier with wear, with a faint cleft across its middle."""
    water = np.clip(1 - canvas["degeneration"] * np.float32(1.25), 0.05, 1)
    inside = np.clip((rim - 1.5) * np.float32(0.22), 0, 1) * np.clip(under_endplate * np.float32(0.45), 0, 1)
    cleft = 1 - np.float32(0.2) * hill(canvas["from_disc"] + np.float32(0.4) * canvas.grain(14.0), 1.3)
    canvas.paint("nucleus", inside * water, cleft * (1 + np.float32(0.08) * canvas.grain(4.0)))
