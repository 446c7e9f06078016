"""The process that grades: study after study, each noted in the journal before the next is begun.

`python -m lumbar.predict.worker job.json` is what the supervisor starts.
"""

import logging
import math
import os
import sys
import time
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from lumbar.dataset import Competition, salvage_series_descriptions
from lumbar.predict.budget import Budget
from lumbar.predict.job import Job
from lumbar.predict.journal import Entry, Journal, rows_of
from lumbar.predict.study import Models, explain_gaps, load_models, predict_study
from lumbar.problems import Problems
from lumbar.studies import read_study


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
