"""One fold's chain of models - detector, crops, graders - and what it predicts for a study.

A chain is what predicted its own fold in cross-validation, so out-of-fold and test predictions come from one code path.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.baselines.clustered import cluster_study
from lumbar.config import POOLED, Config, GradeConfig, read_saved_config
from lumbar.crop.store import Crops, crops_of_study, pool_crops
from lumbar.data.competition import no_predictions
from lumbar.data.problems import Problems
from lumbar.data.studies import Study
from lumbar.detect.detector import Detector
from lumbar.detect.points import points_of
from lumbar.ensemble import average_folds
from lumbar.ensemble.apply import apply_ensemble
from lumbar.ensemble.model import FILE_NAME, EnsembleModel, read_model
from lumbar.grade.net import Grader
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.labels import CELLS, GROUPS, group_of
from lumbar.mri.series import Series

INSTEAD = "the other folds, or the prior"
"""What a cell gets where a chain fails."""
LoadedGrader = tuple[Grader, GradeConfig]


@dataclass(frozen=True)
class Chain:
    """The models that have not seen a fold: its detector, and its graders by name; `config` is their run's."""

    fold: int
    config: Config
    detector: Detector
    graders: Mapping[str, LoadedGrader]


def find_folds(models: Path, kind: str) -> list[int]:
    """The folds that have a model of a kind: `detector` or a condition group."""
    names = (re.fullmatch(rf"{kind}_fold(\d+)", path.stem) for path in models.glob("*.json"))
    return sorted(int(match.group(1)) for match in names if match)


def load_chain(models: Path, config: Config, fold: int) -> Chain:
    """A fold's models from a run's `models` folder, or a bundle's; a grader that was never trained is left out."""
    names = [name for name in config.graders if fold in find_folds(models, name)]
    graders = {name: load_grader(models / f"{name}_fold{fold}") for name in names}
    return Chain(fold, config, Detector.load(models / f"detector_fold{fold}"), graders)


def load_chains(models: Path, config: Config) -> list[Chain]:
    """Every fold's chain; FileNotFoundError where there is none."""
    folds = find_folds(models, "detector")
    if not folds:
        raise FileNotFoundError(f"{models}: there is no detector; train one first (make cv)")
    return [load_chain(models, config, fold) for fold in folds]


def predict_by_chain(chain: Chain, study_id: int, study: Study, problems: Problems) -> dict[str, pd.DataFrame]:
    """A study's predictions by each grader of a chain, in submission format.

    A stage that fails costs its own part only, and is noted.
    """
    return grade_crops(chain, study_id, cut_study(chain, study_id, study, problems), problems)


def cut_study(chain: Chain, study_id: int, study: Study, problems: Problems) -> dict[str, Crops]:
    """A study's crops around the points of a chain, by condition group."""
    with problems.survive(study_id, "detect", INSTEAD):
        points = _find_points(chain, study_id, study)
        with problems.survive(study_id, "crop", INSTEAD):
            return crops_of_study(_by_id(study), points, chain.config.crop)
    return {}


def _find_points(chain: Chain, study_id: int, study: Study) -> pd.DataFrame:
    """The points of the cells that are graded."""
    clustered = chain.config.crop.points == "clustered"
    find = partial(cluster_study, study) if clustered else partial(points_of, chain.detector, study)
    points, cells = find(study_id, chain.fold), chain.config.grade.cells
    return points[points["condition"].isin(cells.conditions) & points["level"].isin(cells.levels)]


def _by_id(study: Study) -> dict[int, Series]:
    return {one.series_id: one for series in study.values() for one in series}


def grade_crops(chain: Chain, study_id: int, crops: Mapping[str, Crops], problems: Problems) -> dict[str, pd.DataFrame]:
    """What each grader of a chain says of a study's crops."""
    predictions: dict[str, pd.DataFrame] = {}
    for name, (grader, config) in chain.graders.items():
        part = chain.config.graders[name]
        mine = list(crops.values()) if part == POOLED else [crops[part]] if part in crops else []
        if mine:
            own = pool_crops(mine) if len(mine) > 1 else mine[0]
            with problems.survive(study_id, f"grade {part}", INSTEAD):
                predictions[name] = predict_grades(grader, config, own, np.arange(len(own.index)))
    return predictions


@dataclass(frozen=True)
class Models:
    """All that prediction needs of a run: its config, every fold's chain and the ensemble of the graders."""

    config: Config
    chains: Sequence[Chain]
    ensemble: EnsembleModel


def load_models(models: Path) -> Models:
    """From a run's `models` folder, or a bundle's."""
    config = read_saved_config(models / "config.json")
    return Models(config, load_chains(models, config), read_model(models / FILE_NAME))


def predict_study(
    models: Models, chains: Sequence[Chain], study_id: int, study: Study, problems: Problems
) -> pd.DataFrame:
    """A study's rows in submission format by some of the chains; a row that none could grade is not among them."""
    by_chain = [predict_by_chain(chain, study_id, study, problems) for chain in chains]
    tables = {name: [part[name] for part in by_chain if name in part] for name in models.config.graders}
    members = {name: average_folds(pd.concat(parts, ignore_index=True)) for name, parts in tables.items() if parts}
    if not members:
        return no_predictions()
    with problems.survive(study_id, "ensemble", "the graders' plain mean"):
        return apply_ensemble(models.ensemble, members)
    return average_folds(pd.concat(members.values(), ignore_index=True))


def explain_gaps(
    models: Models, chains: Sequence[Chain], study_id: int, study: Study, predictions: pd.DataFrame, problems: Problems
) -> dict[str, str]:
    """Why a study's cells that have no prediction have none, by their columns in `train.csv`, in words to count by."""
    failed = {problem.stage for problem in problems.found if problem.study_id == study_id}
    graded, predicted = models.config.grade.cells, set(predictions["row_id"])
    trained = {part for chain in chains for part in map(models.config.graders.get, chain.graders)}
    gaps = {}
    for column, cell in CELLS.items():
        part = POOLED if graded.pooled else group_of(cell.condition)
        if f"{study_id}_{column}" in predicted:
            continue
        if cell.condition not in graded.conditions or cell.level not in graded.levels:
            gaps[column] = "not among the cells that the config grades"
        elif part not in trained:
            gaps[column] = "no grader was trained"
        else:
            gaps[column] = _explain(group_of(cell.condition), part, study, failed)
    return gaps


def _explain(group: str, part: str, study: Study, failed: set[str]) -> str:
    description = GROUPS[group].series_description
    if description not in study:
        return f"no readable {description} series"
    for stage in ("detect", "crop", f"grade {part}"):
        if stage in failed:
            return f"{stage} failed"
    return f"no slice of {description} shows the level"
