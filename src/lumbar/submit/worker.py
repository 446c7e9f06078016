"""The process that grades: study after study, each noted in the journal before the next is begun.

`python -m lumbar.submit.worker job.json` is what the supervisor starts.
"""

import logging
import math
import os
import sys
import time
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from lumbar.data.competition import Competition, salvage_series_descriptions
from lumbar.data.problems import Problems
from lumbar.data.studies import read_study
from lumbar.submit.chain import Models, explain_gaps, load_models, predict_study
from lumbar.submit.journal import Entry, Journal, rows_of


class Job(BaseModel):
    """What to predict, with what, until when, and where to note it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


MARGIN = 1.15
"""The studies that are left are taken to be this much slower than those so far."""


class Budget:
    """The time until a deadline (seconds since the epoch), shared among the studies that are left.

    A study costs its reading once and its grading once for each fold; both are the means of what was measured.
    """

    def __init__(self, deadline: float, folds: int) -> None:
        self.deadline, self.folds = deadline, folds
        self.studies, self.reading, self.gradings, self.grading = 0, 0.0, 0, 0.0

    def folds_for(self, studies_left: int) -> int:
        """As many folds as fit for each study that is left, but at least one, and none when the time is up."""
        left = self.deadline - time.time()
        if left <= 0:
            return 0
        if not self.gradings or math.isinf(left):
            return self.folds
        reading, grading = self.reading / self.studies, self.grading / self.gradings
        affordable = (left / (studies_left * MARGIN) - reading) / max(grading, 1e-9)
        return int(min(max(affordable, 1), self.folds))

    def spend(self, reading: float, grading: float, folds: int) -> None:
        """Notes the seconds that a study took."""
        self.studies += 1
        self.reading += reading
        self.gradings += folds
        self.grading += grading


def grade_studies(job: Job) -> None:
    """Grades the job's studies that the journal does not hold yet."""
    journal, competition = Journal(job.journal), Competition(job.competition)
    descriptions, _ = salvage_series_descriptions(competition.root / "test_series_descriptions.csv")
    models = load_models(job.models)
    budget = Budget(job.deadline or math.inf, len(models.chains))
    left = journal.left_to_do(job.study_ids)
    for done, study_id in enumerate(tqdm(left, desc="grade studies", unit="study")):
        folds = budget.folds_for(len(left) - done)
        if not folds or _is_abandoned(job):
            return
        journal.write(Entry(study_id=study_id, finished=False))
        try:
            entry = _grade_study(job, competition, descriptions, models, folds, study_id)
        except BaseException as error:
            if job.strict or isinstance(error, KeyboardInterrupt):  # no death that the study could be blamed for
                journal.withdraw()
            raise
        journal.write(entry)
        budget.spend(entry.reading, entry.grading, folds)


def _is_abandoned(job: Job) -> bool:
    """Whether the supervisor is gone: its death must not leave a process behind."""
    return job.supervisor is not None and os.getppid() != job.supervisor


def _grade_study(
    job: Job, competition: Competition, descriptions: pd.DataFrame, models: Models, folds: int, study_id: int
) -> Entry:
    problems = Problems(job.strict)
    started = time.monotonic()
    study = read_study(competition, "test", study_id, descriptions, problems)
    read = time.monotonic()
    chains = models.chains[:folds]
    predictions = predict_study(models, chains, study_id, study, problems)
    gaps = explain_gaps(models, chains, study_id, study, predictions, problems)
    return Entry(
        study_id=study_id,
        finished=True,
        folds=tuple(chain.fold for chain in chains),
        rows=rows_of(predictions),
        gaps=gaps,
        problems=tuple(problems.found),
        reading=round(read - started, 3),
        grading=round(time.monotonic() - read, 3),
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    grade_studies(Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8")))
