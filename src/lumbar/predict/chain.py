"""One fold's chain of models - detector, crops, graders - and what it predicts for a study.

A chain is what predicted its own fold in cross-validation, so out-of-fold and test predictions come from one code path.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.config import Config, CropConfig, GradeConfig
from lumbar.crop.store import Crops, crops_of_study
from lumbar.detect.detector import Detector
from lumbar.detect.points import points_of
from lumbar.dicom import Series
from lumbar.grade.network import Grader
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.problems import Problems
from lumbar.studies import Study

INSTEAD = "the other folds, or the prior"
"""What a cell gets where a chain fails."""
LoadedGrader = tuple[Grader, GradeConfig]


@dataclass(frozen=True)
class Chain:
    """The models that have not seen a fold: its detector, and its graders by name with the group that each grades."""

    fold: int
    detector: Detector
    graders: Mapping[str, LoadedGrader]
    groups: Mapping[str, str]


def find_folds(models: Path, kind: str) -> list[int]:
    """The folds that have a model of a kind: `detector` or a condition group."""
    names = (re.fullmatch(rf"{kind}_fold(\d+)", path.stem) for path in models.glob("*.json"))
    return sorted(int(match.group(1)) for match in names if match)


def load_chain(models: Path, config: Config, fold: int) -> Chain:
    """A fold's models from a run's `models` folder, or a bundle's; a grader that was never trained is left out."""
    names = [name for name in config.graders if fold in find_folds(models, name)]
    graders = {name: load_grader(models / f"{name}_fold{fold}") for name in names}
    return Chain(fold, Detector.load(models / f"detector_fold{fold}"), graders, config.graders)


def load_chains(models: Path, config: Config) -> list[Chain]:
    """Every fold's chain; FileNotFoundError where there is none."""
    folds = find_folds(models, "detector")
    if not folds:
        raise FileNotFoundError(f"{models}: there is no detector; train one first (make cv)")
    return [load_chain(models, config, fold) for fold in folds]


def predict_by_chain(
    chain: Chain, study_id: int, study: Study, config: CropConfig, problems: Problems
) -> dict[str, pd.DataFrame]:
    """A study's predictions by each grader of a chain, in submission format.

    A stage that fails costs its own part only, and is noted.
    """
    return grade_crops(chain, study_id, cut_study(chain, study_id, study, config, problems), problems)


def cut_study(chain: Chain, study_id: int, study: Study, config: CropConfig, problems: Problems) -> dict[str, Crops]:
    """A study's crops around the points of a chain's detector, by condition group."""
    with problems.survive(study_id, "detect", INSTEAD):
        points = points_of(chain.detector, study_id, study, chain.fold)
        with problems.survive(study_id, "crop", INSTEAD):
            return crops_of_study(_by_id(study), points, config)
    return {}


def grade_crops(chain: Chain, study_id: int, crops: Mapping[str, Crops], problems: Problems) -> dict[str, pd.DataFrame]:
    """What each grader of a chain says of a study's crops."""
    predictions: dict[str, pd.DataFrame] = {}
    for name, (grader, config) in chain.graders.items():
        if chain.groups[name] in crops:
            own = crops[chain.groups[name]]
            with problems.survive(study_id, f"grade {chain.groups[name]}", INSTEAD):
                predictions[name] = predict_grades(grader, config, own, np.arange(len(own.index)))
    return predictions


def _by_id(study: Study) -> dict[int, Series]:
    return {one.series_id: one for series in study.values() for one in series}
