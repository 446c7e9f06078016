"""What a fit has to say: the methods' scores, the differences between them, what each member is worth, what is odd."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbar.ensemble.apply import predict
from lumbar.ensemble.checks import check_folds
from lumbar.ensemble.members import Members, Truth, score_cells
from lumbar.ensemble.nested import Nested
from lumbar.metric import COMPONENTS, Difference, Score, bootstrap_scores, interval, score_losses
from lumbar.records import align, figure

REPORT_FILE = "report.json"
ENSEMBLE = "ensemble"
"""The row of what was chosen inside the folds, beside the methods' own rows."""

Array = NDArray[np.float64]


def summarise(nested: Nested, members: Members, truth: Truth) -> dict[str, Any]:
    """The report as plain data. Every score is out of fold and of every graded cell: one that no member predicts
    counts with the prior of the other folds, as it does in cross-validation."""
    scored = {name: _score(truth, values) for name, values in {**nested.by_method, ENSEMBLE: nested.chosen}.items()}
    return {
        "method": nested.final.choice.method,
        "strength": nested.final.choice.strength,
        "studies": len(members.study_ids),
        "scores": {name: scores.score.as_dict() for name, scores in scored.items()},
        "differences": [
            {"of": first, "from": second, **_compare(scored[first], scored[second])}
            for second, first in combinations(scored, 2)
        ],
        "without_fold": {
            fold: {"method": fitted.choice.method, "strength": fitted.choice.strength}
            for fold, fitted in nested.by_fold.items()
        },
        "weights": {group: model.weights for group, model in nested.final.chosen_models.items()},
        "without_member": [
            {"member": name, **_compare(_score(truth, without), scored[ENSEMBLE])}
            for name, without in _leave_members_out(nested, members, truth)
        ],
        "suspicious": [str(check) for check in check_folds(members, truth) if check.is_suspicious],
    }


@dataclass(frozen=True, eq=False)
class _Scored:
    """A score, and bootstrap draws of it that are paired with any other's of the same studies."""

    score: Score
    draws: Array


def _score(truth: Truth, probabilities: Array) -> _Scored:
    losses = score_cells(truth, np.where(np.isnan(probabilities), truth.prior, probabilities))
    return _Scored(score_losses(losses), bootstrap_scores(losses, seed=0))


def _compare(first: _Scored, second: _Scored) -> dict[str, Any]:
    difference = Difference(first.score.score - second.score.score, *interval(first.draws - second.draws))
    return {"difference": difference.value, "ci95": [difference.low, difference.high], "is_none": difference.is_none}


def _leave_members_out(nested: Nested, members: Members, truth: Truth) -> Iterator[tuple[str, Array]]:
    """Each member's name, and what the ensemble predicts out of fold when that member's file is missing.

    Nothing is fitted again: the other members' weights take over.
    """
    for name in members.names:
        others, without = members.without(name), np.full(nested.chosen.shape, np.nan)
        for fold, fitted in nested.by_fold.items():
            held_out = np.flatnonzero(truth.folds == fold)
            without[held_out] = predict(fitted.chosen_models, others.take(held_out), fitted.chosen_lift)
        yield name, without


def read_report(folder: Path) -> dict[str, Any]:
    """The report that a fit left in its folder."""
    return json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))


def format_report(report: dict[str, Any]) -> str:
    """The report as text."""
    keys = ("score", *COMPONENTS)
    scores = report["scores"].items()
    lines = align([("", *keys), *((name, *(figure(score[key]) for key in keys)) for name, score in scores)])
    lines += ["", *format_differences(report), "", _describe_choice(report)]
    for group, weights in report["weights"].items():
        lines.append(f"{group}: " + ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items()))
    lines += [f"without {row['member']}: {_read(row)}" for row in report["without_member"]]
    return "\n".join([*lines, *(f"SUSPICIOUS: {line}" for line in report["suspicious"])])


def _describe_choice(report: dict[str, Any]) -> str:
    how_far = f", {report['strength']:.0%} of the way from the mean" if report["strength"] else ""
    return f"chosen on {report['studies']} studies: {report['method']}{how_far}"


def format_differences(report: dict[str, Any]) -> list[str]:
    """A line for each pair of ensembles: the difference in score with its paired interval, and whether it is one."""
    return [f"{row['of']} - {row['from']}: {_read(row)}" for row in report["differences"]]


def _read(row: dict[str, Any]) -> Difference:
    return Difference(row["difference"], *row["ci95"])
