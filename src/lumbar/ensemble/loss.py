"""The metric's weighted log loss of graded cells, and its gradient; grades come first in every array, which is fast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumbar.labels import GRADE_WEIGHTS, GRADES

Array = NDArray[np.float64]


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
