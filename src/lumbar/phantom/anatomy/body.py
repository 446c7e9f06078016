"""One patient: the curve of the spine and the sizes of everything along it.

The latents of `grades` become millimetres here, and nowhere else. A cell's narrowing runs from 0 (wide open) over 0.5
at the cut to Moderate and 0.75 at the cut to Severe to 1, so that a grade looks alike at every level.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumbar.labels import CELLS, LEVELS, SIDES, condition_of, group_of
from lumbar.phantom.anatomy.spine import DISCS, FIRST_GRADED, Spine, bend_spine
from lumbar.phantom.grades import CUTS

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

NARROWING = (0.0, 0.5, 0.75, 1.0)
OPEN_LATENT, CLOSED_BEYOND_CUT = -3.5, 1.4
"""Latents at narrowing 0, and beyond the cut to Severe at narrowing 1."""
SAC_DEPTH = (17.0, 9.5, 6.8, 3.8)
"""Front-to-back millimetres of the thecal sac at the disc, at each of `NARROWING`."""
RECESS_DEPTH = (10.5, 4.4, 2.3, 0.8)
"""Front-to-back millimetres of the lateral recess."""
FORAMEN_WIDTH = (12.5, 8.0, 6.0, 3.6)
"""Front-to-back millimetres of the upper part of the foramen, where the nerve root lies."""
FORAMEN_HEIGHT = (21.0, 16.0, 12.5, 8.5)
"""Millimetres of the foramen from pedicle to pedicle."""

ADULT_DISC_HEIGHTS = np.array([5.0, 6.0, 7.0, 8.0, 9.5, 10.5, 11.5, 10.0, 3.0, 2.0, 1.5])
"""Millimetres of a healthy disc, for each of `spine.DISCS`."""
BODY_HALF_WIDTHS = np.array([17.0, 18.5, 20.0, 21.5, 22.5, 23.5, 25.0, 26.0, 21.0, 17.0, 13.0])
BODY_DEPTHS = np.array([29.0, 30.0, 31.0, 32.0, 33.5, 34.5, 35.0, 33.0, 22.0, 15.0, 10.0])
CANAL_HALF_WIDTHS = np.array([9.5, 10.0, 10.8, 11.3, 11.6, 12.0, 12.8, 14.5, 14.0, 10.0, 6.0])
SAC_DEPTHS_BETWEEN = np.array([13.5, 14.0, 14.5, 15.0, 14.5, 14.0, 13.5, 12.0, 7.0, 2.0, 0.5])
"""Front-to-back millimetres of the sac at mid-vertebra below each disc, where nothing narrows it."""
FORAMEN_OFFSETS = np.array([11.0, 11.5, 12.5, 14.0, 14.8, 15.8, 17.0, 18.8, 15.0, 12.0, 10.0])
"""Millimetres of the middle of the foramen from the mid-sagittal plane; in the real annotations 14 to 18."""


@dataclass(frozen=True, eq=False)
class Narrowing:
    """How narrow each graded level is: `canal` (5,), and `foramen` and `recess` (2, 5) by side and level."""

    canal: Array
    foramen: Array
    recess: Array


@dataclass(frozen=True, eq=False)
class Habitus:
    """What varies between patients and has nothing to do with narrowing; lengths in mm."""

    size: float
    canal_scale: float
    skin_depth: float
    fat_thickness: float
    belly: float
    half_width: float
    muscle_fat: float
    psoas_scale: float
    epidural_fat: float
    aorta: float
    conus: float
    facet_angles: Array
    marrow: Array


@dataclass(frozen=True, eq=False)
class Body:
    """A patient: `spine`, `narrowing`, `habitus`, and `degeneration` (11,) of each disc from 0 to 1.

    `disc_heights` (11,) in mm. `texture` (64, 64, 64) is smooth noise of unit variance that repeats; `waves` (6, 4) are
    directions and phases of plane waves, for coarse patterns.
    """

    spine: Spine
    narrowing: Narrowing
    habitus: Habitus
    degeneration: Array
    disc_heights: Array
    texture: Floats
    waves: Array


def narrow(group: str, level: int, latent: float) -> float:
    """The narrowing in [0, 1] that a latent means in a condition group at a level."""
    moderate, severe = CUTS[group][level]
    return float(np.interp(latent, (OPEN_LATENT, moderate, severe, severe + CLOSED_BEYOND_CUT), NARROWING))


def narrowing_of(latents: Array) -> Narrowing:
    """The narrowing of a study's latents (25,) in the order of `labels.CELLS`."""
    narrowed = {
        column: narrow(group_of(cell.condition), LEVELS.index(cell.level), float(latent))
        for (column, cell), latent in zip(CELLS.items(), latents, strict=True)
    }

    def of(group: str, side: str | None) -> list[float]:
        return [narrowed[f"{condition_of(group, side)}_{level}"] for level in LEVELS]

    both = {group: np.array([of(group, side) for side in SIDES]) for group in ("foraminal", "subarticular")}
    return Narrowing(np.array(of("spinal", None)), both["foraminal"], both["subarticular"])


