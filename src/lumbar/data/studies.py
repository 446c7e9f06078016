"""A study's series, read with what is missing or broken left out and noted; and the one loop over studies."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Generic, TypeVar

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lumbar.data.competition import Competition
from lumbar.data.problems import HARMLESS, Problem, Problems
from lumbar.labels import plane_of, sequence_of
from lumbar.mri.series import Series, read_series

Study = dict[str, list[Series]]
"""A study's readable series by description."""
OTHER_SERIES = "the study's other series"
"""What is used in place of a series that is absent or cannot be read."""
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Done(Generic[Value]):
    """What came of a study: the value (None where an error was noted instead), the problems, and seconds."""

    study_id: int
    value: Value | None
    problems: tuple[Problem, ...]
    reading: float
    working: float


def map_studies(
    competition: Competition,
    split: str,
    study_ids: Iterable[int],
    work: Callable[[int, Study, Problems], Value],
    label: str = "",
    *,
    series: pd.DataFrame | None = None,
    jobs: int = 1,
    strict: bool = False,
    stage: tuple[str, str] = ("read", "nothing"),
) -> Iterator[Done[Value]]:
    """Reads study after study, does the work on each, and yields what came of it, in the order of the ids.

    `work` gets the id, the study and a list for problems. `series` are the rows of the split's series table that are
    read, by default all; a `label` shows a progress bar. With several `jobs` processes read and work, and the ids are
    taken ahead; with one, an id is taken when the study before it is done. An error of the work is noted as one of the
    `stage` (its name, and what is used instead); `strict` raises it, and any of reading.
    """
    table = competition.series(split) if series is None else series
    rows_of = dict(list(table.groupby("study_id")))
    tasks = (
        (competition, split, study_id, rows_of.get(study_id, table.iloc[:0]), work, stage, strict)
        for study_id in study_ids
    )
    done = (
        (_do(*task) for task in tasks)
        if jobs == 1
        else Parallel(n_jobs=jobs, return_as="generator")(delayed(_do)(*task) for task in tasks)
    )
    total = len(study_ids) if isinstance(study_ids, Sized) else None
    yield from tqdm(done, total=total, desc=label, unit="study", disable=not label)


def _do(
    competition: Competition,
    split: str,
    study_id: int,
    series: pd.DataFrame,
    work: Callable[[int, Study, Problems], Value],
    stage: tuple[str, str],
    strict: bool,
) -> Done[Value]:
    problems, value, started = Problems(strict), None, time.monotonic()
    study = read_study(competition, split, study_id, series, problems)
    read = time.monotonic()
    with problems.survive(study_id, *stage):
        value = work(study_id, study, problems)
    return Done(study_id, value, tuple(problems.found), read - started, time.monotonic() - read)


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
        with problems.survive(study_id, "read", OTHER_SERIES):
            series = read_series(directory, plane_of(description), sequence_of(description))
            study.setdefault(description, []).append(series)
            note_series(study_id, series, problems)
    for name in _unlisted(competition, split, study_id, set(mine["series_id"])):
        problems.note(study_id, "read", f"series {name}: is on disk, but the table of series does not list it")
    return study


def note_series(study_id: int, series: Series, problems: Problems) -> None:
    """Notes what was odd about a series that was read."""
    for message in series.problems:
        problems.note(study_id, "read", message)
    for message in series.remarks:
        problems.note(study_id, "read", message, HARMLESS)


def series_by_id(study: Study) -> dict[int, Series]:
    """A study's series by their id."""
    return {series.series_id: series for group in study.values() for series in group}


def count_lost_series(problems: Iterable[Problem]) -> list[str]:
    """A sentence on the series that are absent or could not be read, or none where there is no such series."""
    lost = [problem for problem in problems if problem.stage == "read" and problem.instead == OTHER_SERIES]
    if not lost:
        return []
    studies = len({problem.study_id for problem in lost})
    return [f"{len(lost)} series of {studies} studies are absent or cannot be read, the first: {lost[0].message}"]


def _unlisted(competition: Competition, split: str, study_id: int, listed: set[int]) -> list[str]:
    folder = competition.root / f"{split}_images" / str(study_id)
    names = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return sorted(names - {str(series_id) for series_id in listed})
