"""A detector's points of many studies, as one table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from lumbar.dataset import Competition
from lumbar.detect.detector import Detector
from lumbar.detect.locate import LocatedPoint, locate_study
from lumbar.detect.schema import COLUMNS
from lumbar.problems import Problem
from lumbar.studies import read_study


def locate_studies(
    detector: Detector, competition: Competition, split: str, study_ids: Sequence[int], fold: int
) -> tuple[pd.DataFrame, list[Problem]]:
    """The points of the given studies by one fold's detector, and what could not be read."""
    descriptions = competition.series(split)
    rows: list[tuple[object, ...]] = []
    problems: list[Problem] = []
    for study_id in tqdm(study_ids, desc=f"detect: points by fold {fold}", unit="study"):
        study, unread = read_study(competition, split, study_id, descriptions, "detect")
        problems.extend(unread)
        try:
            rows.extend(_row(study_id, located, fold) for located in locate_study(detector, study))
        except Exception as error:
            # One strange study must not cost the others their grades; the report names it.
            problems.append(Problem(study_id, "detect", f"{type(error).__name__}: {error}"))
    return pd.DataFrame(rows, columns=COLUMNS), problems


def _row(study_id: int, located: LocatedPoint, fold: int) -> tuple[object, ...]:
    return (
        study_id,
        located.series_id,
        located.instance_number,
        located.condition,
        located.level,
        *np.round(located.pixel, 3),
        *np.round(located.point, 3),
        round(located.confidence, 5),
        located.source,
        fold,
    )
