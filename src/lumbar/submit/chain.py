"""One fold's chain of models - detector, crops, graders - and what all chains together say of a study.

A chain is what predicted its own fold in cross-validation, so out-of-fold and test predictions come from one code path.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.baselines.asking import asking_of, cutters_of
from lumbar.baselines.clusters import cluster_study
from lumbar.baselines.samplers import is_graded
from lumbar.config import POOLED, Config, read_saved_config
from lumbar.crop.crops import Crops
from lumbar.crop.store import crops_of_study
from lumbar.data.competition import no_predictions
from lumbar.data.points import on_slices, points_table
from lumbar.data.problems import Problems
from lumbar.data.studies import Study
from lumbar.detect.contradiction import note_contradiction
from lumbar.detect.detector import Detector
from lumbar.detect.locate import locate_study
from lumbar.ensemble import average_predictions
from lumbar.ensemble.apply import apply_ensemble
from lumbar.ensemble.model import MODEL_FILE, EnsembleModel, read_model
from lumbar.grade.asking import views_of
from lumbar.grade.predict import Predictor
from lumbar.labels import CELLS, GROUPS, group_of

INSTEAD = "the other folds, or the prior"
"""What a cell gets where a chain fails."""


@dataclass(frozen=True)
class Chain:
    """The models that have not seen a fold: its detector, and its graders by name; `config` is their run's."""

    fold: int
    config: Config
    detector: Detector
    graders: Mapping[str, Predictor]


def folds_with(models: Path, kind: str) -> list[int]:
    """The folds that have a model of a kind: `detector` or a grader's name."""
    names = (re.fullmatch(rf"{kind}_fold(\d+)", path.stem) for path in models.glob("*.json"))
    return sorted(int(match.group(1)) for match in names if match)


def load_chain(models: Path, config: Config, fold: int) -> Chain:
    """A fold's models from a run's `models` folder, or a bundle's; a grader that was never trained is left out."""
    there = [name for name in config.members if fold in folds_with(models, name)]
    load = asking_of(config).load
    graders = {name: load(models / f"{name}_fold{fold}", config.members[name]) for name in there}
    return Chain(fold, config, Detector.load(models / f"detector_fold{fold}", config.detect), graders)


def load_chains(models: Path, config: Config) -> list[Chain]:
    """Every fold's chain; FileNotFoundError where there is none."""
    folds = folds_with(models, "detector")
    if not folds:
        raise FileNotFoundError(f"{models}: there is no detector; train one first (make cv)")
    return [load_chain(models, config, fold) for fold in folds]


def find_points(chain: Chain, study_id: int, study: Study, problems: Problems) -> pd.DataFrame:
    """The points of a study by a chain, as a table, of the cells that are graded; none where that fails."""
    with problems.survive(study_id, "detect", INSTEAD):
        if chain.config.published and chain.config.published.points == "clustered":
            points = points_table(cluster_study(study, study_id, chain.fold))
        else:
            located = locate_study(chain.detector, study, study_id, chain.fold)
            note_contradiction(study_id, study, located, problems)
            points = points_table(located)
        points = points[is_graded(points, chain.config.cells)]
        return on_slices(points) if chain.config.published else points
    return points_table([])


def cut_study(chain: Chain, study_id: int, study: Study, points: pd.DataFrame, problems: Problems) -> dict[str, Crops]:
    """A study's crops around points, by view; a view where that fails is left out."""
    crops: dict[str, Crops] = {}
    for view, cutter in cutters_of(chain.config).items():
        with problems.survive(study_id, "crop", INSTEAD):
            cut = crops_of_study(study, points, cutter)
            crops |= {} if cut is None else {view: cut}
    return crops


def grade_crops(chain: Chain, study_id: int, crops: Mapping[str, Crops], problems: Problems) -> dict[str, pd.DataFrame]:
    """What each grader of a chain says of a study's crops."""
    predictions: dict[str, pd.DataFrame] = {}
    gather, members = asking_of(chain.config).gather, chain.config.members
    for name, predict in chain.graders.items():
        with problems.survive(study_id, f"grade {members[name].group}", INSTEAD):
            mine = gather(views_of(chain.config, members[name].config), crops)
            if mine is not None:
                predictions[name] = predict(mine, np.arange(len(mine.index)))
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
    return Models(config, load_chains(models, config), read_model(models / MODEL_FILE))


def predict_study(
    models: Models, chains: Sequence[Chain], study_id: int, study: Study, problems: Problems
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """A study's rows in submission format by some of the chains, and the points of each.

    A stage that fails costs its own part only, and is noted; a row that no chain could grade is not among the rows.
    """
    points = [find_points(chain, study_id, study, problems) for chain in chains]
    by_chain = [
        grade_crops(chain, study_id, cut_study(chain, study_id, study, at, problems), problems)
        for chain, at in zip(chains, points, strict=True)
    ]
    return _blend(models, study_id, by_chain, problems), points


def _blend(
    models: Models, study_id: int, by_chain: Sequence[Mapping[str, pd.DataFrame]], problems: Problems
) -> pd.DataFrame:
    tables = {name: [said[name] for said in by_chain if name in said] for name in models.config.members}
    members = {name: average_predictions(folds) for name, folds in tables.items() if folds}
    if not members:
        return no_predictions()
    with problems.survive(study_id, "ensemble", "the graders' plain mean"):
        return apply_ensemble(models.ensemble, members)
    return average_predictions(members.values())


def explain_gaps(
    models: Models, chains: Sequence[Chain], study_id: int, study: Study, predictions: pd.DataFrame, problems: Problems
) -> dict[str, str]:
    """Why a study's cells that have no prediction have none, by their columns in `train.csv`, in words to count by."""
    failed = {problem.stage for problem in problems.found if problem.study_id == study_id}
    graded, predicted = models.config.cells, set(predictions["row_id"])
    trained = {models.config.members[name].group for chain in chains for name in chain.graders}
    gaps = {}
    for column, cell in CELLS.items():
        group = POOLED if graded.pooled else group_of(cell.condition)
        if f"{study_id}_{column}" in predicted:
            continue
        if cell.condition not in graded.conditions or cell.level not in graded.levels:
            gaps[column] = "not among the cells that the config grades"
        elif group not in trained:
            gaps[column] = "no grader was trained"
        else:
            gaps[column] = _explain(GROUPS[group_of(cell.condition)].series_description, group, study, failed)
    return gaps


def _explain(description: str, group: str, study: Study, failed: set[str]) -> str:
    if description not in study:
        return f"no readable {description} series"
    for stage in ("detect", "crop", f"grade {group}"):
        if stage in failed:
            return f"{stage} failed"
    return f"no slice of {description} shows the level"
