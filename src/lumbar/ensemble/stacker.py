"""The stacker: a regularised linear correction of a calibrated pool's logits by what is seen around a cell."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from lumbar.ensemble.members import Members, look, places_between
from lumbar.ensemble.model import POOL, GradeNumbers, Source, Term
from lumbar.ensemble.pool import LEAST_PROBABILITY, weigh_cases, weighted_loss
from lumbar.labels import GRADES, SEVERE

Array = NDArray[np.float64]

MODERATE = SEVERE - 1
SEVERITY = np.linspace(-1.0, 1.0, len(GRADES))
"""The direction of the logits in which a cell gets more severe. One coefficient for each source of the surroundings
instead of three: on real predictions the score gets better by .0004."""
RIDGE = 1600.0
"""Cases of weight 1 that hold a coefficient of 1 at 0. Anything from 400 to 3200 scores within .0003 on real ones."""


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
