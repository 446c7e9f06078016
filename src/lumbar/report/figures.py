"""The report's figures as plain numbers, before anything is drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from lumbar.detect.evaluate import HIT_MM
from lumbar.labels import CONDITIONS, GRADES, GROUPS, LEVELS, SEVERE
from lumbar.metric import bootstrap_scores, interval, score_losses

Coordinates = tuple[float, float]

RELIABILITY_BINS = 6
"""Bins hold equally many cells: severe ones are rare, and an empty bin says nothing."""


@dataclass(frozen=True)
class Curve:
    """A grade against the others: the curve's points, the area below it, and the share of cases that have the grade."""

    grade: int
    points: list[Coordinates]
    area: float
    share: float


@dataclass(frozen=True)
class Reliability:
    """A grade's calibration: (mean predicted, observed) of each bin, and the mean gap between the two."""

    grade: int
    points: list[Coordinates]
    gap: float


def component_scores(losses: pd.DataFrame, seed: int) -> dict[str, tuple[float, float, float] | None]:
    """The score and each component of it with the ends of its 95 % interval over studies; None without a label.

    `losses` is `metric.study_losses`.
    """
    result = score_losses(losses)
    return {"score": (result.score, *interval(bootstrap_scores(losses, seed)))} | {
        name: None if value is None else (value, *interval(bootstrap_scores(_only(losses, name), seed)))
        for name, value in result.components.items()
    }


def _only(losses: pd.DataFrame, component: str) -> pd.DataFrame:
    """The losses with every other component emptied, so that the metric leaves it out."""
    return losses * (losses.columns.get_level_values(0) == component)


def cell_losses(cells: pd.DataFrame, column: str = "loss") -> pd.DataFrame:
    """The weighted mean loss of each condition (rows) at each level (columns), with `all` for both; NaN where no cell
    has a label. `column` is `loss` or `prior_loss` of `collect.join_cells`."""
    known = cells[cells["grade"].notna()]
    known = known.assign(weighted=known["weight"] * known[column])
    both = pd.concat([known, known.assign(level="all")])
    sums = pd.concat([both, both.assign(condition="all")]).groupby(["condition", "level"])[["weighted", "weight"]].sum()
    means = (sums["weighted"] / sums["weight"]).unstack("level")  # noqa: PD010
    return means.reindex(index=[*CONDITIONS, "all"], columns=[*LEVELS, "all"])


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> NDArray[np.int64]:
    """Counts (3, 3): a row for each true grade, a column for each predicted one."""
    return confusion_matrix(truth, predicted, labels=range(len(GRADES)))


def roc_curves(truth: NDArray[np.integer], probabilities: NDArray[np.float64]) -> list[Curve]:
    """(false positive rate, true positive rate) of each grade against the others, as far as both are there."""
    return _against_the_others(
        truth, probabilities, lambda positive, given: roc_curve(positive, given)[:2], roc_auc_score
    )


def precision_recall_curves(truth: NDArray[np.integer], probabilities: NDArray[np.float64]) -> list[Curve]:
    """(recall, precision) of each grade against the others, from full recall down; the area is average precision."""
    return _against_the_others(
        truth,
        probabilities,
        lambda positive, given: precision_recall_curve(positive, given)[1::-1],
        average_precision_score,
    )


def _against_the_others(
    truth: NDArray[np.integer],
    probabilities: NDArray[np.float64],
    coordinates: Callable[..., Sequence[NDArray[np.float64]]],
    area: Callable[..., float],
) -> list[Curve]:
    """A curve for each grade; `coordinates` gives its x and its y."""
    curves = []
    for grade in _told_apart(truth):
        positive, given = truth == grade, probabilities[:, grade]
        x, y = coordinates(positive, given)
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        curves.append(Curve(grade, points, float(area(positive, given)), float(positive.mean())))
    return curves


def _told_apart(truth: NDArray[np.integer]) -> list[int]:
    return [grade for grade in range(len(GRADES)) if 0 < (truth == grade).sum() < len(truth)]


def reliability(
    truth: NDArray[np.integer], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[Reliability]:
    """Predicted against observed shares of each grade, in bins of equally many cells.

    The metric's best answer is the posterior weighted 1/2/4, so cases count with these `weights` (N,) here: a
    calibrated model then lies on the diagonal.
    """
    return [_reliability(grade, truth == grade, probabilities[:, grade], weights) for grade in _told_apart(truth)]


def _reliability(
    grade: int, positive: NDArray[np.bool_], given: NDArray[np.float64], weights: NDArray[np.float64]
) -> Reliability:
    bins = [part for part in np.array_split(np.argsort(given, kind="stable"), RELIABILITY_BINS) if len(part)]
    totals = np.array([weights[part].sum() for part in bins])
    predicted = np.array([weights[part] @ given[part] for part in bins]) / totals
    observed = np.array([weights[part] @ positive[part] for part in bins]) / totals
    gap = float(totals @ np.abs(predicted - observed) / totals.sum())
    return Reliability(grade, list(zip(predicted.tolist(), observed.tolist(), strict=True)), gap)


def any_severe(cells: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The metric's fourth component as a question of its own: of each study with a labelled canal, whether any is
    severe (`SEVERE` or 0), the probabilities (N, 3) of both with nothing between, and the weights."""
    spinal = cells[(cells["group"] == "spinal") & cells["grade"].notna()]
    studies = spinal.groupby("study_id").agg(
        grade=("grade", "max"), given=(GRADES[SEVERE], "max"), weight=("weight", "max")
    )
    truth = np.where(studies["grade"] == SEVERE, SEVERE, 0)
    given = studies["given"].to_numpy()
    return truth, np.stack([1 - given, np.zeros_like(given), given], axis=1), studies["weight"].to_numpy()


def hit_rates(errors: pd.DataFrame) -> pd.DataFrame:
    """For each group (rows) and level (columns), with `all` for both: the share of points within `HIT_MM`."""
    both = pd.concat([errors, errors.assign(level="all")])
    both = pd.concat([both, both.assign(group="all")])
    shares = (both["distance"] <= HIT_MM).groupby([both["group"], both["level"]]).mean()
    return shares.unstack("level").reindex(index=[*GROUPS, "all"], columns=[*LEVELS, "all"])  # noqa: PD010


def distance_quantiles(distances: pd.Series, shares: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> list[float]:
    """The distances (mm) that such shares of the points stay below; infinite where that many were missed."""
    ordered = np.sort(distances.to_numpy(dtype=np.float64))
    return [float(ordered[min(int(np.ceil(share * len(ordered))), len(ordered)) - 1]) for share in shares]


def cumulative(distances: pd.Series, limit: float) -> list[Coordinates]:
    """(mm, share of the points at most that far), in steps from 0 to `limit`."""
    ordered = np.sort(distances.to_numpy(dtype=np.float64))
    places = np.linspace(0, limit, 121)
    shares = np.searchsorted(ordered, places, side="right") / len(ordered)
    return list(zip(places.tolist(), shares.tolist(), strict=True))
