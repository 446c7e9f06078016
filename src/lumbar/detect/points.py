"""A detector's points of studies, as one table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from lumbar.data.competition import Competition
from lumbar.data.points import COLUMNS
from lumbar.data.problems import Problems
from lumbar.data.studies import Study, read_study
from lumbar.detect.detector import Detector
from lumbar.detect.locate import LocatedPoint, locate_study


def locate_studies(
    detector: Detector, competition: Competition, study_ids: Sequence[int], fold: int, problems: Problems
) -> pd.DataFrame:
    """The points of training studies by the detector of their fold; what could not be read is noted."""
    descriptions = competition.series("train")
    tables = [no_points()]
    for study_id in tqdm(study_ids, desc=f"detect: points by fold {fold}", unit="study"):
        study = read_study(competition, "train", study_id, descriptions, problems)
        with problems.survive(study_id, "detect", "the prior"):
            tables.append(points_of(detector, study, study_id, fold))
    return pd.concat(tables, ignore_index=True)


def points_of(detector: Detector, study: Study, study_id: int, fold: int) -> pd.DataFrame:
    """The points of one study by a fold's detector, with the columns of `detect.schema`."""
    rows = [_row(study_id, located, fold) for located in locate_study(detector, study)]
    return pd.DataFrame(rows, columns=COLUMNS).astype(no_points().dtypes) if rows else no_points()


def no_points() -> pd.DataFrame:
    """An empty table of points, with the columns' types."""
    whole = dict.fromkeys(("study_id", "series_id", "instance_number", "fold"), "int64")
    words = dict.fromkeys(("condition", "level", "source"), "object")
    return pd.DataFrame({name: pd.Series(dtype=(whole | words).get(name, "float64")) for name in COLUMNS})


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
