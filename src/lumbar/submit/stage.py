"""The submit stage: a run's models on the test studies of its own data folder."""

import json
import shutil
from pathlib import Path
from typing import Any

from lumbar.config import read_saved_config
from lumbar.data.competition import Competition
from lumbar.data.priors import PRIOR_FILE, read_prior
from lumbar.data.problems import Problem
from lumbar.records import write_text
from lumbar.run.code import hash_code
from lumbar.run.remarks import remarks_on
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, hash_files, hash_listing, run_stage
from lumbar.submit.asked import read_asked
from lumbar.submit.journal import Job, Journal
from lumbar.submit.results import REPORT, write_results
from lumbar.submit.worker import grade_studies


def run_submit(run: Run, output: Path, strict: bool = False) -> dict[str, Any]:
    """`predict_submission` with a run's models, kept while neither they nor the test tables or images change.

    `strict` keeps nothing: what was finished before may hide an error.
    """
    folder, root = run.folder / "submit", run.competition.root
    origin = fingerprint(
        code=hash_code("submit.worker", "submit.results"),
        models=hash_files(*sorted([*run.models.glob("*.json"), run.models / PRIOR_FILE])),
        tables=hash_files(root / "sample_submission.csv", root / "test_series_descriptions.csv"),
        images=hash_listing(root / "test_images"),
    )
    kept = folder / "submission.csv"

    def predict() -> list[str]:
        for other in folder.glob("*/"):  # journals of other models or images, which nobody will go on with
            if other.name != origin.key:
                shutil.rmtree(other)
        report = predict_submission(run.models, run.competition, folder / origin.key, kept, strict)
        problems = [Problem(**problem) for problem in report["problems"]]
        return [*remarks_on(problems), *([report["warning"]] if report["warning"] else [])]

    with run.held():
        if strict:
            shutil.rmtree(folder, ignore_errors=True)
        run_stage("submit", folder, origin, predict)
        report = kept.with_name(REPORT).read_text(encoding="utf-8")
        write_text(kept.read_text(encoding="utf-8"), output)
        write_text(report, output.with_name(REPORT))
    return json.loads(report)


def predict_submission(
    models: Path, competition: Competition, work: Path, output: Path, strict: bool = False
) -> dict[str, Any]:
    """Writes the submission for a competition's test studies, and a report of what happened beside it.

    `models` is a run's `models` folder; `work` holds the journal from which an interrupted prediction goes on.
    `strict` raises a study's error. Returns the report.
    """
    work.mkdir(parents=True, exist_ok=True)
    journal, asked = work / "journal.jsonl", read_asked(competition)
    grade_studies(
        Job(models=models, competition=competition.root, study_ids=asked.study_ids, journal=journal, strict=strict)
    )
    floor = read_saved_config(models / "config.json").submit.floor
    noted = Journal(journal)
    return write_results(noted.finished(), noted.fatal(), asked, read_prior(models / PRIOR_FILE), floor, output)
