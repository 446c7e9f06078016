"""A study's series, read with what is missing or broken left out and noted; and the one loop over studies."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lumbar.data.competition import Competition
from lumbar.data.points import Point, points_table
from lumbar.data.problems import HARMLESS, Problem, Problems
from lumbar.errors import printable
from lumbar.labels import plane_of, sequence_of
from lumbar.machine import processes
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
    value: Value
    problems: tuple[Problem, ...]
    reading: float
    working: float


def map_studies(
    competition: Competition,
    split: str,
    study_ids: Iterable[int],
    work: Callable[..., Value],
    label: str = "",
    *,
    series: pd.DataFrame | None = None,
    only: Collection[int] | None = None,
    jobs: int = 1,
    strict: bool = False,
    given: Mapping[int, Any] | None = None,
    stage: tuple[str, str] | None = None,
) -> Iterator[Done[Value]]:
    """Reads study after study, does the work on each, and yields what came of it, in the order of the ids.

    `work` gets the id, the study and a list for problems, and as `given` what is given for the study, if anything is.
    `series` is the split's series table where it has been read already; of its series all are read, or `only` some. A
    `label` shows a progress bar.
    With several `jobs`, counted by `machine.processes`, as many processes read and work, and the ids are taken ahead;
    with one, an id is taken when the study before it is done. An error of reading is noted. One of the work is raised,
    unless there is a `stage` (its name, and what is used instead) to note it as one of. `strict` raises both.
    """
    table = competition.series(split) if series is None else series
    rows_of, wanted = dict(list(table.groupby("study_id"))), None if only is None else set(only)
    tasks = (
        (
            (competition, split, study_id, *_split_rows(rows_of.get(study_id, table.iloc[:0]), wanted)),
            work if given is None else partial(work, given=given[study_id]),
            stage,
            strict,
        )
        for study_id in study_ids
    )
    done = (
        (_do(*task) for task in tasks)
        if (count := processes(jobs)) == 1
        else Parallel(n_jobs=count, return_as="generator")(delayed(_do)(*task) for task in tasks)
    )
    total = len(study_ids) if isinstance(study_ids, Sized) else None
    yield from tqdm(done, total=total, desc=label, unit="study", disable=not label)


def _split_rows(rows: pd.DataFrame, wanted: set[int] | None) -> tuple[pd.DataFrame, set[int]]:
    """The rows of the series that are read, and the ids of all."""
    return rows if wanted is None else rows[rows["series_id"].isin(wanted)], set(rows["series_id"])


def _do(
    reading: tuple[Competition, str, int, pd.DataFrame, set[int]],
    work: Callable[[int, Study, Problems], Value],
    stage: tuple[str, str] | None,
    strict: bool,
) -> Done[Value]:
    value: Any = None
    problems, started = Problems(strict), time.monotonic()
    competition, split, study_id, series, listed = reading
    study = read_study(competition, split, study_id, series, problems, listed)
    read = time.monotonic()
    with problems.survive(study_id, *stage) if stage else nullcontext():
        value = work(study_id, study, problems)
    return Done(study_id, value, tuple(problems.found), read - started, time.monotonic() - read)


def read_study(
    competition: Competition,
    split: str,
    study_id: int,
    descriptions: pd.DataFrame,
    problems: Problems,
    listed: Collection[int] | None = None,
) -> Study:
    """Reads series of a study by description; `descriptions` are their rows of the split's series table, and `listed`
    the ids of all series that the table has of the study, where these are more.

    Notes a problem for each file or series that is left out or odd, also for one that is on disk and not listed, and
    for a folder that cannot be listed.
    """
    listed = set(descriptions["series_id"]) if listed is None else listed
    if not listed:
        problems.note(study_id, "read", "no series is listed for the study", "the prior")
    readers = (
        (description, partial(_read_listed, competition, split, study_id, series_id, description))
        for series_id, description in zip(descriptions["series_id"], descriptions["series_description"], strict=True)
    )
    study = gather_study(study_id, readers, problems)
    for message in _look_for_others(competition.root / f"{split}_images" / str(study_id), listed):
        problems.note(study_id, "read", message)
    return study


def gather_study(study_id: int, readers: Iterable[tuple[str, Callable[[], Series]]], problems: Problems) -> Study:
    """A study's readable series by description, from what reads each; what is odd about them, or not read, is noted."""
    study: Study = {}
    for description, read in readers:
        with problems.survive(study_id, "read", OTHER_SERIES):
            series = read()
            study.setdefault(description, []).append(series)
            for message in series.problems:
                problems.note(study_id, "read", message)
            for message in series.remarks:
                problems.note(study_id, "read", message, HARMLESS)
    return study


def _read_listed(competition: Competition, split: str, study_id: int, series_id: int, description: str) -> Series:
    directory = competition.series_directory(split, study_id, series_id)
    return read_series(directory, plane_of(description), sequence_of(description))


def series_by_id(study: Study) -> dict[int, Series]:
    """A study's series by their id."""
    return {series.series_id: series for group in study.values() for series in group}


def _look_for_others(folder: Path, listed: Collection[int]) -> list[str]:
    """What is to be said of the series in a study's folder that are not among the listed ones."""
    try:
        names = {path.name for path in folder.iterdir() if os.path.isdir(path)}  # noqa: PTH112  # unlike Path's, it raises nothing
    except (FileNotFoundError, NotADirectoryError):
        return []  # each listed series says so
    except OSError as error:
        return [f"{folder}: the study cannot be listed: {error}"]
    others = sorted(names - {str(series_id) for series_id in listed})
    return [f"series {printable(name)}: is on disk, but the table of series does not list it" for name in others]


def collect_points(done: Iterable[Done[list[Point]]]) -> tuple[pd.DataFrame, list[Problem]]:
    """The points that were found in studies, as a table, and what could not be used of them."""
    results = list(done)
    points = points_table(point for result in results for point in result.value or ())
    return points, [problem for result in results for problem in result.problems]
