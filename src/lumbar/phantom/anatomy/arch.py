"""Paints the bone behind the bodies: pedicles, articular processes, facet joints, laminae and spinous processes."""

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.column import CORTEX, inside_rim
from lumbar.phantom.anatomy.painting import Painting, hill, soft
from lumbar.phantom.anatomy.profile import FIRST_SACRAL, PEDICLE_SPAN

Floats = NDArray[np.float32]

ROOF_SLOPE = 0.42
"""How far the laminae come forwards for each millimetre to the side."""
INFERIOR_TIP, INFERIOR_BACK = -8.0, 16.5
"""Millimetres above the disc, and behind the bodies, of the tip of the inferior articular process."""
SUPERIOR_TIP, SUPERIOR_BACK = 4.0, 9.5
"""Where the superior articular process of the vertebra below lies, in front of the inferior one."""
PILLAR_RADIUS = 4.4


def paint_arch(painting: Painting) -> None:
    """All bone behind the bodies."""
    with painting.only((np.abs(painting.u) < 32) & (painting.v > -8) & (painting.v < 56)) as near:
        _paint_interspinous_ligaments(near)
        _paint_pedicles(near)
        _paint_laminae(near)
        _paint_spinous_processes(near)
        _paint_articular_processes(near)
        _paint_facet_joints(near)


def _paint_bone(painting: Painting, inside: Floats) -> None:
    painting.paint("cortex", soft(inside, 1.2))
    grain = 1 + np.float32(0.10) * painting.grain(3.0)
    painting.paint("marrow", soft(inside - np.float32(CORTEX), 1.2), grain * painting["marrow"])


def _is_lumbar(painting: Painting) -> NDArray[np.bool_]:
    return painting["arch"] < FIRST_SACRAL - 0.5


def _paint_interspinous_ligaments(painting: Painting) -> None:
    """Between the spinous processes: fibres and fat in streaks that slope like the processes."""
    back = painting.v - painting["roof"]
    inside = np.minimum(np.minimum(3.2 - np.abs(painting.u), back - 1.0), 30.0 - back)
    slope = painting["over_disc"] + np.float32(0.6) * back
    waves = np.sin(slope * np.float32(0.9) + painting.grain(12.0))
    streaks = np.float32(0.8) + np.float32(0.14) * waves + np.float32(0.12) * painting.grain(4.0)
    painting.paint("interspinous", soft(inside, 1.5) * (painting["sacral"] <= 0), streaks)


def _paint_pedicles(painting: Painting) -> None:
    """They join the upper half of each body; no cortex parts the two."""
    low, high = PEDICLE_SPAN
    share = 1 - painting["under_disc"] / painting["height"]
    height = (share - np.float32((high + low) / 2)) * np.float32(2 / (high - low))
    across = (np.abs(painting.u) - painting["canal_half_width"] - 5.0) * np.float32(1 / 5.4)
    inside = np.minimum((1 - (height**2) ** 2 - (across**2) ** 2) * np.float32(1.5), 11 - painting.v)
    behind_body = inside_rim(painting, painting["half_width"], painting["depth"]) < CORTEX + 0.3
    _paint_bone(painting, np.where(behind_body, inside, -1))


def _paint_laminae(painting: Painting) -> None:
    """A roof over the lower half of each vertebra, and over all of the sacral canal."""
    over = painting["over_disc"]
    roof = (
        painting["roof"]
        - np.float32(ROOF_SLOPE) * np.abs(painting.u)
        + np.float32(0.16) * (12 - over) * _is_lumbar(painting)
    )
    thickness = np.minimum(painting.v - roof, roof + 6.0 - painting.v)
    extent = np.where(_is_lumbar(painting), 8.5 - np.abs(over - 12), 10.0)
    _paint_bone(painting, np.minimum(thickness, np.minimum(extent, 15 - np.abs(painting.u))))


def _paint_spinous_processes(painting: Painting) -> None:
    """Plates in the midline that slope down and thicken to the back."""
    back = painting.v - painting["roof"]
    middle = 10 - np.float32(0.30) * back
    lumbar_height = 7.0 + 0.10 * back - np.abs(painting["over_disc"] - middle) - 0.5 * painting.grain(14.0)
    height = np.where(_is_lumbar(painting), lumbar_height, 6.0)
    across = 2.4 + 0.07 * back - np.abs(painting.u)
    length = np.where(painting["arch"] > FIRST_SACRAL - 1.5, np.where(_is_lumbar(painting), 22.0, 7.0), 30.0)
    rounding = np.clip((length - back) * np.float32(0.25), 0, 1)
    _paint_bone(
        painting, np.minimum(np.minimum(height, across) - 2 * (1 - rounding), np.minimum(back - 2, length - back))
    )


def _paint_articular_processes(painting: Painting) -> None:
    """Each vertebra's pillar leans back on the way down, so that near a disc two of them overlap: the facet joint."""
    over, pitch = painting["over_disc"], painting["pitch"]
    lean = np.float32(INFERIOR_BACK - SUPERIOR_BACK) / (pitch + np.float32(SUPERIOR_TIP - INFERIOR_TIP))
    grown = (1.6 * painting["recess_narrowing"] + 0.6 * painting["foramen_narrowing"]) * hill(over + 2, 14.0)
    radius = np.float32(PILLAR_RADIUS) * (1 - 0.2 * hill(over - 14, 9.0)) + np.float32(1.2) * grown
    upper_v = np.float32(INFERIOR_BACK) - lean * (over - np.float32(INFERIOR_TIP))
    lower_v = np.float32(SUPERIOR_BACK) + lean * (np.float32(SUPERIOR_TIP) - over)
    sideways = np.abs(painting.u) - painting["foramen_offset"]
    under_tip = np.maximum(np.float32(INFERIOR_TIP + 3) - over, 0)
    over_tip = np.maximum(over - np.float32(SUPERIOR_TIP - 3) - np.float32(2.0) * grown, 0)
    upper = radius - np.sqrt((sideways + 1.0) ** 2 + (painting.v - upper_v) ** 2 + under_tip**2)
    lower = radius - np.sqrt((sideways - 2.0) ** 2 + (painting.v - lower_v) ** 2 + over_tip**2)
    either = np.maximum(upper, lower)
    _paint_bone(painting, np.where(_is_lumbar(painting), either, -1))


def _paint_facet_joints(painting: Painting) -> None:
    """A bright slit between two dark plates, more coronal at each level down."""
    lumbar = painting["disc"] < FIRST_SACRAL - 0.5
    with painting.only((np.abs(painting["from_disc"] + 2) < 7.5) & lumbar) as joint:
        grown = joint["recess_narrowing"]
        across = np.abs(joint.u) - joint["foramen_offset"] - 0.5
        along = joint.v - np.float32(0.5 * (INFERIOR_BACK + SUPERIOR_BACK)) + np.float32(0.2) * (joint["from_disc"] + 2)
        cosine, sine = np.cos(joint["facet_angle"]), np.sin(joint["facet_angle"])
        # The axis of the slit runs from the front outside to the back inside.
        gap = along * sine + across * cosine + np.float32(0.03) * (across * sine - along * cosine) ** 2
        length = 6.5 + 1.5 * grown - np.abs(across * sine - along * cosine)
        joint.paint("cortex", soft(0.9 - np.abs(gap), 1.2) * soft(length, 2.0))
        joint.paint("joint", soft(0.4 - np.abs(gap)) * soft(length - 1.0))
