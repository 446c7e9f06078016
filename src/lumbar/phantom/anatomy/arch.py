"""Paints the bone behind the bodies: pedicles, articular processes, facet joints, laminae and spinous processes."""

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.column import CORTEX, inside_rim
from lumbar.phantom.anatomy.painting import Canvas, hill, soft
from lumbar.phantom.anatomy.profile import FIRST_SACRAL, PEDICLE_SPAN

Floats = NDArray[np.float32]

ROOF_SLOPE = 0.42
"""How far the laminae come forwards for each millimetre to the side."""
INFERIOR_TIP, INFERIOR_BACK = -8.0, 16.5
"""Millimetres above the disc, and behind the bodies, of the tip of the inferior articular process."""
SUPERIOR_TIP, SUPERIOR_BACK = 4.0, 9.5
"""The same of the superior articular process of the vertebra below, which lies in front of it."""
PILLAR_RADIUS = 4.4


def paint_arch(canvas: Canvas) -> None:
    """All bone behind the bodies."""
    with canvas.only((np.abs(canvas.u) < 32) & (canvas.v > -8) & (canvas.v < 56)) as near:
        _paint_interspinous_ligaments(near)
        _paint_pedicles(near)
        _paint_laminae(near)
        _paint_spinous_processes(near)
        _paint_articular_processes(near)
        _paint_facet_joints(near)


def _paint_bone(canvas: Canvas, inside: Floats) -> None:
    canvas.paint("cortex", soft(inside, 1.2))
    grain = 1 + np.float32(0.10) * canvas.grain(3.0)
    canvas.paint("marrow", soft(inside - np.float32(CORTEX), 1.2), grain * canvas["marrow"])


def _is_lumbar(canvas: Canvas) -> NDArray[np.bool_]:
    return canvas["arch"] < FIRST_SACRAL - 0.5


def _paint_interspinous_ligaments(canvas: Canvas) -> None:
    """Between the spinous processes: fibres and fat in streaks that slope like the processes."""
    back = canvas.v - canvas["roof"]
    inside = np.minimum(np.minimum(3.2 - np.abs(canvas.u), back - 1.0), 30.0 - back)
    slope = canvas["over_disc"] + np.float32(0.6) * back
    waves = np.sin(slope * np.float32(0.9) + canvas.grain(12.0))
    streaks = np.float32(0.8) + np.float32(0.14) * waves + np.float32(0.12) * canvas.grain(4.0)
    canvas.paint("interspinous", soft(inside, 1.5) * (canvas["sacral"] <= 0), streaks)


def _paint_pedicles(canvas: Canvas) -> None:
    """They join the upper half of each body; no cortex parts the two."""
    low, high = PEDICLE_SPAN
    share = 1 - canvas["under_disc"] / canvas["height"]
    height = (share - np.float32((high + low) / 2)) * np.float32(2 / (high - low))
    across = (np.abs(canvas.u) - canvas["canal_half_width"] - 5.0) * np.float32(1 / 5.4)
    inside = np.minimum((1 - (height**2) ** 2 - (across**2) ** 2) * np.float32(1.5), 11 - canvas.v)
    behind_body = inside_rim(canvas, canvas["half_width"], canvas["depth"]) < CORTEX + 0.3
    _paint_bone(canvas, np.where(behind_body, inside, -1))


def _paint_laminae(canvas: Canvas) -> None:
    """A roof over the lower half of each vertebra, and over all of the sacral canal."""
    over = canvas["over_disc"]
    roof = (
        canvas["roof"] - np.float32(ROOF_SLOPE) * np.abs(canvas.u) + np.float32(0.16) * (12 - over) * _is_lumbar(canvas)
    )
    thickness = np.minimum(canvas.v - roof, roof + 6.0 - canvas.v)
    extent = np.where(_is_lumbar(canvas), 8.5 - np.abs(over - 12), 10.0)
    _paint_bone(canvas, np.minimum(thickness, np.minimum(extent, 15 - np.abs(canvas.u))))


def _paint_spinous_processes(canvas: Canvas) -> None:
    """Plates in the midline that slope down and thicken to the back."""
    back = canvas.v - canvas["roof"]
    middle = 10 - np.float32(0.30) * back
    lumbar_height = 7.0 + 0.10 * back - np.abs(canvas["over_disc"] - middle) - 0.5 * canvas.grain(14.0)
    height = np.where(_is_lumbar(canvas), lumbar_height, 6.0)
    across = 2.4 + 0.07 * back - np.abs(canvas.u)
    length = np.where(canvas["arch"] > FIRST_SACRAL - 1.5, np.where(_is_lumbar(canvas), 22.0, 7.0), 30.0)
    rounding = np.clip((length - back) * np.float32(0.25), 0, 1)
    _paint_bone(
        canvas, np.minimum(np.minimum(height, across) - 2 * (1 - rounding), np.minimum(back - 2, length - back))
    )


def _paint_articular_processes(canvas: Canvas) -> None:
    """Each vertebra's pillar leans back on the way down, so that near a disc two of them overlap: the facet joint."""
    over, pitch = canvas["over_disc"], canvas["pitch"]
    lean = np.float32(INFERIOR_BACK - SUPERIOR_BACK) / (pitch + np.float32(SUPERIOR_TIP - INFERIOR_TIP))
    grown = (1.6 * canvas["recess_narrowing"] + 0.6 * canvas["foramen_narrowing"]) * hill(over + 2, 14.0)
    radius = np.float32(PILLAR_RADIUS) * (1 - 0.2 * hill(over - 14, 9.0)) + np.float32(1.2) * grown
    upper_v = np.float32(INFERIOR_BACK) - lean * (over - np.float32(INFERIOR_TIP))
    lower_v = np.float32(SUPERIOR_BACK) + lean * (np.float32(SUPERIOR_TIP) - over)
    sideways = np.abs(canvas.u) - canvas["foramen_offset"]
    under_tip = np.maximum(np.float32(INFERIOR_TIP + 3) - over, 0)
    over_tip = np.maximum(over - np.float32(SUPERIOR_TIP - 3) - np.float32(2.0) * grown, 0)
    upper = radius - np.sqrt((sideways + 1.0) ** 2 + (canvas.v - upper_v) ** 2 + under_tip**2)
    lower = radius - np.sqrt((sideways - 2.0) ** 2 + (canvas.v - lower_v) ** 2 + over_tip**2)
    either = np.maximum(upper, lower)
    _paint_bone(canvas, np.where(_is_lumbar(canvas), either, -1))


def _paint_facet_joints(canvas: Canvas) -> None:
    """A bright slit between two dark plates, more coronal at each level down."""
    lumbar = canvas["disc"] < FIRST_SACRAL - 0.5
    with canvas.only((np.abs(canvas["from_disc"] + 2) < 7.5) & lumbar) as joint:
        grown = joint["recess_narrowing"]
        across = np.abs(joint.u) - joint["foramen_offset"] - 0.5
        along = joint.v - np.float32(0.5 * (INFERIOR_BACK + SUPERIOR_BACK)) + np.float32(0.2) * (joint["from_disc"] + 2)
        cosine, sine = np.cos(joint["facet_angle"]), np.sin(joint["facet_angle"])
        # The axis of the slit runs from the front outside to the back inside.
        gap = along * sine + across * cosine + np.float32(0.03) * (across * sine - along * cosine) ** 2
        length = 6.5 + 1.5 * grown - np.abs(across * sine - along * cosine)
        joint.paint("cortex", soft(0.9 - np.abs(gap), 1.2) * soft(length, 2.0))
        joint.paint("joint", soft(0.4 - np.abs(gap)) * soft(length - 1.0))
