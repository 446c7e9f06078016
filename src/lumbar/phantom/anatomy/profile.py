"""Everything that changes along the spine only, tabulated once a patient, so that a pixel needs one look-up for it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.body import (
    BODY_DEPTHS,
    BODY_HALF_WIDTHS,
    CANAL_HALF_WIDTHS,
    FORAMEN_HEIGHT,
    FORAMEN_OFFSETS,
    FORAMEN_WIDTH,
    NARROWING,
    RECESS_DEPTH,
    SAC_DEPTH,
    SAC_DEPTHS_BETWEEN,
    Body,
)
from lumbar.phantom.anatomy.spine import DISCS, FIRST_GRADED

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Profile = Mapping[str, Floats]
"""Tables by name: (N,) along `Spine.s`, or (2, N) where the left (0) and the right side (1) differ."""

UNGRADED = 0.3
"""Narrowing of the discs that nobody grades."""
NARROW_REACH, RECESS_REACH, BULGE_REACH = 7.0, 9.0, 5.5
"""Millimetres from the disc over which canal and recess open up again, and over which a disc bulges."""
OPEN_RECESS = 10.5
"""Front-to-back millimetres of the recess away from the disc."""
ARCH_HANGS = 12.0
"""Millimetres that an arch reaches below the disc below its vertebra."""
PEDICLE_SPAN = (0.50, 0.87)
"""Lower and upper edge of a pedicle, as a share of the way from the disc below to the disc above."""
TYPICAL_PITCH = 35.0
"""Millimetres from disc to disc that the foramen's sizes are for."""
FIRST_SACRAL = DISCS.index("s1_s2")
SACRAL_ROOF = np.array([17.0] * (FIRST_SACRAL - 1) + [17.0, 11.0, 7.5, 5.0])
"""Millimetres of the sacral canal, front to back, at each disc."""
ROOTS_AREA = 38.0
"""Square millimetres of all nerve roots in a cross-section of the sac."""
CANAL_BULGE, SIDE_BULGE = 5.5, 2.8
"""Millimetres that a disc bulges backwards at narrowing 1, in the middle and at the sides."""


def tabulate_profile(body: Body) -> Profile:
    """The tables that the painters read."""
    tables = _place(body)
    tables.update(_shape_column(body, tables))
    tables.update(_shape_canal(body, tables))
    tables.update(_shape_recesses(body, tables))
    tables.update(_shape_foramina(body, tables))
    return {name: np.ascontiguousarray(table, dtype=np.float32) for name, table in tables.items()}


def _place(body: Body) -> dict[str, Array]:
    """Where each sample is: `disc`, the nearest one, and `from_disc`, the mm above it; `over_disc`, the mm above the
    disc below the vertebra whose arch is here (arches hang down a little), and `arch`, that disc; `pitch`, the mm
    between that disc and the one above; `under_disc`, the mm below the disc above.
    """
    s, discs = body.spine.s, body.spine.discs
    disc = np.abs(s[:, None] - discs).argmin(axis=1)
    arch = np.clip((s[:, None] < discs - ARCH_HANGS).sum(axis=1), 0, len(discs) - 1)
    above = np.clip((s[:, None] < discs).sum(axis=1) - 1, 0, len(discs) - 2)
    pitches = np.concatenate([[discs[0] - discs[1]], -np.diff(discs)])
    return {
        "disc": disc,
        "from_disc": s - discs[disc],
        "arch": arch,
        "over_disc": s - discs[arch],
        "pitch": pitches[arch],
        "under_disc": discs[above] - s,
        "from_middle": s - (discs[above] + discs[above + 1]) / 2,
        "height": discs[above] - discs[above + 1],
        "marrow": body.habitus.marrow[above],
        "sacral": np.clip((discs[FIRST_SACRAL - 1] - 5 - s) / 12, 0, 1),
    }


def _shape_column(body: Body, tables: Mapping[str, Array]) -> dict[str, Array]:
    s, discs, size = body.spine.s, body.spine.discs, body.habitus.size
    disc = tables["disc"].astype(int)
    from_edge = 2 * np.abs(tables["from_middle"]) / (tables["height"] - body.disc_heights[disc])
    waist = 1 - 0.10 * np.clip(1 - from_edge**2, 0, 1)
    lipped = 1 + 0.07 * body.degeneration[disc] * np.exp(-(((np.abs(tables["from_disc"]) - 5) / 4) ** 2))
    return {
        "half_width": _along(s, discs, BODY_HALF_WIDTHS) * size * waist * lipped,
        "depth": _along(s, discs, BODY_DEPTHS) * size * (0.5 + 0.5 * waist) * lipped,
        "half_height": body.disc_heights[disc] / 2,
        "degeneration": body.degeneration[disc],
    }


def _along(s: Array, discs: Array, values: Array) -> Array:
    return np.interp(s, discs[::-1], values[::-1])


def _at_discs(graded: Array) -> Array:
    values = np.full(len(DISCS), UNGRADED)
    values[FIRST_GRADED : FIRST_GRADED + len(graded)] = graded
    return values


