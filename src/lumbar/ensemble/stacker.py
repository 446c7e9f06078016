"""The stacker: a regularised linear correction of a calibrated pool's logits by what is seen around a cell."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from lumbar.ensemble.loss import weigh_cases, weighted_loss
from lumbar.ensemble.model import GradeNumbers, Source, Term
from lumbar.labels import GRADES

Array = NDArray[np.float64]

SEVERITY = np.linspace(-1.0, 1.0, len(GRADES))
"""The direction of the logits in which a cell gets more severe. One coefficient for each source of the surroundings
instead of three: on real predictions the score gets better by .0004."""


RIDGE = 1600.0
"""Cases of weight 1 that hold a coefficient of 1 at 0. Anything from 400 to 3200 scores within .0003 on real ones."""


def fit_terms(
    own: dict[Source, Array],
    around: dict[Source, Array],
    offset: Array,
    grades: NDArray[np.int64],
) -> tuple[Term, ...]:
    """The terms with the least weighted log loss on graded cells, on top of logits `offset` (cells, 3).

    `own` and `around` hold values (cells,), NaN where missing; the first may move each grade, the second only along
    SEVERITY. Values are scaled to unit variance and RIDGE holds every coefficient at 0; it is fixed, so with few cells
    there are next to no terms.
    """
    free, free_centres, free_scales = _standardise(own)
    bound, bound_centres, bound_scales = _standardise(around)
    cases, start, cut = weigh_cases(grades), np.ascontiguousarray(offset.T), len(own) * len(GRADES)

    def objective(point: Array) -> tuple[float, Array]:
        by_grade, by_severity = point[:cut].reshape(len(GRADES), len(own)), point[cut:]
        loss, error = weighted_loss(start + by_grade @ free + np.outer(SEVERITY, by_severity @ bound), cases)
        gradient = np.concatenate([(error @ free.T).ravel(), bound @ (SEVERITY @ error)])
        return loss + RIDGE * float((point**2).sum()) / 2, gradient + RIDGE * point

    point = minimize(objective, np.zeros(cut + len(around)), jac=True, method="L-BFGS-B").x
    coefficients = np.concatenate(
        [
            (point[:cut].reshape(len(GRADES), len(own)) / free_scales).T,
            np.outer(point[cut:] / bound_scales, SEVERITY),
        ]
    )
    centres = np.concatenate([free_centres, bound_centres])
    return tuple(
        Term(source=source, centre=float(centre), coefficients=_triple(row))
        for source, centre, row in zip([*own, *around], centres, coefficients, strict=True)
    )


def _standardise(columns: dict[Source, Array]) -> tuple[Array, Array, Array]:
    """Values (columns, cells) of mean 0 and variance 1, missing ones 0, with their centres and scales."""
    values = np.stack(list(columns.values()))
    given = ~np.isnan(values)
    count = np.maximum(given.sum(axis=1), 1)
    centres = np.where(given, values, 0.0).sum(axis=1) / count
    away = np.where(given, values - centres[:, None], 0.0)
    scales = np.sqrt((away**2).sum(axis=1) / count)
    scales[scales == 0] = 1.0
    return away / scales[:, None], centres, scales


def _triple(row: Array) -> GradeNumbers:
    first, second, third = row.tolist()
    return first, second, third
