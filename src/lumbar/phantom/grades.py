"""The label model: how narrow each of the 25 cells is, and which grade a rater gives it.

The cells' latent narrowings are jointly normal, each of unit variance, and hang together as real labels do:
degeneration is shared by a whole level, stenosis by the canal and both its recesses, a foramen's and a recess's side by
the levels above and below it, and a canal takes part of what narrows either recess. All of it fades from level to
level. The grade is that latent plus a rater's noise, cut so that the shares of grades are the real ones. So the exact
probability of each grade is known, given the anatomy, and given any noisy reading of it.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lumbar.labels import CELLS, CONDITIONS, GRADE_WEIGHTS, GROUPS, LEVELS, group_of

Array = NDArray[np.float64]

DEGENERATION, STENOSIS, FORAMEN_SIDE, RECESS_SIDE = 0.57, 0.19, 0.40, 0.21
"""Variances of what a level shares, of what a canal and its recesses share, and of a foramen's and a recess's side."""
CANAL_TAKES = 0.7
"""How much of each recess's own narrowing the canal between them has."""
FADING = 0.77
"""Correlation of each of these between neighbouring levels.

All six were fitted to the tetrachoric correlations of the competition's `train.csv`, which `lumbar phantom check`
prints beside the phantom's.
"""
RATER_DEVIATION = 0.4
"""Standard deviation of the rater's noise, in units of the latent; it sets the floor that no model gets below."""

SHARES = {
    "spinal": ((0.034, 0.011), (0.077, 0.027), (0.117, 0.062), (0.120, 0.129), (0.026, 0.010)),
    "foraminal": ((0.032, 0.004), (0.086, 0.004), (0.209, 0.021), (0.319, 0.069), (0.258, 0.101)),
    "subarticular": ((0.056, 0.014), (0.132, 0.041), (0.230, 0.099), (0.316, 0.234), (0.205, 0.081)),
}
"""Share of Moderate and of Severe at each level, measured on the competition's `train.csv`; the sides do not differ."""


def _cuts_of(moderate: float, severe: float) -> tuple[float, float]:
    graded = NormalDist(0.0, float(np.hypot(1.0, RATER_DEVIATION)))
    return graded.inv_cdf(1 - moderate - severe), graded.inv_cdf(1 - severe)


CUTS = {group: tuple(_cuts_of(*shares) for shares in SHARES[group]) for group in GROUPS}
"""For each group and level, the latent plus noise from which a cell is Moderate, and Severe."""
CELL_CUTS: Array = np.array([CUTS[group_of(cell.condition)][LEVELS.index(cell.level)] for cell in CELLS.values()])
"""The cuts of each cell (25, 2), in the order of `labels.CELLS`."""


def _loadings(condition: str) -> list[float]:
    """How much a condition has of the level's degeneration, its stenosis, and each side of foramina and recesses."""
    degeneration, stenosis, foramen, recess = np.sqrt((DEGENERATION, STENOSIS, FORAMEN_SIDE, RECESS_SIDE))
    group, side = CONDITIONS[condition].group, CONDITIONS[condition].side
    left, right = side == "left", side == "right"
    if group == "spinal":
        return [degeneration, stenosis, 0, 0, CANAL_TAKES * recess, CANAL_TAKES * recess]
    if group == "foraminal":
        return [degeneration, 0, left * foramen, right * foramen, 0, 0]
    return [degeneration, stenosis, 0, 0, left * recess, right * recess]


def _correlate() -> Array:
    loadings = np.array([_loadings(cell.condition) for cell in CELLS.values()])
    level = np.array([LEVELS.index(cell.level) for cell in CELLS.values()])
    shared = loadings @ loadings.T * FADING ** np.abs(level[:, None] - level)
    np.fill_diagonal(shared, 1.0)  # the rest is the cell's own
    return shared


CORRELATIONS: Array = _correlate()
"""Of the latents (25, 25)."""
_ROOT = np.linalg.cholesky(CORRELATIONS)


def draw_latents(rng: np.random.Generator) -> Array:
    """One study's latent narrowing (25,) in the order of `labels.CELLS`; 0 is typical, positive is narrower."""
    return _ROOT @ rng.normal(size=len(CELLS))


def draw_grades(rng: np.random.Generator, latents: Array) -> NDArray[np.int64]:
    """A rater's grades (25,) 0, 1 or 2 of a study's latents."""
    return grade_of(latents + rng.normal(0.0, RATER_DEVIATION, len(CELLS)))


def grade_of(rated: Array) -> NDArray[np.int64]:
    """The grades (25,) of latents with, or without, a rater's noise."""
    return (rated[:, None] > CELL_CUTS).sum(axis=1)


def grade_probabilities(latents: Array, variance: Array | float = 0.0) -> Array:
    """The probability (..., 25, 3) of each grade given the latents (..., 25), or their mean and what it leaves open,
    the `variance` (25,)."""
    deviation = np.sqrt(RATER_DEVIATION**2 + np.broadcast_to(variance, CELL_CUTS.shape[:1]))
    above = norm.sf((CELL_CUTS - latents[..., None]) / deviation[:, None])
    return np.stack([1 - above[..., 0], above[..., 0] - above[..., 1], above[..., 1]], axis=-1)


def best_answer(latents: Array, variance: Array | float = 0.0) -> Array:
    """The rows (..., 25, 3) with the least expected weighted log loss: probability × weight, scaled to sum to 1.

    Of an anatomy that is seen exactly (no `variance`) it is the best answer to a cell by its own anatomy, and by that
    of the whole study as well: the raters' noise is each cell's own, so that the other cells add nothing.
    """
    weighted = grade_probabilities(latents, variance) * np.asarray(GRADE_WEIGHTS)
    return weighted / weighted.sum(axis=-1, keepdims=True)


def answer_readings(readings: Array, error: float, *, by_study: bool) -> Array:
    """The best answer (..., 25, 3) to readings (..., 25) of the latents with a normal error of that deviation: to each
    by itself, or by what all 25 say together. A reader who is not exact gains from context; this is how much."""
    noise = error**2 * np.eye(len(CELLS))
    known = CORRELATIONS if by_study else np.eye(len(CELLS))
    gain = known @ np.linalg.inv(known + noise)  # of the posterior mean, see any text on Gaussian conditioning
    return best_answer(readings @ gain.T, np.diag(known - gain @ known))
