"""What the stacker sees of a study: numbers read off the predictions at a cell and around it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lumbar.ensemble.members import Members
from lumbar.ensemble.model import POOL, Source
from lumbar.ensemble.places import look, places_between
from lumbar.ensemble.pool import LEAST_PROBABILITY
from lumbar.labels import SEVERE

Array = NDArray[np.float64]

MODERATE = SEVERE - 1


def list_sources(target: str, members: dict[str, tuple[str, ...]]) -> tuple[list[Source], list[Source]]:
    """What a group's cells may be predicted from; `members` names each group's.

    First the cell's own probabilities, which may move each grade apart; then what moves the cell along the grades'
    order: how far its members disagree, its neighbours, and the other conditions, as pools and member by member.
    """
    own = [Source(member=POOL, group=target, place="here", measure=measure) for measure in ("moderate", "severe")]
    around: list[Source] = []
    if len(members[target]) > 1:
        measures = ("spread_moderate", "spread_severe")
        around += [Source(member=POOL, group=target, place="here", measure=measure) for measure in measures]
    for source, names in members.items():
        singly = names if source != target and len(names) > 1 else ()
        around += [
            Source(member=member, group=source, place=place, measure="expected_grade")
            for member in (POOL, *singly)
            for place in places_between(target, source)
        ]
    return own, around


def read_source(
    source: Source, target: str, members: Members, pools: Mapping[str, Array], weighing: list[str]
) -> Array:
    """A source's values (studies, sides, 5) for the target's cells, NaN where nobody predicts.

    `pools` holds each group's pool (studies, 25, 3); `weighing` names the members of the source's group. A member
    that is missing says what the pool says.
    """
    pool = pools[source.group]
    if source.measure.startswith("spread"):
        grade = MODERATE if source.measure == "spread_moderate" else SEVERE
        values = _spread(members, weighing, grade)
    else:
        said = _said_by(source.member, members, pool)
        values = {
            "moderate": said[..., MODERATE],
            "severe": said[..., SEVERE],
            "expected_grade": said[..., MODERATE] + 2 * said[..., SEVERE],
        }[source.measure]
    return look(values, target, source.group, source.place)


def _said_by(name: str, members: Members, pool: Array) -> Array:
    if name not in members.names:
        return pool
    said = members.probabilities[members.names.index(name)]
    return np.where(np.isnan(said), pool, said)


def _spread(members: Members, names: list[str], grade: int) -> Array:
    """The standard deviation (studies, 25) of members' log-odds of a grade against normal; NaN for a single one."""
    places = [place for place, name in enumerate(members.names) if name in names]
    logs = np.log(np.maximum(members.probabilities[places], LEAST_PROBABILITY))
    odds = logs[..., grade] - logs[..., 0]
    given = ~np.isnan(odds)
    count = given.sum(axis=0)
    mean = np.where(given, odds, 0.0).sum(axis=0) / np.maximum(count, 1)
    variance = np.where(given, (odds - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 1, np.sqrt(variance), np.nan)
