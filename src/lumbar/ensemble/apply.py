"""A fitted ensemble applied to members' predictions; what a study gets depends on that study's own rows alone."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.ensemble.any_severe import lift_largest
from lumbar.ensemble.members import GROUP_CELLS, Members, gather_members, tabulate
from lumbar.ensemble.model import EnsembleModel, GroupModel
from lumbar.ensemble.pool import pool_members, soften
from lumbar.ensemble.stacker import read_source
from lumbar.labels import CELLS, GRADES, LEVELS

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


def apply_ensemble(model: EnsembleModel, members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The ensemble's rows, in submission format, for every cell that one of its members predicts.

    `members` are tables in submission format by name, each with any rows; a member that the ensemble does not know
    is left out, one that is missing is done without. Rows are sorted by study, then as in `labels.CELLS`.
    """
    known = {name: table for name, table in members.items() if name in model.members}
    if len(known) < len(members):
        logger.warning("ensemble: no member of it: %s", ", ".join(sorted(set(members) - set(known))))
    gathered = gather_members(known)
    return tabulate(predict(model.groups, gathered, model.any_severe_lift), gathered.study_ids)


def predict(models: Mapping[str, GroupModel], members: Members, any_severe_lift: float = 1.0) -> Array:
    """Probabilities (studies, 25, 3), NaN for cells that no member predicts."""
    pools = {group: soften(pool_group(model, group, members)) for group, model in models.items()}
    result = np.full((len(members.study_ids), len(CELLS), len(GRADES)), np.nan)
    for group, model in models.items():
        result[:, GROUP_CELLS[group]] = soften(group_logits(model, group, members, models, pools))
    return lift_largest(result, any_severe_lift)


def pool_group(model: GroupModel, group: str, members: Members) -> Array:
    """A group's pool as log-probabilities (studies, 25, 3), NaN outside the group and where no member predicts."""
    names = [name for name in members.names if name in model.weights]
    result = np.full(members.probabilities.shape[1:], np.nan)
    if names:
        places, cells = [members.names.index(name) for name in names], GROUP_CELLS[group]
        weights = np.array([model.weights[name] for name in names])
        result[:, cells] = pool_members(members.probabilities[places][:, :, cells], weights, model.exponent)
    return result


def group_logits(
    model: GroupModel, group: str, members: Members, models: Mapping[str, GroupModel], pools: Mapping[str, Array]
) -> Array:
    """The logits (studies, sides, 5, 3) of a group; `pools` holds every group's pool (studies, 25, 3).

    Terms are added one by one, so that a row's bits do not depend on the rows around it.
    """
    logits = np.log(pools[group][:, GROUP_CELLS[group]]) / model.temperature
    logits += np.array([model.bias[level] for level in LEVELS])
    for term in model.terms:
        weighing = list(models[term.source.group].weights)
        value = read_source(term.source, group, members, pools, weighing)
        logits += np.nan_to_num(value - term.centre, nan=0.0)[..., None] * np.array(term.coefficients)
    return logits
