"""The choice between methods: the best one out of fold, if it is plainly better than the mean of the members."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumbar.ensemble.methods import MEAN
from lumbar.ensemble.truth import Truth, score_cells
from lumbar.metric import paired_error, score_losses

Array = NDArray[np.float64]

LEAST_STUDIES = 100
"""With fewer labelled studies the mean is used, whatever is better."""
DEVIATIONS = 2.0
DEVIATIONS_OF_FEW = 300.0
"""A method must be better than the mean by DEVIATIONS + DEVIATIONS_OF_FEW / studies paired standard errors."""
LEAST_ERROR = 1e-12
"""The mean has no error against itself."""


@dataclass(frozen=True)
class Choice:
    """The method to use, and what each method scored out of fold."""

    method: str
    scores: Mapping[str, float]
    deviations: Mapping[str, float]
    """How many standard errors (paired, over studies) each is better than the mean."""


def choose_method(truth: Truth, predictions: Mapping[str, Array]) -> Choice:
    """Chooses from each method's out-of-fold probabilities (studies, 25, 3), NaN for studies that have no say."""
    losses = {name: score_cells(truth, values) for name, values in predictions.items()}
    mean = losses[MEAN.name]
    if mean.empty:
        return Choice(MEAN.name, {}, {})
    scores = {name: score_losses(part).score for name, part in losses.items()}
    deviations = {
        name: (scores[MEAN.name] - scores[name]) / max(paired_error(mean, part), LEAST_ERROR)
        for name, part in losses.items()
    }
    best = min(scores, key=lambda name: scores[name])
    is_sure = len(mean) >= LEAST_STUDIES and deviations[best] > DEVIATIONS + DEVIATIONS_OF_FEW / len(mean)
    return Choice(best if is_sure else MEAN.name, scores, deviations)
