"""What went wrong with one study, kept for the run's report."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pandas as pd


@dataclass(frozen=True)
class Problem:
    """Something that a stage could not use, and went on without."""

    study_id: int
    stage: str
    message: str


def problem_table(problems: Iterable[Problem]) -> pd.DataFrame:
    """study_id, stage, message."""
    return pd.DataFrame([asdict(problem) for problem in problems], columns=["study_id", "stage", "message"])
