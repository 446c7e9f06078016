"""What a competition's test folder asks for: rows and studies, whatever is wrong with its tables."""

from dataclasses import dataclass

import pandas as pd

from lumbar.dataset import ROW_ID_PARTS, Competition, salvage_row_ids, salvage_series_descriptions
from lumbar.problems import Problem


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
