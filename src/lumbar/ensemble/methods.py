"""The methods that cross-validation chooses from, simplest first, and how each is fitted to some studies."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumbar.ensemble.apply import group_logits, pool_group
from lumbar.ensemble.members import GROUP_CELLS, Grades, Members
from lumbar.ensemble.model import GradeNumbers, GroupModel
from lumbar.ensemble.pool import PoolFit, fit_pool, plain_fit, soften
from lumbar.ensemble.stacker import fit_terms, list_sources, read_source
from lumbar.labels import LEVELS

Array = NDArray[np.float64]
GroupModels = dict[str, GroupModel]


@dataclass(frozen=True)
class Method:
    """How members become one prediction."""

    name: str
    exponent: float
    """The exponent of the power mean that pools the members: 1 for probabilities, 0 for log-probabilities."""
    is_fitted: bool = True
    """Whether weights, temperatures, biases and the lift are fitted; otherwise all members weigh the same."""
    is_stacked: bool = False
    """Whether the stacker's terms come on top."""


MEAN = Method("mean", exponent=1, is_fitted=False)
METHODS = {
    method.name: method
    for method in (
        MEAN,
        Method("pool of probabilities", exponent=1),
        Method("pool of logarithms", exponent=0),
        Method("stacker", exponent=0.5, is_stacked=True),
    )
}


def members_by_group(members: Members) -> dict[str, tuple[str, ...]]:
    """The members that predict at least one cell of a group, for each group that has any."""
    given = ~np.isnan(members.probabilities[..., 0])
    groups = {
        group: tuple(name for name, cells in zip(members.names, given, strict=True) if cells[:, numbers].any())
        for group, numbers in GROUP_CELLS.items()
    }
    return {group: names for group, names in groups.items() if names}


def fit_method(method: Method, members: Members, grades: Grades, groups: Mapping[str, tuple[str, ...]]) -> GroupModels:
    """A method's group models, fitted to all the studies given; `grades` is (studies, 25).

    `groups` names the members of each group, as `members_by_group` finds them in all the studies there are.
    """
    if not method.is_fitted:
        return {group: _describe(plain_fit(len(names)), names, method.exponent) for group, names in groups.items()}
    pools = {group: _fit_group_pool(members, grades, group, names, method.exponent) for group, names in groups.items()}
    return _fit_stacker(members, grades, pools) if method.is_stacked else pools


def shrink(models: GroupModels, strength: float) -> GroupModels:
    """Group models on the way from the plain mean (strength 0) to what was fitted (1), number by number."""
    return {group: _shrink_model(model, strength) for group, model in models.items()}


def _shrink_model(model: GroupModel, strength: float) -> GroupModel:
    def towards(plain: float, fitted: float) -> float:
        return plain + strength * (fitted - plain)

    return GroupModel(
        exponent=towards(MEAN.exponent, model.exponent),
        weights={name: towards(1 / len(model.weights), weight) for name, weight in model.weights.items()},
        temperature=1 / towards(1, 1 / model.temperature),
        bias={level: _scale(bias, strength) for level, bias in model.bias.items()},
        terms=tuple(
            term.model_copy(update={"coefficients": _scale(term.coefficients, strength)}) for term in model.terms
        ),
    )


def _scale(triple: GradeNumbers, factor: float) -> GradeNumbers:
    first, second, third = triple
    return first * factor, second * factor, third * factor


def _fit_group_pool(
    members: Members, grades: Grades, group: str, names: tuple[str, ...], exponent: float
) -> GroupModel:
    places = [members.names.index(name) for name in names]
    probabilities = members.probabilities[places][:, :, GROUP_CELLS[group]]  # (members, studies, sides, 5, 3)
    truth = grades[:, GROUP_CELLS[group]]
    rows = (truth >= 0) & ~np.isnan(probabilities[..., 0]).all(axis=0)
    levels = np.broadcast_to(np.arange(len(LEVELS)), truth.shape)
    fit = fit_pool(probabilities[:, rows], levels[rows], truth[rows], exponent) if rows.any() else plain_fit(len(names))
    return _describe(fit, names, exponent)


def _describe(fit: PoolFit, names: tuple[str, ...], exponent: float) -> GroupModel:
    return GroupModel(
        exponent=exponent,
        weights=dict(zip(names, fit.weights.tolist(), strict=True)),
        temperature=fit.temperature,
        bias={level: tuple(row) for level, row in zip(LEVELS, fit.bias.tolist(), strict=True)},
        terms=(),
    )


def _fit_stacker(members: Members, grades: Grades, models: GroupModels) -> GroupModels:
    """The stacker's terms on top of calibrated pools."""
    pools = {group: soften(pool_group(model, group, members)) for group, model in models.items()}
    stacked = {}
    for group, model in models.items():
        truth = grades[:, GROUP_CELLS[group]]
        rows = (truth >= 0) & ~np.isnan(pools[group][:, GROUP_CELLS[group], 0])
        own, around = (
            {each: read_source(each, group, members, pools, list(models[each.group].weights))[rows] for each in sources}
            for sources in list_sources(group, {name: tuple(other.weights) for name, other in models.items()})
        )
        terms = fit_terms(own, around, group_logits(model, group, members, models, pools)[rows], truth[rows])
        stacked[group] = model.model_copy(update={"terms": terms})
    return stacked
