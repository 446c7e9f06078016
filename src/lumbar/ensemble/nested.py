"""Fitting and choosing inside the folds: the rows of fold k come from weights, and a method, that never saw fold k."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lumbar.ensemble.any_severe import fit_lift, lift_largest
from lumbar.ensemble.apply import predict
from lumbar.ensemble.members import Members, Truth, score_cells
from lumbar.ensemble.methods import MEAN, METHODS, GroupModels, fit_method, members_by_group, shrink
from lumbar.metric import paired_error, score_losses

Array = NDArray[np.float64]

DOUBT = 1.0
FEW = 100.0
"""A method that is z standard errors (paired, over studies) better than the mean is used with a strength of
1 - (doubt / z)^2, doubt being DOUBT + (FEW / studies)^2: the positive-part shrinkage of James and Stein, with more
doubt where studies are few, since their errors have long tails. A threshold instead has a cliff: the one fold that is
accepted by luck is the one where the method fails. On real predictions of one to seven members (24 to 800 studies, 336
draws, judged on the studies that were not drawn) the worst was .0009 worse than the mean; 1 + 400 / studies was never
worse, and gave most of the gain away below 500 studies (LAB.md, 2026-11-27)."""
LEAST_ERROR = 1e-12
"""The mean has no error against itself."""
Parting = NDArray[np.int64]
LEAST_INNER_PARTS = 3
"""Inside the training studies methods are compared on at least so many pieces; where folds are few, they are split."""


@dataclass(frozen=True)
class Choice:
    """The method to use, and what each method scored out of fold."""

    method: str
    strength: float
    """How far to go from the mean (0) to what the method fitted (1)."""
    scores: Mapping[str, float]
    deviations: Mapping[str, float]
    """How many standard errors each method is better than the mean."""


def choose_method(truth: Truth, predictions: Mapping[str, Array]) -> Choice:
    """Chooses from each method's out-of-fold probabilities (studies, 25, 3), NaN for studies that have no say."""
    losses = {name: score_cells(truth, values) for name, values in predictions.items()}
    mean = losses[MEAN.name]
    if mean.empty:
        return Choice(MEAN.name, 0.0, {}, {})
    scores = {name: score_losses(of_method).score for name, of_method in losses.items()}
    deviations = {
        name: (scores[MEAN.name] - scores[name]) / max(paired_error(mean, of_method), LEAST_ERROR)
        for name, of_method in losses.items()
    }
    best = min(scores, key=lambda name: scores[name])
    strength = weigh_evidence(deviations[best], len(mean))
    return Choice(best if strength else MEAN.name, strength, scores, deviations)


def doubt_of(studies: int) -> float:
    """How many standard errors a method's lead over the mean must exceed to count."""
    return DOUBT + (FEW / studies) ** 2


def weigh_evidence(deviations: float, studies: int) -> float:
    """The strength, from 0 to 1, that standard errors over so many studies earn a method."""
    doubt = doubt_of(studies)
    return 1 - (doubt / deviations) ** 2 if deviations > doubt else 0.0


@dataclass(frozen=True, eq=False)
class Fitted:
    """Every method's group models and lift, and which of them to use, how far."""

    models: Mapping[str, GroupModels]
    lifts: Mapping[str, float]
    choice: Choice

    def predict(self, members: Members, method: str) -> Array:
        """A method's probabilities (studies, 25, 3)."""
        return predict(self.models[method], members, self.lifts[method])

    @property
    def chosen_models(self) -> GroupModels:
        """The group models to use."""
        models = self.models[self.choice.method]
        return shrink(models, self.choice.strength) if self.choice.strength else models

    @property
    def chosen_lift(self) -> float:
        """The lift to use."""
        return float(self.lifts[self.choice.method] ** self.choice.strength)


@dataclass(frozen=True, eq=False)
class Nested:
    """What cross-validation leaves: what was fitted without each fold, and to all studies, and all predictions."""

    by_fold: Mapping[int, Fitted]
    final: Fitted
    by_method: Mapping[str, Array]
    """Each method's out-of-fold probabilities (studies, 25, 3)."""
    chosen: Array
    """The same, fold by fold by what the other folds chose."""


def fit_nested(members: Members, truth: Truth) -> Nested:
    """Fits and chooses without each fold, then on all of them; members and truth are of the same studies."""
    inner = _Inner(members, truth)
    by_method = {name: np.full(members.probabilities.shape[1:], np.nan) for name in METHODS}
    chosen = np.full(members.probabilities.shape[1:], np.nan)
    by_fold = {}
    for fold in tqdm(np.unique(truth.folds).tolist(), desc="ensemble: fit without fold", unit="fold"):
        held_out = np.flatnonzero(truth.folds == fold)
        fitted = inner.fit_without(frozenset(inner.parting[held_out].tolist()))
        for name, values in by_method.items():
            values[held_out] = fitted.predict(members.take(held_out), name)
        chosen[held_out] = predict(fitted.chosen_models, members.take(held_out), fitted.chosen_lift)
        by_fold[fold] = fitted
    return Nested(by_fold, inner.fit_without(frozenset()), by_method, chosen)


def split_folds(folds: Parting) -> Parting:
    """The part (studies,) of each study: its fold, or where that leaves too few others, a piece of its fold."""
    numbers = np.unique(folds)
    pieces = ceil(LEAST_INNER_PARTS / max(len(numbers) - 1, 1))
    parting = np.zeros(len(folds), dtype=np.int64)
    for place, fold in enumerate(numbers):
        mine = np.flatnonzero(folds == fold)
        parting[mine] = place * pieces + np.arange(len(mine)) % pieces
    return parting


class _Inner:
    """The fits inside the folds. A fit that leaves out folds j and k serves both of them, so it is kept."""

    def __init__(self, members: Members, truth: Truth) -> None:
        self.members, self.truth = members, truth
        self.parting = split_folds(truth.folds)
        self.groups = members_by_group(members)
        self.kept: dict[frozenset[int], dict[str, GroupModels]] = {}

    def fit_without(self, left_out: frozenset[int]) -> Fitted:
        """Fits every method to the other pieces, and chooses between them by cross-validation within those."""
        predictions = self._cross_validate(left_out)
        lifts = {
            name: fit_lift(predictions[name], self.truth.grades) if method.is_fitted else 1.0
            for name, method in METHODS.items()
        }
        lifted = {name: lift_largest(values, lifts[name]) for name, values in predictions.items()}
        return Fitted(self._fit(left_out), lifts, choose_method(self.truth, lifted))

    def _cross_validate(self, left_out: frozenset[int]) -> dict[str, Array]:
        """Each method's probabilities (studies, 25, 3) out of fold, NaN for the pieces left out."""
        predictions = {name: np.full(self.members.probabilities.shape[1:], np.nan) for name in METHODS}
        for piece in sorted(set(self.parting.tolist()) - left_out):
            held_out = np.flatnonzero(self.parting == piece)
            members = self.members.take(held_out)
            for name, models in self._fit(left_out | {piece}).items():
                predictions[name][held_out] = predict(models, members)
        return predictions

    def _fit(self, left_out: frozenset[int]) -> dict[str, GroupModels]:
        if left_out not in self.kept:
            studies = np.flatnonzero(~np.isin(self.parting, sorted(left_out)))
            members, grades = self.members.take(studies), self.truth.grades[studies]
            self.kept[left_out] = {
                name: fit_method(method, members, grades, self.groups) for name, method in METHODS.items()
            }
        return self.kept[left_out]
