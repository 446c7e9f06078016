"""What a submission is asked for. Nothing in its tables is an error: what is wrong with a row is told."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lumbar.data.competition import ROW_ID_PARTS, SERIES_COLUMNS, Competition
from lumbar.data.problems import Problem
from lumbar.data.tables import salvage_column, salvage_table
from lumbar.errors import printable
from lumbar.labels import CELLS


@dataclass(frozen=True)
class Asked:
    """The rows of the submission in their order, the studies they name, and what the tables had wrong."""

    row_ids: tuple[str, ...]
    study_ids: tuple[int, ...]
    problems: tuple[Problem, ...]


def read_asked(competition: Competition) -> Asked:
    """Reads `sample_submission.csv` and `test_series_descriptions.csv`; nothing in them is an error here."""
    row_ids, wrong_rows = salvage_row_ids(competition.root / "sample_submission.csv")
    series, wrong_series = salvage_series_descriptions(competition.root / "test_series_descriptions.csv")
    study_ids = _studies_in(row_ids)
    problems = [Problem(None, "read", message, "the rows as they stand there") for message in wrong_rows]
    problems += [Problem(None, "read", message, "the rows that can be read") for message in wrong_series]
    problems += [
        Problem(study_id, "read", "the table of series lists it, but no row of the submission asks for it")
        for study_id in sorted(set(series["study_id"]) - set(study_ids))
    ]
    return Asked(tuple(row_ids), study_ids, tuple(problems))


def _studies_in(row_ids: list[str]) -> tuple[int, ...]:
    """The studies that well-formed row ids name, in order."""
    named = pd.Series(row_ids, dtype=str).str.extract(ROW_ID_PARTS)["study_id"].dropna()
    return tuple(named.astype("int64").unique().tolist())


def salvage_series_descriptions(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The good rows of a series table, as `read_series_descriptions` gives them, and in words what is wrong with it."""
    return salvage_table(path, SERIES_COLUMNS, unique=["study_id", "series_id"])


def salvage_row_ids(path: Path) -> tuple[list[str], list[str]]:
    """Every row id that a sample submission asks for, in its order and untouched, and what is wrong with it in words.

    Ids of another form and repeated ones are among them: a submission must have the rows that are asked for.
    """
    rows, messages = salvage_column(path, "row_id")
    seen: set[str] = set()
    odd: dict[str, list[str]] = {}
    for line, row_id in rows:
        if not re.match(ROW_ID_PARTS, row_id):
            study = printable(re.sub(f"_({'|'.join(CELLS)})$", "", row_id))
            odd.setdefault(f"of study '{study}', expected <study_id>_<condition>_<level>", []).append(f"line {line}")
        elif row_id in seen:
            odd.setdefault(f"'{row_id}' stands there already", []).append(f"line {line}")
        seen.add(row_id)
    for what, lines in odd.items():
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        messages.append(f"{path}: column 'row_id', {lines[0]}: {what}{more}")
    return [row_id for _, row_id in rows], messages
