"""The label model: how narrow each of the 25 cells is, and which grade a rater gives it.

A cell's latent narrowing has unit variance: a part shared by the whole study, by the level, by the condition at that
level on both sides, and its own. The grade is that latent plus a rater's noise, cut so that the shares of grades are
the real ones. So the exact probability of each grade, given the anatomy, is known.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lumbar.labels import CELLS, GRADE_WEIGHTS, GROUPS, LEVELS, group_of

Array = NDArray[np.float64]

STUDY_VARIANCE, LEVEL_VARIANCE, CONDITION_LEVEL_VARIANCE, CELL_VARIANCE = 0.35, 0.25, 0.15, 0.25
"""Fitted to the real labels: with them the weighted prior scores .790 (real .792) and 19 % of studies have a severe
canal (real 18.5 %)."""
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

_GROUP_INDEX = np.array([list(GROUPS).index(group_of(cell.condition)) for cell in CELLS.values()])
_LEVEL_INDEX = np.array([LEVELS.index(cell.level) for cell in CELLS.values()])


def draw_latents(rng: np.random.Generator) -> Array:
    """One study's latent narrowing (25,) in the order of `labels.CELLS`; 0 is typical, positive is narrower."""
    study = rng.normal(0.0, np.sqrt(STUDY_VARIANCE))
    level = rng.normal(0.0, np.sqrt(LEVEL_VARIANCE), len(LEVELS))
    condition = rng.normal(0.0, np.sqrt(CONDITION_LEVEL_VARIANCE), (len(GROUPS), len(LEVELS)))
    cell = rng.normal(0.0, np.sqrt(CELL_VARIANCE), len(CELLS))
    return study + level[_LEVEL_INDEX] + condition[_GROUP_INDEX, _LEVEL_INDEX] + cell


def draw_grades(rng: np.random.Generator, latents: Array) -> NDArray[np.int64]:
    """A rater's grades (25,) 0, 1 or 2 of a study's latents."""
    rated = latents + rng.normal(0.0, RATER_DEVIATION, len(CELLS))
    return (rated[:, None] > CELL_CUTS).sum(axis=1)


def grade_probabilities(latents: Array) -> Array:
    """The probability (25, 3) of each grade given the latents."""
    above = 1 - _normal_cdf((CELL_CUTS - latents[:, None]) / RATER_DEVIATION)
    return np.stack([1 - above[:, 0], above[:, 0] - above[:, 1], above[:, 1]], axis=1)


def best_answer(latents: Array) -> Array:
    """The rows (25, 3) with the least expected weighted log loss: probability × weight, scaled to sum to 1."""
    weighted = grade_probabilities(latents) * np.asarray(GRADE_WEIGHTS)
    return weighted / weighted.sum(axis=1, keepdims=True)


_normal_cdf = np.vectorize(NormalDist().cdf, otypes=[np.float64])
