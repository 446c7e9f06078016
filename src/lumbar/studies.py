"""A study's series, read with what is missing or broken left out and noted."""

import pandas as pd

from lumbar.dataset import Competition
from lumbar.dicom import Series, SeriesError, read_series
from lumbar.labels import plane_of
from lumbar.problems import Problem

Study = dict[str, list[Series]]
"""A study's readable series by description."""


def read_study(
    competition: Competition, split: str, study_id: int, descriptions: pd.DataFrame, stage: str
) -> tuple[Study, list[Problem]]:
    """Reads every series of a study; `descriptions` is the split's series table.

    Returns the readable series by description, and a problem for each file or series left out.
    """
    study: Study = {}
    problems: list[Problem] = []
    mine = descriptions[descriptions["study_id"] == study_id]
    if mine.empty:
        problems.append(Problem(study_id, stage, "no series is listed for the study"))
    for series_id, description in zip(mine["series_id"], mine["series_description"], strict=True):
        try:
            series = read_series(competition.series_directory(split, study_id, series_id), plane_of(description))
        except SeriesError as error:
            problems.append(Problem(study_id, stage, str(error)))
            continue
        study.setdefault(description, []).append(series)
        problems.extend(Problem(study_id, stage, message) for message in series.problems)
    return study, problems
