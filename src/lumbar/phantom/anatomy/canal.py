"""Paints the spinal canal: epidural fat, ligaments, the thecal sac with its nerve roots, and the lateral recesses."""

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.column import back_of_column
from lumbar.phantom.anatomy.painting import Painting, hill, soft

Floats = NDArray[np.float32]

DURA = 0.5
"""Millimetres of the sac's dark lining."""
ROOT_RADIUS = 0.85
"""Millimetres of a nerve root in the sac. Roots keep their size, so they crowd out the fluid of a narrowed sac."""
BACK_SLOPE = 0.35
"""How far the flaval ligaments come forwards for each millimetre to the side."""
ROOTS = tuple(
    (0.82 * np.cos(angle), 0.25 + 0.6 * np.sin(angle)) for angle in np.linspace(-0.5, np.pi + 0.5, 11)
) + tuple((0.45 * np.cos(angle), 0.4 + 0.28 * np.sin(angle)) for angle in np.linspace(0.3, 2 * np.pi, 6))
"""Where the roots run, in units of the sac's half width and half depth: along the sides and the back, as they do in a
patient who lies on the back."""


def paint_canal(painting: Painting) -> None:
    """Everything between the bodies and the laminae."""
    with painting.only((np.abs(painting.u) < 18) & (painting.v > -4) & (painting.v < 30)) as near:
        front, back = back_of_column(near), _back_of_space(near)
        space = np.minimum(np.minimum(near.v - front, back - near.v), near["canal_half_width"] - np.abs(near.u))
        _paint_ligaments(near, front, back)
        near.paint("fat", soft(space))
        _paint_traversing_roots(near)
        _paint_sac(near, space)


def _back_of_space(painting: Painting) -> Floats:
    """How far back (mm) the open space goes: to the flaval ligaments, between them to a pad of fat, and in the recess
    to the facet."""
    u = np.abs(painting.u)
    pad = painting["fat_pad"] * np.clip(1 - u * np.float32(1 / 6), 0, 1)
    ligament = painting["canal_back"] + pad - np.float32(BACK_SLOPE) * u
    recess = back_of_column(painting) + painting["recess_depth"]
    sideways = np.clip((u - 5) * np.float32(0.33), 0, 1)
    return ligament + sideways * np.minimum(recess - ligament, 0)


def _paint_ligaments(painting: Painting, front: Floats, back: Floats) -> None:
    """The flaval ligaments line the canal where no lamina does; the fat and the sac are painted into them."""
    behind = painting["roof"] + np.float32(2.5) * hill(painting["from_disc"], 8.0) * (1 - painting["sacral"])
    u = np.abs(painting.u)
    behind = np.maximum(behind - np.float32(0.6) * u, back + np.float32(1.5))
    walls = painting["canal_half_width"] + np.float32(0.7) - u
    painting.paint(
        "ligament", soft(np.minimum(np.minimum(behind - painting.v, painting.v - front + np.float32(0.8)), walls), 1.2)
    )


def _paint_traversing_roots(painting: Painting) -> None:
    """The root of the next level down lies in the recess and is squeezed with it."""
    with painting.only((np.abs(painting["from_disc"] + 5) < 11) & (np.abs(painting.u) > 4)) as near:
        depth = np.minimum(near["recess_depth"], 6.0)
        front = back_of_column(near)
        along = (near.v - front - depth * np.float32(0.5)) / np.minimum(depth * np.float32(0.45), 1.9)
        course = near["canal_half_width"] * np.float32(0.77) - np.float32(0.16) * near["from_disc"]
        across = (np.abs(near.u) - course) * np.float32(1 / 2.0)
        near.paint("nerve", soft((1 - np.sqrt(along**2 + across**2)) * 1.8))


def _paint_sac(painting: Painting, space: Floats) -> None:
    chosen = space > -1
    with painting.only(chosen) as near:
        half_depth = near["sac_depth"] * np.float32(0.5)
        along = (near.v - near["sac_front"]) / half_depth - 1
        half_width = near["sac_half_width"] * (1 - near["trefoil"] * np.clip(along, -0.5, 1))
        across = near.u / half_width
        inside = (1 - across**2 - along**2) * half_depth * np.float32(0.5)
        inside = np.minimum(inside, space[chosen] - np.float32(0.3))
        near.paint("ligament", soft(inside))
        near.paint("csf", soft(inside - np.float32(DURA)))
        cover = soft(inside - np.float32(DURA))
        _paint_roots(near, cover, half_width, half_depth)
        _paint_cord(near, cover)


def _paint_roots(painting: Painting, cover: Floats, half_width: Floats, half_depth: Floats) -> None:
    """The cauda equina: each root wanders a little on its way down."""
    middle = painting["sac_front"] + half_depth
    thickness = np.zeros_like(cover)
    for number, (across, along) in enumerate(ROOTS):
        sway = np.float32(0.08) * np.sin(painting.s * np.float32(0.05 + 0.004 * number) + np.float32(number))
        u = painting.u - half_width * (np.float32(across) + sway)
        v = painting.v - middle - half_depth * (np.float32(along) + sway)
        thickness = np.maximum(thickness, soft(np.float32(ROOT_RADIUS) - np.sqrt(u * u + v * v)))
    painting.paint("nerve", cover * np.maximum(thickness, painting["crowding"]))


def _paint_cord(painting: Painting, cover: Floats) -> None:
    """The spinal cord, ending in a cone near L1/L2."""
    radius = painting["cord_radius"]
    middle = painting["sac_front"] + painting["sac_depth"] * np.float32(0.55)
    inside = radius - np.sqrt((painting.u * np.float32(0.85)) ** 2 + (painting.v - middle) ** 2)
    painting.paint("cord", cover * soft(inside) * (radius > 0.3))
