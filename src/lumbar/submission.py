"""Prediction of studies nobody has seen: every fold's chain of detector, crops and graders, averaged.

The same code serves `make submission` and the Kaggle kernel. A chain is what predicted its own fold in
cross-validation, so the two agree.
"""

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbar.config import Config
from lumbar.crop.points import clustered_points
from lumbar.crop.store import open_crops, write_crops
from lumbar.dataset import Competition, no_predictions, split_row_ids
from lumbar.detect.detector import Detector
from lumbar.detect.points import locate_studies
from lumbar.ensemble import average_folds
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.labels import CONDITIONS, GRADES, LEVELS
from lumbar.problems import Problem, problem_table
from lumbar.run import Run
from lumbar.stages import Clock, fingerprint, hash_files, run_stage
from lumbar.submit import Completed, complete_rows, write_submission
from lumbar.tables import choice, read_table, real, write_table, write_text

logger = logging.getLogger(__name__)

REPORT = "run_report.json"
"""The report's name, beside the submission."""


def run_submission(run: Run, output: Path) -> dict[str, Any]:
    """`predict_submission` with a run's models, kept while neither they nor the test tables change."""
    folder, root = run.folder / "test", run.competition.root
    cards = hash_files(*sorted([*run.models.glob("*.json"), run.models / "prior.csv"]))
    tables = hash_files(root / "sample_submission.csv", root / "test_series_descriptions.csv")
    made_from = fingerprint(cards=cards, tables=tables)
    kept = folder / "submission.csv"
    run_stage("submission", folder, made_from, lambda: predict_submission(run.models, run.competition, folder, kept))
    report = kept.with_name(REPORT).read_text(encoding="utf-8")
    write_text(kept.read_text(encoding="utf-8"), output)
    write_text(report, output.with_name(REPORT))
    return json.loads(report)


def predict_submission(models: Path, competition: Competition, work: Path, output: Path) -> dict[str, Any]:
    """Writes the submission for a competition's test studies, and a report of what happened beside it.

    `models` is a run's `models` folder, or a bundle's; `work` is a scratch folder. Returns the report.
    """
    config = Config.model_validate_json((models / "config.json").read_text(encoding="utf-8"))
    row_ids = competition.sample_submission["row_id"].tolist()
    study_ids = split_row_ids(pd.Series(row_ids, dtype=str))["study_id"].unique().tolist() if row_ids else []
    predictions, problems, seconds = _predict(models, competition, study_ids, config, work)
    completed = complete_rows(predictions, row_ids, read_prior(models / "prior.csv"), config.submit.floor)
    write_submission(completed, output)
    report = _report(completed, study_ids, problems, seconds)
    write_text(json.dumps(report, indent=2) + "\n", output.with_name(REPORT))
    return report


def read_prior(path: Path) -> pd.DataFrame:
    """The prior as `priors.fit_prior` gave it."""
    columns = [choice("condition", CONDITIONS), choice("level", LEVELS), *(real(grade) for grade in GRADES)]
    return read_table(path, columns, unique=["condition", "level"])


def find_folds(models: Path, kind: str) -> list[int]:
    """The folds that have a model of a kind: `detector` or a condition group."""
    names = (re.fullmatch(rf"{kind}_fold(\d+)", path.stem) for path in models.glob("*.json"))
    return sorted(int(match.group(1)) for match in names if match)


def _predict(
    models: Path, competition: Competition, study_ids: list[int], config: Config, work: Path
) -> tuple[pd.DataFrame, list[Problem], dict[str, float]]:
    """Every fold's predictions, averaged; a row that no chain could grade is not among them."""
    folds = find_folds(models, "detector")
    if not folds:
        raise FileNotFoundError(f"{models}: there is no detector; train one first (make cv)")
    parts: list[pd.DataFrame] = []
    problems: list[Problem] = []
    clock = Clock()
    for fold in folds:
        graded, unread = _run_chain(models, competition, study_ids, config, work, fold, clock)
        parts += graded
        problems += [problem for problem in unread if problem not in problems]
    predictions = pd.concat(parts, ignore_index=True) if parts else no_predictions()
    write_table(predictions, work / "predictions.csv")
    return average_folds(predictions), problems, clock.seconds


def _run_chain(
    models: Path, competition: Competition, study_ids: list[int], config: Config, work: Path, fold: int, clock: Clock
) -> tuple[list[pd.DataFrame], list[Problem]]:
    """One fold's detector, crops and graders. Its points stay in `work`; its crops, which are large, do not."""
    with clock.time("detect"):
        detector = Detector.load(models / f"detector_fold{fold}")
        points, problems = locate_studies(detector, competition, "test", study_ids, fold)
        if config.crop.points == "clustered":
            points = clustered_points(competition, "test", pd.DataFrame({"study_id": study_ids, "fold": fold}))
        write_table(points, work / f"points_fold{fold}.csv")
    with clock.time("crop"):
        write_crops(competition, "test", points, config.crop, work / "crop")
    with clock.time("grade"):
        groups = [group for group in config.grade.cells.graders if fold in find_folds(models, group)]
        graded = [_grade(models, work, group, fold) for group in groups]
    shutil.rmtree(work / "crop")
    return graded, problems


def _grade(models: Path, work: Path, group: str, fold: int) -> pd.DataFrame:
    crops = open_crops(work / "crop", group)
    grader, config = load_grader(models / f"{group}_fold{fold}")
    return predict_grades(grader, config, crops, np.arange(len(crops.index)))


def _report(
    completed: Completed, study_ids: list[int], problems: list[Problem], seconds: dict[str, float]
) -> dict[str, Any]:
    return {
        "studies": len(study_ids),
        "rows": len(completed.predictions),
        "rows_from_prior": len(completed.fallback),
        "fallback": completed.fallback,
        "problems": problem_table(problems).to_dict("records"),
        "seconds": seconds,
    }


def format_report(report: dict[str, Any]) -> str:
    """The report in a few lines."""
    lines = [f"{report['rows']} rows of {report['studies']} studies in {sum(report['seconds'].values()):.0f} s"]
    lines.append(f"{report['rows_from_prior']} rows fell back on the prior")
    lines += [f"  study {item['study_id']}, {item['stage']}: {item['message']}" for item in report["problems"][:10]]
    if len(report["problems"]) > 10:
        lines.append(f"  ... and {len(report['problems']) - 10} more, all in run_report.json")
    return "\n".join(lines)
