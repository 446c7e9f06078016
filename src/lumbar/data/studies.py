"""A study's series, read with what is missing or broken left out and noted."""

from collections.abc import Callable

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lumbar.data.competition import Competition
from lumbar.mri.series import Series, read_series
from lumbar.labels import plane_of, sequence_of
from lumbar.data.problems import HARMLESS, Problems

Study = dict[str, list[Series]]
"""A study's readable series by description."""
Row = tuple[object, ...]
"""A row of a table that is made study by study."""


def read_study(
    competition: Competition, split: str, study_id: int, descriptions: pd.DataFrame, problems: Problems
) -> Study:
    """Reads every series of a study by description; `descriptions` is the split's series table.

    Notes a problem for each file or series that is left out or odd, also for one that no line lists.
    """
    study: Study = {}
    mine = descriptions[descriptions["study_id"] == study_id]
    if mine.empty:
        problems.note(study_id, "read", "no series is listed for the study", "the prior")
    for series_id, description in zip(mine["series_id"], mine["series_description"], strict=True):
        directory = competition.series_directory(split, study_id, series_id)
        with problems.survive(study_id, "read", "the study's other series"):
            series = read_series(directory, plane_of(description), sequence_of(description))
            study.setdefault(description, []).append(series)
            for message in series.problems:
                problems.note(study_id, "read", message)
            for message in series.remarks:
                problems.note(study_id, "read", message, HARMLESS)
    for name in _unlisted(competition, split, study_id, set(mine["series_id"])):
        problems.note(study_id, "read", f"series {name}: is on disk, but the table of series does not list it")
    return study


def collect_rows(
    competition: Competition,
    split: str,
    descriptions: pd.DataFrame,
    folds: pd.DataFrame,
    rows_of: Callable[[Study, int, int], list[Row]],
    label: str,
    jobs: int = -1,
) -> list[Row]:
    """What `rows_of` says of each study of `folds` (study_id, fold), from the study, its id and its fold.

    `descriptions` are the rows of the split's series table that are read.
    """

    def read(study_id: int, fold: int) -> list[Row]:
        return rows_of(read_study(competition, split, study_id, descriptions, Problems()), study_id, fold)

    tasks = (delayed(read)(row.study_id, row.fold) for row in folds.itertuples())
    parts = Parallel(n_jobs=jobs, return_as="generator")(tasks)
    return [row for part in tqdm(parts, total=len(folds), desc=label, unit="study") for row in part]


def _unlisted(competition: Competition, split: str, study_id: int, listed: set[int]) -> list[str]:
    folder = competition.root / f"{split}_images" / str(study_id)
    names = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return sorted(names - {str(series_id) for series_id in listed})
