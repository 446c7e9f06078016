"""The competition's metric: a weighted log loss for each condition group and for any severe canal, and their mean.

The rules are those of the official code (Kaggle's metric of RSNA 2024 Lumbar Spine Degenerative Classification), with
rows matched by row_id rather than by their order.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lumbar.labels import GRADE_WEIGHTS, GRADES, GROUPS, SEVERE

ANY_SEVERE_SPINAL = "any_severe_spinal"
COMPONENTS = (*GROUPS, ANY_SEVERE_SPINAL)
EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are clipped to [EPSILON, 1 - EPSILON], as scikit-learn's log_loss does for float64."""
BOOTSTRAP_DRAWS = 2000
SUM_TOLERANCE = 2e-3
"""How far from 1 a row's sum may lie: as far as three probabilities of three decimals, or half precision, bring it."""


class MissingRowsError(ValueError):
    """Labelled rows without a prediction; the message names the first ones."""


@dataclass(frozen=True)
class Score:
    """The metric and its components; a component without any label is None, and the score then `partial`."""

    score: float
    components: Mapping[str, float | None]

    @property
    def partial(self) -> bool:
        """Whether a component is missing from the mean."""
        return any(value is None for value in self.components.values())

    def as_dict(self) -> dict[str, float | bool | None]:
        """One flat mapping, for JSON."""
        return {"score": self.score, **self.components, "partial": self.partial}


