"""The any_severe component: one row a study, predicted by the largest severe of its canals.

The chance that any canal is severe is above the chance that the likeliest one is, so that one is lifted. One factor on
its odds, fitted to the metric itself, did better than everything that was learned from more.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from lumbar.ensemble.members import GROUP_CELLS
from lumbar.labels import GRADE_WEIGHTS, SEVERE

Array = NDArray[np.float64]

CANALS = GROUP_CELLS["spinal"].ravel()
LIFT_DEVIATION = 0.1
"""The lift's logarithm is held at 0 as by a prior of this deviation. Published ensembles multiplied by 1.25; on 1,475
real studies anything from 1.1 to 1.3 does equally well."""
LARGEST_LOG_LIFT = 1.0


def lift_largest(probabilities: Array, lift: float) -> Array:
    """Multiplies the odds of each study's largest severe canal; takes and returns (studies, 25, 3)."""
    result = probabilities.copy()
    canals = result[:, CANALS]
    studies = np.flatnonzero(~np.isnan(canals[..., SEVERE]).all(axis=1))
    largest = CANALS[np.nanargmax(canals[studies][..., SEVERE], axis=1)] if len(studies) else CANALS[:0]
    row = result[studies, largest]
    row[:, SEVERE] *= lift
    result[studies, largest] = row / row.sum(axis=1, keepdims=True)
    return result


def fit_lift(probabilities: Array, grades: NDArray[np.int64]) -> float:
    """The lift with the least loss of any_severe and of the canals together, as the metric weighs the two.

    `probabilities` (studies, 25, 3) are out of fold; `grades` is (studies, 25), -1 where there is no label.
    """
    canals, truth = probabilities[:, CANALS], grades[:, CANALS]
    labelled = (truth >= 0) & ~np.isnan(canals[..., 0])
    studies = labelled.any(axis=1)
    if not studies.any():
        return 1.0
    rows = probabilities[studies]
    truth, labelled = truth[studies], labelled[studies]
    found = minimize_scalar(
        lambda log_lift: (
            _loss(lift_largest(rows, np.exp(log_lift))[:, CANALS], truth, labelled)
            + (log_lift / LIFT_DEVIATION) ** 2 / 2
        ),
        bounds=(-LARGEST_LOG_LIFT, LARGEST_LOG_LIFT),
        method="bounded",
    )
    return float(np.exp(found.x))


def _loss(canals: Array, truth: NDArray[np.int64], labelled: NDArray[np.bool_]) -> float:
    """any_severe's weighted loss, and the canals' scaled to as large a weight: the metric counts both alike."""
    weights = np.where(labelled, np.asarray(GRADE_WEIGHTS)[truth], 0.0)
    chosen = np.take_along_axis(canals, np.maximum(truth, 0)[..., None], axis=2)[..., 0]
    by_cell = -(weights * np.log(np.where(labelled, chosen, 1.0))).sum()
    study_weights = weights.max(axis=1)
    severe = np.where(labelled, canals[..., SEVERE], 0.0).max(axis=1)
    is_severe = (np.where(labelled, truth, 0) == SEVERE).any(axis=1)
    by_study = -(study_weights * np.log(np.where(is_severe, severe, 1 - severe))).sum()
    return float(by_study + by_cell * study_weights.sum() / weights.sum())
