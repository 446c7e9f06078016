"""Opinion pools: the weighted power mean of members' probabilities, calibrated, and how it is fitted.

Exponent 1 is the mean of probabilities, 0 the mean of log-probabilities.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lumbar.labels import GRADE_WEIGHTS, GRADES, LEVELS

Array = NDArray[np.float64]
LEAST_PROBABILITY = 1e-5
"""A member's least probability in a pool: a grade ruled out costs 11.5 times its weight, and has a logarithm."""
LEAST_WEIGHT = 1e-4
"""A cell that only members without weight predict is still pooled: each of them weighs so much."""
WEIGHT_RIDGE = 100.0
TEMPERATURE_RIDGE = 200.0
BIAS_RIDGE = 200.0
LEVEL_BIAS_RIDGE = 400.0
"""How strongly a relative weight is held at 1, 1 / temperature at 1, and biases at 0, in cases of weight 1. On 1,475
real studies half or twice as much changes the score by .0001; on 100 it keeps a pool from doing harm."""
SHARPNESS_BOUNDS = (0.05, 20.0)
"""The limits of 1 / temperature."""


@dataclass(frozen=True, eq=False)
class Cases:
    """Graded cells: the metric's weight of each (cells,), and the weight at its grade with 0 elsewhere (3, cells)."""

    weights: Array
    weighted_truth: Array


def weigh_cases(grades: NDArray[np.int64]) -> Cases:
    """The cases of grades (cells,)."""
    weights = np.asarray(GRADE_WEIGHTS)[grades]
    return Cases(weights, np.eye(len(GRADES))[:, grades] * weights)


def weighted_loss(logits: Array, cases: Cases) -> tuple[float, Array]:
    """The summed loss of logits (3, cells), and its gradient by them."""
    shifted = logits - logits.max(axis=0)
    powers = np.exp(shifted)
    total = powers.sum(axis=0)
    loss = (cases.weights * np.log(total)).sum() - (cases.weighted_truth * shifted).sum()
    return float(loss), cases.weights * powers / total - cases.weighted_truth


@dataclass(frozen=True, eq=False)
class PoolFit:
    """A pool's weights (members,), its temperature and the bias (5, 3) of each level."""

    weights: Array
    temperature: float
    bias: Array


def pool_members(probabilities: Array, weights: Array, exponent: float) -> Array:
    """The normalised log-probabilities (..., 3) of a pool of members (members, ..., 3), NaN where none predicts.

    Members are added up one by one, so that a row's bits do not depend on the rows around it.
    """
    total, share = np.zeros(probabilities.shape[1:]), np.zeros((*probabilities.shape[1:-1], 1))
    for member, weight in zip(probabilities, np.maximum(weights, LEAST_WEIGHT), strict=True):
        given = ~np.isnan(member[..., :1])
        total += weight * np.where(given, _raise(member, exponent), 0.0)
        share += weight * given
    with np.errstate(invalid="ignore", divide="ignore"):
        return log_softmax(_take_root(total / share, exponent), axis=-1)


def _raise(probabilities: Array, exponent: float) -> Array:
    safe = np.maximum(probabilities, LEAST_PROBABILITY)
    return safe**exponent if exponent else np.log(safe)


def _take_root(mean: Array, exponent: float) -> Array:
    """The logarithm of a power mean, from the mean of powers."""
    return np.log(mean) / exponent if exponent else mean


def plain_fit(members: int) -> PoolFit:
    """Equal weights and no calibration."""
    return PoolFit(np.full(members, 1 / members), 1.0, np.zeros((len(LEVELS), len(GRADES))))


def fit_pool(probabilities: Array, levels: NDArray[np.int64], grades: NDArray[np.int64], exponent: float) -> PoolFit:
    """The weights, temperature and biases with the least weighted log loss on graded cells.

    `probabilities` is (members, cells, 3) with at least one member for each cell. A ridge holds weights at equal
    shares, the temperature at 1 and biases at 0; it is fixed, so with few cells the fit is the plain pool.
    """
    members, cases = len(probabilities), weigh_cases(grades)
    given = (~np.isnan(probabilities[..., 0])).astype(np.float64)  # (M, N)
    powers = np.where(given[..., None] > 0, _raise(probabilities, exponent), 0.0)
    powers = np.ascontiguousarray(np.moveaxis(powers, 2, 1))  # (M, 3, N)
    is_level = np.eye(len(LEVELS))[:, levels]  # (5, N)
    plain = np.concatenate([np.ones(members + 1), np.zeros(len(GRADES) * (1 + len(LEVELS)))])
    ridge = np.repeat(
        [WEIGHT_RIDGE, TEMPERATURE_RIDGE, BIAS_RIDGE, LEVEL_BIAS_RIDGE],
        [members, 1, len(GRADES), len(GRADES) * len(LEVELS)],
    )

    def objective(point: Array) -> tuple[float, Array]:
        weights, sharpness, shared, by_level = _unpack(point, members)
        share = weights @ given
        mean = np.tensordot(weights, powers, axes=1) / share
        pooled = _take_root(mean, exponent)
        loss, error = weighted_loss(sharpness * pooled + shared[:, None] + by_level.T @ is_level, cases)
        by_mean = sharpness * error / share / (exponent * mean if exponent else 1.0)
        by_weight = powers.reshape(members, -1) @ by_mean.ravel() - given @ (by_mean * mean).sum(axis=0)
        gradient = [by_weight, [(error * pooled).sum()], error.sum(axis=1), (is_level @ error.T).ravel()]
        away = point - plain
        return loss + float((ridge * away**2).sum()) / 2, np.concatenate(gradient) + ridge * away

    bounds = [(LEAST_WEIGHT, None)] * members + [SHARPNESS_BOUNDS] + [(None, None)] * (len(plain) - members - 1)
    best = minimize(objective, plain, jac=True, method="L-BFGS-B", bounds=bounds)
    weights, sharpness, shared, by_level = _unpack(best.x, members)
    weights = np.where(weights > 2 * LEAST_WEIGHT, weights, 0.0)
    return PoolFit(weights / weights.sum(), 1 / sharpness, shared + by_level)


def _unpack(point: Array, members: int) -> tuple[Array, float, Array, Array]:
    """Relative weights (1 is the equal share), 1 / temperature, the bias of all levels (3,) and of each (5, 3)."""
    weights, rest = point[:members], point[members:]
    shared, by_level = rest[1 : 1 + len(GRADES)], rest[1 + len(GRADES) :]
    return weights, float(rest[0]), shared, by_level.reshape(len(LEVELS), len(GRADES))


def soften(logits: Array) -> Array:
    """Probabilities (..., 3) that sum to 1 in float64, of logits."""
    values = softmax(logits, axis=-1)
    return values / values.sum(axis=-1, keepdims=True)