def _near_disc(tables: Mapping[str, Array], reach: float) -> Array:
    return np.exp(-((tables["from_disc"] / reach) ** 2))


def _shape_canal(body: Body, tables: Mapping[str, Array]) -> dict[str, Array]:
    s, discs, habitus = body.spine.s, body.spine.discs, body.habitus
    narrowing = _at_discs(body.narrowing.canal)[tables["disc"].astype(int)]
    near = _near_disc(tables, NARROW_REACH) * (1 - tables["sacral"])
    sac = _shape_sac(body, tables, narrowing, near)
    roof = 17.5 * habitus.canal_scale + (2.5 - 4.0 * narrowing) * near
    roof = roof + (_along(s, discs, SACRAL_ROOF) - roof) * tables["sacral"]
    fat = habitus.epidural_fat * (1.0 + 4.0 * near * (1 - narrowing) ** 2)
    back = np.minimum(sac["sac_front"] + sac["sac_depth"] + 0.8 + fat, roof)
    pad = np.clip(roof - back - 1.5, 0, None) * habitus.epidural_fat * (1 - 0.8 * narrowing * near)
    return {
        **sac,
        "roof": roof,
        "canal_back": back + (roof - 0.5 - back) * tables["sacral"],
        "canal_half_width": _along(s, discs, CANAL_HALF_WIDTHS) * habitus.size,
        "fat_pad": pad * (1 - tables["sacral"]),
        "cord_radius": np.clip((s - discs[FIRST_GRADED] - habitus.conus) * 0.2, 0, 4.3),
        "facet_angle": _along(s, discs, habitus.facet_angles),
        "foramen_offset": _along(s, discs, FORAMEN_OFFSETS) * habitus.size,
    }


def _shape_sac(body: Body, tables: Mapping[str, Array], narrowing: Array, near: Array) -> dict[str, Array]:
    """The thecal sac in the midline, the disc that bulges into it, and how its roots crowd."""
    s, discs, scale = body.spine.s, body.spine.discs, body.habitus.canal_scale
    between, at_disc = _along(s, discs, SAC_DEPTHS_BETWEEN), np.interp(narrowing, NARROWING, SAC_DEPTH)
    depth = (between + (at_disc - between) * near) * scale
    bulge = CANAL_BULGE * narrowing**1.5 * _near_disc(tables, BULGE_REACH)
    # Fat separates the sac from the bodies at the lower end of the spine.
    behind_fat = 3.5 * np.clip((discs[FIRST_SACRAL - 1] + 12 - s) / 30, 0, 1)
    filled = ROOTS_AREA / (np.pi * 4.0 * np.maximum(depth, 0.5))
    return {
        "bulge_canal": bulge,
        "sac_front": bulge + 1.2 + behind_fat,
        "sac_depth": depth,
        "crowding": np.clip((filled - 0.25) / 0.6, 0, 1),
        "trefoil": 0.15 + 0.45 * narrowing * near,
    }


def _shape_recesses(body: Body, tables: Mapping[str, Array]) -> dict[str, Array]:
    """Tables (2, N) of the lateral recesses."""
    disc = tables["disc"].astype(int)
    narrowing = np.stack([_at_discs(side)[disc] for side in body.narrowing.recess])
    near, bulging = _near_disc(tables, RECESS_REACH), _near_disc(tables, BULGE_REACH)
    return {
        "recess_depth": OPEN_RECESS + (np.interp(narrowing, NARROWING, RECESS_DEPTH) - OPEN_RECESS) * near,
        "sac_half_width": tables["canal_half_width"] * 0.84 * (1 - 0.3 * tables["sacral"]) - 5.0 * narrowing * near,
        "bulge_recess": SIDE_BULGE * narrowing**1.5 * bulging,
        "recess_narrowing": narrowing,
    }


def _shape_foramina(body: Body, tables: Mapping[str, Array]) -> dict[str, Array]:
    """Tables (2, N) of the foramina; each belongs to the disc below the pedicle that roofs it."""
    arch = tables["arch"].astype(int)
    narrowing = np.stack([_at_discs(side)[arch] for side in body.narrowing.foramen])
    at_disc = np.stack([_at_discs(side)[tables["disc"].astype(int)] for side in body.narrowing.foramen])
    scale = tables["pitch"] / TYPICAL_PITCH
    lost = FORAMEN_HEIGHT[0] - np.interp(narrowing, NARROWING, FORAMEN_HEIGHT)
    top = PEDICLE_SPAN[0] * tables["pitch"] - 0.3 * lost
    return {
        "bulge_foramen": SIDE_BULGE * at_disc**1.5 * _near_disc(tables, BULGE_REACH),
        "foramen_width": np.interp(narrowing, NARROWING, FORAMEN_WIDTH) * (0.6 + 0.4 * scale),
        "foramen_top": top,
        "foramen_bottom": top - (FORAMEN_HEIGHT[0] - lost) * (0.4 + 0.6 * scale),
        "foramen_narrowing": narrowing,
    }
