"""What a process that grades does: study after study, each noted in the journal before the next is begun."""

import math
import os
import time
import traceback
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from lumbar.data.competition import Competition
from lumbar.data.problems import Problems, is_gpus_fault
from lumbar.data.studies import Done, Study, map_studies
from lumbar.submit.asked import salvage_series_descriptions
from lumbar.submit.chain import Models, explain_gaps, load_models, predict_study
from lumbar.submit.journal import GPU_FAILED, Entry, Job, Journal, rows_of

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
        """How many folds fit for each study that is left: at least one, and none when the time is up."""
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


class _Grading:
    """A job as it goes on: which study is begun, by how many folds it is graded, and what came of it."""

    def __init__(self, job: Job, models: Models, left: Sequence[int]) -> None:
        self.job, self.models, self.left = job, models, left
        self.journal = Journal(job.journal)
        self.budget = Budget(job.deadline or math.inf, len(models.chains))
        self.folds = 0
        self.is_begun = False
        """Whether the journal's last line is of a study that is still being graded."""

    def begin(self) -> Iterator[int]:
        """The studies that are left, each noted as begun before it is read; none when the time is up."""
        for done, study_id in enumerate(self.left):
            self.folds = self.budget.folds_for(len(self.left) - done)
            if not self.folds or _is_abandoned(self.job):
                return
            self.journal.write(Entry(study_id=study_id, finished=False))
            self.is_begun = True
            yield study_id

    def grade(self, study_id: int, study: Study, problems: Problems) -> Entry:
        """A study's predictions, and why cells have none."""
        chains = self.models.chains[: self.folds]
        predictions, _ = predict_study(self.models, chains, study_id, study, problems)
        return Entry(
            study_id=study_id,
            finished=True,
            folds=tuple(chain.fold for chain in chains),
            rows=rows_of(predictions),
            gaps=explain_gaps(self.models, chains, study_id, study, predictions, problems),
        )

    def finish(self, done: Done[Entry]) -> None:
        """Notes what came of a study."""
        seconds = {"reading": round(done.reading, 3), "grading": round(done.working, 3)}
        self.journal.write(done.value.model_copy(update={"problems": done.problems, **seconds}))
        self.is_begun = False
        self.budget.spend(done.reading, done.working, self.folds)


def work_through(job: Job) -> int:
    """Grades the job's studies, and returns the exit status that tells a GPU's failure from a study's."""
    try:
        grade_studies(job)
    except RuntimeError as error:
        if not is_gpus_fault(error):
            raise
        traceback.print_exc()
        return GPU_FAILED
    return 0


def grade_studies(job: Job) -> None:
    """Grades the job's studies that the journal does not hold yet."""
    competition, left = Competition(job.competition), Journal(job.journal).left_to_do(job.study_ids)
    series, _ = salvage_series_descriptions(competition.root / "test_series_descriptions.csv")
    grading = _Grading(job, load_models(job.models), left)
    studies = map_studies(
        competition,
        "test",
        # A supervisor, who sees all processes, has a bar of its own.
        tqdm(grading.begin(), desc="grade studies", total=len(left), unit="study", disable=job.supervisor is not None),
        grading.grade,
        series=series,
        strict=job.strict,
    )
    try:
        for done in studies:
            grading.finish(done)
    except BaseException as error:
        # Not a death that the study could be blamed for.
        if grading.is_begun and (job.strict or isinstance(error, KeyboardInterrupt)):
            grading.journal.withdraw()
        raise


def _is_abandoned(job: Job) -> bool:
    """Whether the supervisor is gone: its death must not leave a process behind."""
    return job.supervisor is not None and os.getppid() != job.supervisor