def draw_body(rng: np.random.Generator, latents: Array) -> Body:
    """Draws a patient with the given latents (25,)."""
    habitus = _draw_habitus(rng)
    narrowing = narrowing_of(latents)
    degeneration = _draw_degeneration(rng, narrowing)
    heights = ADULT_DISC_HEIGHTS * habitus.size * (1 - 0.5 * degeneration**2) * rng.normal(1.0, 0.05, len(DISCS))
    spine, texture = bend_spine(rng, habitus.size), _draw_texture(rng)
    return Body(spine, narrowing, habitus, degeneration, heights, texture, _draw_waves(rng))


def _draw_habitus(rng: np.random.Generator) -> Habitus:
    return Habitus(
        size=float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.14)),
        canal_scale=float(np.clip(rng.normal(1.0, 0.07), 0.8, 1.2)),
        skin_depth=float(rng.normal(58.0, 5.0)),
        fat_thickness=float(np.clip(rng.gamma(4.0, 5.0), 4.0, 45.0)),
        belly=float(rng.normal(115.0, 20.0)),
        half_width=float(rng.normal(170.0, 15.0)),
        muscle_fat=float(rng.beta(2.0, 4.0)),
        psoas_scale=float(np.clip(rng.normal(1.0, 0.15), 0.6, 1.4)),
        epidural_fat=float(rng.uniform(0.3, 1.0)),
        aorta=float(rng.uniform(8.0, 12.0)),
        conus=float(rng.normal(4.0, 12.0)),
        facet_angles=np.radians(np.linspace(25.0, 50.0, len(DISCS)) + rng.normal(0.0, 5.0, len(DISCS))),
        marrow=rng.normal(1.0, 0.04, len(DISCS) + 1),
    )


def _draw_degeneration(rng: np.random.Generator, narrowing: Narrowing) -> Array:
    """Worn discs narrow what is around them, but far from always: related to the cells of the level, with a spread."""
    cells = [narrowing.canal, *narrowing.foramen, *narrowing.recess]
    graded = 1.5 * (np.mean(cells, axis=0) - 0.2) + rng.normal(0.0, 0.15, len(LEVELS))
    degeneration = rng.uniform(0.0, 0.5, len(DISCS))
    degeneration[FIRST_GRADED : FIRST_GRADED + len(LEVELS)] = graded
    return np.clip(degeneration, 0.0, 1.0)


def _draw_texture(rng: np.random.Generator) -> Floats:
    """Noise smoothed over neighbours by a product in the frequency domain, so that it repeats without a seam."""
    white = rng.standard_normal((64, 64, 64), dtype=np.float32)
    frequency = np.fft.fftfreq(64)
    square = frequency[:, None, None] ** 2 + frequency[None, :, None] ** 2 + np.fft.rfftfreq(64)[None, None] ** 2
    smooth = np.fft.irfftn(np.fft.rfftn(white) * np.exp(-240.0 * square), s=white.shape)
    return (smooth / smooth.std()).astype(np.float32)


def _draw_waves(rng: np.random.Generator) -> Array:
    directions = rng.normal(0.0, 1.0, (6, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions *= rng.uniform(0.6, 1.6, (6, 1))
    return np.concatenate([directions, rng.uniform(0.0, 2 * np.pi, (6, 1))], axis=1)
