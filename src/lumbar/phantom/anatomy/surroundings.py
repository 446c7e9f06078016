"""Paints what is around the spine: fat, muscle, bowel, kidneys, vessels, pelvic bone, skin and air."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.body import Body
from lumbar.phantom.anatomy.painting import Signals, ripple, sample_texture, soft
from lumbar.phantom.anatomy.profile import FIRST_SACRAL, PEDICLE_SPAN, Profile

Floats = NDArray[np.float32]

SKIN = 1.8
"""Millimetres of skin."""
EDGE = 1.8
"""Soft edge in mm: the surroundings are painted at half the resolution."""


@dataclass(eq=False)
class Scene:
    """A coarse grid of pixels (H, W): `x`, `y`, `z` in mm, `u`, `v`, `s` and `row` on the spine, and the `signal`."""

    x: Floats
    y: Floats
    z: Floats
    u: Floats
    v: Floats
    s: Floats
    row: NDArray[np.int32]
    signal: Floats
    body: Body
    profile: Profile
    signals: Signals

    def paint(self, tissue: str, cover: Floats, shade: Floats | float = 1.0) -> None:
        """Covers the signal with a tissue as far as `cover` (H, W) says."""
        self.signal += cover * (self.signals[tissue] * shade - self.signal)

    def grain(self, size: float) -> Floats:
        """Noise (H, W) of unit variance with grains of about `size` mm."""
        return sample_texture(self.body.texture, self.x, self.y, self.z, size)

    def ripple(self, length: float) -> Floats:
        """A coarse irregular pattern (H, W) of unit variance."""
        return ripple(self.body.waves, self.x, self.y, self.z, length)


def paint_surroundings(scene: Scene) -> None:
    """All of the image but the spine itself."""
    under_skin = _depth_under_skin(scene)
    _paint_belly(scene)
    _paint_kidneys(scene)
    _paint_abdominal_wall(scene, under_skin)
    _paint_back_muscles(scene, under_skin)
    _paint_psoas(scene)
    _paint_vessels(scene)
    _paint_pelvis(scene)
    _paint_transverse_processes(scene)
    _paint_fat_and_skin(scene, under_skin)


def _depth_under_skin(scene: Scene) -> Floats:
    """Millimetres under the skin of the back, flank or belly."""
    habitus, spine = scene.body.habitus, scene.body.spine
    wall = np.interp(scene.z, spine.z, 0.45 * spine.y).astype(np.float32)
    furrow = 5 * np.exp(-((scene.u * np.float32(1 / 18)) ** 2)) + scene.x**2 * np.float32(1 / 420)
    back = wall + np.float32(habitus.skin_depth + habitus.fat_thickness) - furrow - scene.y
    flank = np.float32(habitus.half_width) - np.abs(scene.x) - (scene.y + 30) ** 2 * np.float32(1 / 350)
    front = scene.y + np.float32(habitus.belly) - (scene.z - 20) ** 2 * np.float32(1 / 900)
    return np.minimum(np.minimum(back, flank), front - scene.x**2 * np.float32(1 / 500))


def _paint_belly(scene: Scene) -> None:
    """Fat, with loops of bowel in front."""
    scene.signal[:] = scene.signals["fat"] * (np.float32(0.85) + np.float32(0.06) * scene.grain(6.0))
    loops = scene.ripple(55.0) + np.float32(0.5) * scene.ripple(23.0)
    front = soft(np.float32(-52) - scene.v, 14.0)
    wall = 1 + np.float32(0.25) * scene.ripple(17.0)
    scene.paint("bowel", front * soft((loops + np.float32(0.1)) * 10, EDGE), wall)
    scene.paint("air", front * soft((loops - np.float32(1.9)) * 10, EDGE) * np.float32(0.8))


def _paint_kidneys(scene: Scene) -> None:
    u = np.abs(scene.u)
    reach = ((u - 62) * np.float32(1 / 24)) ** 2 + ((scene.v + 12) * np.float32(1 / 26)) ** 2
    inside = 1 - reach - ((scene.s - 75) * np.float32(1 / 50)) ** 2
    scene.paint("kidney", soft(inside * np.float32(10), EDGE), 1 + np.float32(0.12) * scene.ripple(20.0))


def _paint_abdominal_wall(scene: Scene, under_skin: Floats) -> None:
    """The layer of muscle around the belly."""
    inside = 5 - np.abs(under_skin - np.float32(scene.body.habitus.fat_thickness) - 6)
    scene.paint("muscle", soft(np.minimum(inside, np.float32(8) - scene.v), EDGE))


def _paint_back_muscles(scene: Scene, under_skin: Floats) -> None:
    """Multifidus and erector spinae fill the space between spine and fascia; quadratus lumborum lies beside."""
    u, habitus = np.abs(scene.u), scene.body.habitus
    fascia = under_skin - np.float32(habitus.fat_thickness) - 2
    flank = 66 - u - np.float32(0.035) * (scene.v - 30) ** 2
    inside = np.minimum(np.minimum(fascia, flank), np.minimum(scene.v - 6 - np.float32(0.12) * u, u - 2.5))
    scene.paint("muscle", soft(inside, EDGE), 1 + np.float32(0.10) * scene.grain(4.0))
    _paint_muscle_fat(scene, u, inside)
    quadratus = 1 - ((u - 66) * np.float32(1 / 13)) ** 2 - ((scene.v - 4) * np.float32(1 / 8)) ** 2
    scene.paint("muscle", soft(quadratus * np.float32(5), EDGE) * (scene.s > -60))


def _paint_muscle_fat(scene: Scene, u: Floats, inside: Floats) -> None:
    """Fat between the muscles, and in streaks within them, most in the lower and inner parts."""
    low_and_inner = np.clip((40 - scene.s) * np.float32(1 / 150), 0, 1) + np.clip((25 - u) * np.float32(1 / 25), 0, 1)
    infiltration = np.float32(scene.body.habitus.muscle_fat) * (np.float32(0.5) + np.float32(0.6) * low_and_inner)
    fibres = sample_texture(scene.body.texture, scene.u, scene.v, scene.s * np.float32(0.25), 5.0)
    streaks = np.clip(fibres * np.float32(0.6) + np.float32(2.2) * infiltration - 0.9, 0, 1)
    scene.paint("fat", soft(inside - 1, EDGE) * streaks * np.float32(0.7))
    wavy = np.float32(0.8) * scene.ripple(35.0)
    for offset, slope in ((15.0, 0.30), (36.0, -0.25)):
        septum = soft(0.6 - np.abs(u - np.float32(offset) - np.float32(slope) * (scene.v - 25) - wavy), EDGE)
        scene.paint("fat", soft(inside - 2, EDGE) * septum * np.float32(0.45))


def _paint_psoas(scene: Scene) -> None:
    """Beside the bodies, thicker on the way down."""
    scale = scene.body.habitus.psoas_scale
    down = np.clip((np.float32(70) - scene.s) * np.float32(1 / 140), 0, 1)
    radius = (6 + 15 * down) * np.float32(scale)
    centre = 23 + radius * np.float32(0.8) + 4 * down
    across, along = np.abs(scene.u) - centre, scene.v + 14 + 10 * down
    inside = radius - np.sqrt(across**2 + (along * np.float32(0.8)) ** 2) + np.float32(0.6) * scene.ripple(30.0)
    scene.paint("muscle", soft(inside, EDGE), 1 + np.float32(0.08) * scene.grain(4.0))


def _paint_vessels(scene: Scene) -> None:
    """Aorta and inferior vena cava in front of the bodies, forking at L4/L5; fast blood is dark."""
    radius = np.float32(scene.body.habitus.aorta)
    below = np.clip(np.float32(-15) - scene.s, 0, 90)
    apart = below**2 / (below + 20) * np.float32(0.55)
    size = radius * (1 - np.float32(0.4) * np.clip(below * np.float32(1 / 15), 0, 1))
    depth = scene.v + 42 + radius - np.float32(0.15) * below
    aorta = size - np.sqrt((scene.u - 7 - apart) ** 2 + depth**2)
    cava = size - np.sqrt(((scene.u + 16 + apart) * np.float32(0.8)) ** 2 + (depth * np.float32(1.25) - 2) ** 2)
    for inside, blood in ((cava, "slow_blood"), (aorta, "vessel")):
        scene.paint("cortex", soft(inside + 1.0, EDGE) * np.float32(0.8))
        scene.paint(blood, soft(inside, EDGE))


def _paint_pelvis(scene: Scene) -> None:
    """The wings of the sacrum and, beyond the sacroiliac joints, the iliac bones."""
    top, u = np.float32(scene.body.spine.discs[FIRST_SACRAL - 1]), np.abs(scene.u)
    wing = np.minimum(top - 4 - scene.s - np.float32(0.10) * u, 46 - u + np.float32(0.3) * (scene.v - 5))
    wing = np.minimum(wing, np.minimum(scene.v + 30 - np.float32(0.35) * u, 16 - scene.v + np.float32(0.15) * u))
    curve = 62 - np.float32(0.45) * scene.v - np.float32(0.008) * scene.v**2
    taper = np.clip((42 - np.abs(scene.v - 2)) * np.float32(0.06), 0, 1)
    ilium = 7 * np.sqrt(taper) - np.abs(u - curve)
    ilium = np.minimum(ilium, top + 28 - scene.s - np.float32(0.3) * np.abs(scene.v))
    for inside in (wing, ilium):
        scene.paint("cortex", soft(inside, EDGE))
        scene.paint("marrow", soft(inside - 1.6, EDGE), 1 + np.float32(0.1) * scene.grain(4.0))


def _paint_transverse_processes(scene: Scene) -> None:
    """Thin plates that stand out sideways at the height of the pedicles."""
    height = scene.profile["height"][scene.row]
    share = 1 - scene.profile["under_disc"][scene.row] / height
    u = np.abs(scene.u)
    thin = 4.5 - np.abs(share - np.float32(sum(PEDICLE_SPAN) / 2)) * height
    plate = np.minimum(3.2 - np.abs(scene.v - 7 - np.float32(0.12) * (u - 20)), np.minimum(42 - u, u - 15))
    inside = np.where(scene.profile["sacral"][scene.row] > 0, -1, np.minimum(thin, plate))
    scene.paint("cortex", soft(inside, EDGE))
    scene.paint("marrow", soft(inside - 1.2, EDGE))


def _paint_fat_and_skin(scene: Scene, under_skin: Floats) -> None:
    fat = np.float32(scene.body.habitus.fat_thickness)
    septa = 1 - np.float32(0.35) * soft(0.05 - np.abs(scene.ripple(28.0)), 0.07)
    scene.paint("cortex", soft(fat + 1.0 - under_skin, EDGE))
    scene.paint("fat", soft(fat - under_skin, EDGE), septa)
    scene.paint("skin", soft(SKIN - under_skin, EDGE))
    scene.paint("air", soft(-under_skin, EDGE))
