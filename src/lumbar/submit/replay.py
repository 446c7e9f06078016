"""Parity: the kernel's code on a fold's training studies must say what cross-validation said of them out of fold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lumbar.baselines.asking import asking_of, cutters_of
from lumbar.config import read_saved_config
from lumbar.crop.crops import Crops, open_crops
from lumbar.data.competition import read_predictions
from lumbar.data.problems import Problems
from lumbar.data.studies import Study, map_studies
from lumbar.labels import GRADES
from lumbar.run.run import Run
from lumbar.submit.chain import Chain, cut_study, find_points, grade_crops, load_chain

TOLERANCE = 1e-6
"""Batches of other sizes add up floats in another order, no more."""
GPU_TOLERANCE = 1e-2
"""The same on a GPU, where nets run in half precision: each layer rounds to 11 bits, a logit of 8 to .004, and batches
of other sizes may take other kernels. That is thousandths of a probability; by arithmetic, not measured."""


@dataclass(frozen=True)
class Parity:
    """How a fold's replay compares with its cross-validation."""

    studies: int
    rows: int
    """Predictions that both have."""
    unmatched: tuple[str, ...]
    """Predictions that only one of them has, as `<grader> <row_id>`."""
    largest_difference: float
    crops: int
    different_crops: tuple[str, ...]
    """Crops that are not the same to the byte, as `<view> <row_id>`."""
    tolerance: float
    """The difference that may be."""

    @property
    def holds(self) -> bool:
        """Whether the two agree."""
        return not self.unmatched and not self.different_crops and self.largest_difference <= self.tolerance


def replay_fold(run: Run, fold: int) -> Parity:
    """Predicts the training studies of a fold as the kernel would, by that fold's models alone."""
    config = read_saved_config(run.models / "config.json")  # the kernel's, not the run's as it may be by now
    chain, studies = load_chain(run.models, config, fold), run.studies_of(fold)
    is_asked = asking_of(config).is_asked
    stored = {view: _by_row(open_crops(run.folder / "crop", view), is_asked) for view in cutters_of(config)}
    predictions: dict[str, list[pd.DataFrame]] = {name: [] for name in chain.graders}
    different, count = [], 0

    def predict(study_id: int, study: Study, problems: Problems) -> tuple[dict[str, Crops], dict[str, pd.DataFrame]]:
        crops = cut_study(chain, study_id, study, find_points(chain, study_id, study, problems), problems)
        return crops, grade_crops(chain, study_id, crops, problems)

    for done in map_studies(run.competition, "train", studies, predict, f"replay fold {fold}"):
        crops, graded = done.value or ({}, {})
        different += list(_differences(crops, stored))
        count += sum(len(cut.index) for cut in crops.values())
        for name, table in graded.items():
            predictions[name].append(table)
    return _compare(run, chain, fold, predictions, len(studies), count, different)


def tolerance() -> float:
    """How much predictions may differ by where this process's nets run. A replay without a GPU says of what one has
    predicted out of fold that they do not agree."""
    return GPU_TOLERANCE if torch.cuda.is_available() else TOLERANCE


def _by_row(crops: Crops, is_asked: Callable[[pd.DataFrame], np.ndarray]) -> dict[str, np.ndarray]:
    """The crops that are predicted, by row_id."""
    return {crops.index["row_id"].iloc[row]: crops.pixels[row] for row in np.flatnonzero(is_asked(crops.index))}


def _differences(crops: dict[str, Crops], stored: dict[str, dict[str, np.ndarray]]) -> Iterator[str]:
    for view, cut in crops.items():
        for row_id, pixels in zip(cut.index["row_id"], cut.pixels, strict=True):
            if row_id not in stored[view] or not np.array_equal(pixels, stored[view][row_id]):
                yield f"{view} {row_id}"


def _compare(
    run: Run,
    chain: Chain,
    fold: int,
    predictions: dict[str, list[pd.DataFrame]],
    studies: int,
    crops: int,
    different: list[str],
) -> Parity:
    rows, unmatched, largest = 0, [], 0.0
    for name in chain.graders:
        given = read_predictions(run.folder / "predictions" / name / "oof.csv")
        expected = given[_of_studies(given, run.studies_of(fold))].set_index("row_id")[list(GRADES)]
        tables = predictions[name]
        replayed = pd.concat(tables).set_index("row_id")[list(GRADES)] if tables else expected.iloc[:0]
        both = expected.index.intersection(replayed.index)
        unmatched += [f"{name} {row_id}" for row_id in expected.index.symmetric_difference(replayed.index)]
        gaps = np.abs(expected.loc[both].to_numpy() - replayed.loc[both].to_numpy())
        rows, largest = rows + len(both), max(largest, float(gaps.max(initial=0.0)))
    return Parity(studies, rows, tuple(unmatched), largest, crops, tuple(different), tolerance())


def _of_studies(predictions: pd.DataFrame, study_ids: list[int]) -> pd.Series:
    return predictions["row_id"].str.partition("_")[0].astype("int64").isin(study_ids)


def format_parity(parity: Parity) -> str:
    """The comparison in a few lines."""
    lines = [
        f"{parity.studies} studies, {parity.rows} rows: largest difference {parity.largest_difference:.1e}, "
        f"{parity.tolerance:.0e} may be",
        f"{len(parity.different_crops)} of {parity.crops} crops differ" + _first(parity.different_crops),
        f"{len(parity.unmatched)} rows are predicted by one side only" + _first(parity.unmatched),
        "the kernel's code and cross-validation agree" if parity.holds else "THEY DO NOT AGREE",
    ]
    return "\n".join(lines)


def _first(names: tuple[str, ...]) -> str:
    return f", the first: {', '.join(names[:3])}" if names else ""