def normalise(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows (N, 3) scaled in float64 to sum to 1."""
    values = np.asarray(probabilities, dtype=np.float64)
    return values / values.sum(axis=1, keepdims=True)


def unweight(answers: NDArray[np.floating]) -> NDArray[np.float64]:
    """The probabilities (N, 3) to which rows are the best answers: the metric's weights are taken out of them."""
    return normalise(answers / np.asarray(GRADE_WEIGHTS))


def is_distribution(probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows (N,) of (N, 3) can be normalised: finite, not negative, with a sum above 0."""
    return (np.isfinite(probabilities) & (probabilities >= 0)).all(axis=1) & (np.nansum(probabilities, axis=1) > 0)


def study_losses(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Each study's part in each component, from which any subset of the studies is scored.

    `labels` is `data.competition.read_labels`; `predictions` has row_id and the three grades. Returns one row a study,
    with columns (component, "loss") and (component, "weight"): the sums of weight × loss and of weight over its rows.

    Raises MissingRowsError when a labelled row has no prediction, and ValueError for a row that is no distribution.
    """
    return row_losses(_match(labels, predictions), labels["study_id"].unique())


def row_losses(rows: pd.DataFrame, study_ids: ArrayLike) -> pd.DataFrame:
    """`study_losses` of labelled rows that have their predictions already: study_id, group, grade, the three grades."""
    weights = np.asarray(GRADE_WEIGHTS)[rows["grade"]]
    chosen = normalise(rows[list(GRADES)].to_numpy())[np.arange(len(rows)), rows["grade"]]
    rows = rows.assign(weight=weights, loss=-weights * np.log(np.clip(chosen, EPSILON, 1 - EPSILON)))
    tables = {group: rows[rows["group"] == group].groupby("study_id")[["loss", "weight"]].sum() for group in GROUPS}
    tables[ANY_SEVERE_SPINAL] = _any_severe(rows[rows["group"] == "spinal"])
    studies = pd.Index(study_ids, name="study_id")
    return pd.concat({name: table.reindex(studies, fill_value=0.0) for name, table in tables.items()}, axis=1)


def _match(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    repeated = predictions["row_id"].duplicated()
    if repeated.any():
        raise ValueError(f"row '{predictions['row_id'][repeated].iloc[0]}' is predicted more than once")
    missing = labels.loc[~labels["row_id"].isin(predictions["row_id"]), "row_id"]
    if len(missing):
        raise MissingRowsError(f"{len(missing)} labelled rows have no prediction, the first: {', '.join(missing[:3])}")
    rows = labels.merge(predictions[["row_id", *GRADES]], on="row_id", how="left", validate="one_to_one")
    broken = ~is_distribution(rows[list(GRADES)].to_numpy(dtype=np.float64))
    if broken.any():
        row_id = rows["row_id"][broken].iloc[0]
        raise ValueError(f"row '{row_id}': expected finite probabilities that are not negative, with a sum above 0")
    return rows


def _any_severe(spinal: pd.DataFrame) -> pd.DataFrame:
    """One row a study: is any labelled canal severe, predicted by the largest severe as submitted (not normalised)."""
    studies = spinal.groupby("study_id").agg(
        grade=("grade", "max"), predicted=(GRADES[SEVERE], "max"), weight=("weight", "max")
    )
    predicted = np.clip(studies["predicted"], EPSILON, 1 - EPSILON)
    chosen = predicted.where(studies["grade"] == SEVERE, 1 - predicted)
    return pd.DataFrame({"loss": -studies["weight"] * np.log(chosen), "weight": studies["weight"]})


def score_losses(losses: pd.DataFrame) -> Score:
    """The metric over the studies of `study_losses` (or some of them)."""
    return _from_sums(losses.sum())


def _from_sums(sums: pd.Series) -> Score:
    components = {
        name: float(sums[name, "loss"] / sums[name, "weight"]) if sums[name, "weight"] > 0 else None
        for name in COMPONENTS
    }
    present = [value for value in components.values() if value is not None]
    return Score(float(np.mean(present)) if present else float("nan"), components)


def score(labels: pd.DataFrame, predictions: pd.DataFrame) -> Score:
    """The competition's score of predictions in submission format; see `study_losses`."""
    return score_losses(study_losses(labels, predictions))


def bootstrap_scores(losses: pd.DataFrame, seed: int, draws: int = BOOTSTRAP_DRAWS) -> NDArray[np.float64]:
    """Scores (draws,) of studies drawn with replacement; the same seed and studies give paired draws."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(losses), np.full(len(losses), 1 / len(losses)), size=draws)
    present = [name for name in COMPONENTS if losses[name, "weight"].sum() > 0]
    ratios = [
        (counts @ losses[name, "loss"].to_numpy()) / np.maximum(counts @ losses[name, "weight"].to_numpy(), EPSILON)
        for name in present
    ]
    return np.mean(ratios, axis=0)


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of bootstrap draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """How much a first prediction scores above a second one (worse, where positive), with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_none(self) -> bool:
        """Whether the interval contains 0, so that nothing tells the two apart."""
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        told = "none, the interval contains 0" if self.is_none else "better" if self.value < 0 else "worse"
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f}): {told}"


def paired_difference(first: pd.DataFrame, second: pd.DataFrame, seed: int = 0) -> Difference:
    """The difference of two predictions' scores, bootstrapped over studies; both are `study_losses` of the same ones.

    Raises ValueError for other studies, whose draws would not be paired.
    """
    _refuse_other_studies(first, second)
    draws = bootstrap_scores(first, seed) - bootstrap_scores(second, seed)
    return Difference(score_losses(first).score - score_losses(second).score, *interval(draws))


def paired_error(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """The standard error of the difference of two predictions' scores, over studies, without drawing any.

    The delta method: a study moves a ratio of sums by (loss - ratio x weight) / sum of weights.
    """
    _refuse_other_studies(first, second)
    moved = _influences(first) - _influences(second)
    return float(np.sqrt((moved**2).sum()))


def _influences(losses: pd.DataFrame) -> NDArray[np.float64]:
    """How much each study moves the score."""
    present = [name for name in COMPONENTS if losses[name, "weight"].sum() > 0]
    moved = [
        (losses[name, "loss"] - losses[name, "weight"] * losses[name, "loss"].sum() / total) / total
        for name in present
        for total in [losses[name, "weight"].sum()]
    ]
    return np.mean(moved, axis=0)


def _refuse_other_studies(first: pd.DataFrame, second: pd.DataFrame) -> None:
    if not first.index.equals(second.index):
        raise ValueError("the two predictions are of other studies, their difference cannot be paired")


def odd_sums(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.Series:
    """The sums, by row_id, of the labelled rows whose probabilities do not sum to 1, see `SUM_TOLERANCE`.

    Every component but any_severe normalises its rows; that one takes the severe probability as it was submitted, so
    rows that sum to something else, such as doubled ones, move it and the score for better or worse.
    """
    scored = predictions[predictions["row_id"].isin(labels["row_id"])].set_index("row_id")
    sums = scored[list(GRADES)].sum(axis=1)
    return sums[(sums - 1).abs() > SUM_TOLERANCE]


def normalised(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions in submission format, every row scaled to sum to 1."""
    return predictions.assign(**dict(zip(GRADES, normalise(predictions[list(GRADES)].to_numpy()).T, strict=True)))


def fill_missing(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions, with 1/3 for every labelled row that they lack."""
    missing = labels.loc[~labels["row_id"].isin(predictions["row_id"]), ["row_id"]]
    return pd.concat([predictions, missing.assign(**dict.fromkeys(GRADES, 1 / len(GRADES)))], ignore_index=True)
