"""What a worker is told, and what it has finished so far: a process that dies loses one study, not all.

The journal is a line of JSON for each study. Nothing here needs torch: who watches a worker must survive it.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import Field, ValidationError

from lumbar.data.competition import no_predictions
from lumbar.data.problems import Problem
from lumbar.labels import GRADES
from lumbar.records import Record, write_text

ATTEMPTS = 2
"""A study during which the process died is tried once more, after all others."""


GPU_FAILED = 75
"""The exit status of a worker whose GPU has failed."""


class Job(Record):
    """What to predict, with what, until when, and where to note it."""

    models: Path
    competition: Path
    study_ids: tuple[int, ...]
    journal: Path
    deadline: float | None = None
    """Seconds since the epoch at which grading stops; nothing grades to the end."""
    strict: bool = False
    """Raise a study's error instead of going on with the next."""
    supervisor: int | None = None
    """The process without which this one has nobody to work for."""


class Entry(Record):
    """A study that was started, and, unless the process died on the way, what came of it."""

    study_id: int
    finished: bool
    folds: tuple[int, ...] = ()
    """The folds that graded it."""
    rows: tuple[tuple[str, float, float, float], ...] = ()
    gaps: dict[str, str] = Field(default_factory=dict)
    """Why a cell has no prediction, by its column in `train.csv`."""
    problems: tuple[Problem, ...] = ()
    reading: float = 0.0
    """Seconds."""
    grading: float = 0.0
    """Seconds."""


class Journal:
    """The entries in a file, in the order in which they came about."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, entry: Entry) -> None:
        """Appends an entry, at once and whole, on a line of its own also after one that its writer did not finish."""
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
            gap = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(gap + entry.model_dump_json().encode() + b"\n")

    def withdraw(self) -> None:
        """Takes the last entry back: its study was begun, and left for another reason than the process's death."""
        write_text("".join(f"{line}\n" for line in self._lines()[:-1]), self.path)

    def read(self) -> list[Entry]:
        """The entries so far. A line that is not whole, since its writer died, is left out."""
        if not self.path.is_file():
            return []
        entries = (_parse(line) for line in self._lines())
        return [entry for entry in entries if entry is not None]

    def _lines(self) -> list[str]:
        # Not `splitlines`: JSON leaves other line ends in a text as they are.
        return self.path.read_text(encoding="utf-8").rstrip("\n").split("\n")

    def finished(self) -> dict[int, Entry]:
        """The studies that were finished."""
        return {entry.study_id: entry for entry in self.read() if entry.finished}

    def fatal(self, in_progress: bool = False) -> Counter[int]:
        """How often the process died during a study that is still not finished.

        Where grading is `in_progress`, or was ended by the clock, a study that was begun last is no death.
        """
        entries = self.read()
        if in_progress and entries and not entries[-1].finished:
            entries = entries[:-1]
        done = {entry.study_id for entry in entries if entry.finished}
        return Counter(entry.study_id for entry in entries if entry.study_id not in done)

    def left_to_do(self, study_ids: Sequence[int]) -> list[int]:
        """The studies to grade, in order; those that the process died of come last, and are given up in the end."""
        done, fatal = self.finished(), self.fatal()
        left = [study_id for study_id in study_ids if study_id not in done and fatal[study_id] < ATTEMPTS]
        return sorted(left, key=lambda study_id: fatal[study_id])


def _parse(line: str) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except ValidationError:
        return None


def rows_of(predictions: pd.DataFrame) -> tuple[tuple[str, float, float, float], ...]:
    """A table in submission format as an entry's rows."""
    return tuple(predictions[["row_id", *GRADES]].itertuples(index=False, name=None))


def predictions_of(entries: Sequence[Entry]) -> pd.DataFrame:
    """The rows of entries as a table in submission format."""
    rows = [row for entry in entries for row in entry.rows]
    return pd.DataFrame(rows, columns=["row_id", *GRADES]) if rows else no_predictions()
