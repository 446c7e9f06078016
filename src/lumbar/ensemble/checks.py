"""The leave-one-fold check: a fold in which a member is far better, or worse, than in all the others.

A member whose model of a fold has seen that fold's labels is far too good there; one whose model of a fold is broken is
far too bad. Neither shows in the member's score over all folds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.ensemble.members import GROUP_CELLS, Members, Truth, score_cells
from lumbar.ensemble.methods import members_by_group
from lumbar.ensemble.pool import pool_members

Array = NDArray[np.float64]

SUSPICIOUS_DEVIATIONS = 5.0
"""Standard errors; the real members of the tests stay below 2."""
CONFIRMING_DEVIATIONS = 2.0
"""Standard errors of the gain over the prior. Two members that differ make each other stand out, and this tells which
it is: beside a member that knows the labels an honest one looks bad."""


@dataclass(frozen=True)
class FoldCheck:
    """A member's loss on a group's cells in the fold where it stands out most, and in the other folds."""

    member: str
    group: str
    fold: int
    loss: float
    loss_elsewhere: float
    deviations: float
    """By how many standard errors its gain over the group's other members (over the prior, where there are none)
    differs in this fold from the others: negative where it is better here."""
    deviations_from_prior: float
    """By how many standard errors its gain over the prior differs in this fold from the others."""

    @property
    def is_suspicious(self) -> bool:
        """Whether chance does not explain it, nor another member."""
        confirming = self.deviations_from_prior * np.sign(self.deviations)
        return abs(self.deviations) > SUSPICIOUS_DEVIATIONS and confirming > CONFIRMING_DEVIATIONS

    def __str__(self) -> str:
        reason = "does it know that fold's labels?" if self.deviations < 0 else "is its model of that fold broken?"
        return (
            f"member '{self.member}', {self.group}: loss {self.loss:.3f} in fold {self.fold} and "
            f"{self.loss_elsewhere:.3f} in the others, {abs(self.deviations):.0f} standard errors apart; {reason}"
        )


def check_folds(members: Members, truth: Truth) -> list[FoldCheck]:
    """The fold in which each member stands out most, group by group."""
    checks = [
        _check_member(truth, members, group, name, [other for other in names if other != name])
        for group, names in members_by_group(members).items()
        for name in names
    ]
    return [check for check in checks if check]


def _check_member(truth: Truth, members: Members, group: str, name: str, others: list[str]) -> FoldCheck | None:
    """None for a member that has graded cells in a single fold."""
    own = _only(members.probabilities[members.names.index(name)], group)
    said = members.probabilities[[members.names.index(other) for other in others]]
    pool = np.exp(pool_members(said, np.ones(len(others)), exponent=1)) if others else truth.prior
    from_pool, from_prior = (_deviations(truth, group, own, reference) for reference in (pool, truth.prior))
    if not from_pool:
        return None
    fold = max(from_pool, key=lambda fold: abs(from_pool[fold]))
    losses = score_cells(truth, own)[group]
    is_here = _folds_of(truth, losses) == fold
    loss, loss_elsewhere = (_mean_with_error(losses[where])[0] for where in (is_here, ~is_here))
    return FoldCheck(name, group, fold, loss, loss_elsewhere, from_pool[fold], from_prior[fold])


def _only(probabilities: Array, group: str) -> Array:
    """Probabilities (studies, 25, 3) of a group's cells, the others NaN."""
    result = np.full(probabilities.shape, np.nan)
    result[:, GROUP_CELLS[group]] = probabilities[:, GROUP_CELLS[group]]
    return result


def _folds_of(truth: Truth, losses: pd.DataFrame) -> pd.Series:
    return pd.Series(truth.folds, index=list(truth.study_ids)).reindex(losses.index)


def _deviations(truth: Truth, group: str, own: Array, reference: Array) -> dict[int, float]:
    """For each fold, how far the loss above the reference's is from that in the others, in standard errors."""
    both = ~np.isnan(own[..., :1]) & ~np.isnan(reference[..., :1])
    losses, expected = (score_cells(truth, np.where(both, values, np.nan))[group] for values in (own, reference))
    away, fold_of = losses.assign(loss=losses["loss"] - expected["loss"]), _folds_of(truth, losses)
    result = {}
    for fold in np.unique(truth.folds).tolist():
        here, elsewhere = away[fold_of == fold], away[fold_of != fold]
        if here["weight"].sum() > 0 and elsewhere["weight"].sum() > 0:
            (mean, error), (mean_elsewhere, error_elsewhere) = _mean_with_error(here), _mean_with_error(elsewhere)
            result[fold] = (mean - mean_elsewhere) / max(float(np.hypot(error, error_elsewhere)), 1e-12)
    return result


def _mean_with_error(sums: pd.DataFrame) -> tuple[float, float]:
    """The weighted mean loss of studies, and its standard error."""
    total = float(sums["weight"].sum())
    mean = float(sums["loss"].sum()) / total
    return mean, float(np.sqrt(((sums["loss"] - mean * sums["weight"]) ** 2).sum())) / total
