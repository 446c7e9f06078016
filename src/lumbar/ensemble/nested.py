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
from lumbar.ensemble.methods import MEAN, METHODS, GroupModels, Method, fit_method, members_by_group, shrink
from lumbar.metric import paired_error, score_losses

Array = NDArray[np.float64]

STRENGTHS = (0.1, 0.5, 1.0)
"""How far from the mean (0) to what a method fitted (1) is looked at. The first says how sure it is that the way leads
down: a way whose end is its lowest point begins twice as many standard errors downwards as it ends."""
DOUBT = 1.0
FEW = 100.0
"""A way that begins z standard errors (paired, over studies) downwards is followed to its lowest point times
1 - (doubt / z)^2, doubt being DOUBT + (FEW / studies)^2: the positive-part shrinkage of James and Stein, with more
doubt where studies are few, since their errors have long tails. A threshold instead has a cliff: the one fold that is
accepted by luck is the one where the method fails. FEW was set on draws of 24 to 800 real studies: at 50 more is won on
average, and one draw in a dozen loses .005. Asking how sure the way's end is, as was done before, gave away half of
what the methods are worth with 80 to 500 studies (LAB.md, 2026-11-28)."""
LEAST_ERROR = 1e-12
"""The mean has no error against itself."""
Parting = NDArray[np.int64]
Ways = Mapping[str, Mapping[float, Array]]
"""Each method's probabilities (studies, 25, 3) at each of its strengths; the mean has one."""
LEAST_INNER_PARTS = 3
"""Inside the training studies methods are compared on at least so many pieces; where folds are few, they are split."""


@dataclass(frozen=True)
class Choice:
    """The method to use, and how far."""

    method: str
    strength: float
    """How far to go from the mean (0) to what the method fitted (1)."""


def choose_method(truth: Truth, ways: Ways) -> Choice:
    """Chooses from the methods' ways out of fold, NaN for studies that have no say."""
    mean = score_cells(truth, ways[MEAN.name][1.0])
    best, gain = Choice(MEAN.name, 0.0), 0.0
    if mean.empty:
        return best
    for name, way in ways.items():
        if name == MEAN.name:
            continue
        losses = {strength: score_cells(truth, values) for strength, values in way.items()}
        gains = {strength: score_losses(mean).score - score_losses(each).score for strength, each in losses.items()}
        lowest, start = max(gains, key=lambda strength: gains[strength]), STRENGTHS[0]
        deviations = gains[start] / max(paired_error(mean, losses[start]), LEAST_ERROR)
        strength = lowest * weigh_evidence(deviations, len(mean))
        if strength and gains[lowest] > gain:
            best, gain = Choice(name, strength), gains[lowest]
    return best


def doubt_of(studies: int) -> float:
    """How many standard errors the way to a method must begin downwards to count."""
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
        ways = {name: self._cross_validate(left_out, method) for name, method in METHODS.items()}
        lifts = {
            name: fit_lift(ways[name][1.0], self.truth.grades) if method.is_fitted else 1.0
            for name, method in METHODS.items()
        }
        lifted = {
            name: {strength: lift_largest(values, lifts[name] ** strength) for strength, values in way.items()}
            for name, way in ways.items()
        }
        return Fitted(self._fit(left_out), lifts, choose_method(self.truth, lifted))

    def _cross_validate(self, left_out: frozenset[int], method: Method) -> dict[float, Array]:
        """A method's probabilities (studies, 25, 3) out of fold by strength, NaN for the pieces left out."""
        strengths = STRENGTHS if method.is_fitted else (1.0,)
        predictions = {strength: np.full(self.members.probabilities.shape[1:], np.nan) for strength in strengths}
        for piece in sorted(set(self.parting.tolist()) - left_out):
            held_out = np.flatnonzero(self.parting == piece)
            members, models = self.members.take(held_out), self._fit(left_out | {piece})[method.name]
            for strength, values in predictions.items():
                values[held_out] = predict(shrink(models, strength), members)
        return predictions

    def _fit(self, left_out: frozenset[int]) -> dict[str, GroupModels]:
        if left_out not in self.kept:
            studies = np.flatnonzero(~np.isin(self.parting, sorted(left_out)))
            members, grades = self.members.take(studies), self.truth.grades[studies]
            self.kept[left_out] = {
                name: fit_method(method, members, grades, self.groups) for name, method in METHODS.items()
            }
        return self.kept[left_out]
