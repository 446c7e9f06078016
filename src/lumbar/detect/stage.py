"""The detect stage: a detector for each fold, and the points of the studies that it has not seen."""

import pandas as pd

from lumbar.config import LOOKS_WITH
from lumbar.data.points import read_points
from lumbar.data.problems import problem_table, read_problems
from lumbar.data.tables import write_table
from lumbar.detect.detector import Detector
from lumbar.detect.evaluate import measure_errors, summarise_errors
from lumbar.detect.locate import locate_studies
from lumbar.detect.sides_apart import studies_with_sides_apart
from lumbar.detect.training import (
    annotated_of,
    detector_key,
    detector_stem,
    detectors_made_from,
    fold_folder,
    train_fold,
)
from lumbar.run.checkpoint import is_current
from lumbar.run.code import hash_code
from lumbar.run.remarks import remarks_on
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, expect_trained, fingerprint, run_stage, stamped


def run_detect(run: Run) -> None:
    """Writes the detectors, and into `detect/` the out-of-fold points, their errors and the problems."""
    run_stage("detect", run.folder / "detect", points_made_from(run), lambda: _detect(run))


def points_made_from(run: Run) -> Origin:
    """What the out-of-fold points are made from: the detectors, the code that looks, and how it is to look."""
    looks = run.config.detect.model_dump(include=set(LOOKS_WITH))
    code = hash_code("detect.locate", "detect.evaluate")
    detectors = {f"detectors' {name}": part for name, part in detectors_made_from(run).inputs.items()}
    return fingerprint(code=code, config=looks, folds=run.fold_numbers, **detectors)


def _detect(run: Run) -> list[str]:
    for fold in run.fold_numbers:
        if run.selection.includes(fold):
            train_fold(run, fold)
            _locate_fold(run, fold)
    expect_trained("detect", [f"fold {fold}" for fold in run.fold_numbers if not _is_done(run, fold)])
    folder, folds = run.folder / "detect", [fold_folder(run, fold) for fold in run.fold_numbers]
    points = pd.concat([read_points(fold / "points.csv") for fold in folds], ignore_index=True)
    problems = [problem for fold in folds for problem in read_problems(fold / "problems.csv")]
    annotated = annotated_of(run, run.held_out["study_id"])
    errors = measure_errors(annotated, points)
    write_table(points, folder / "points.csv")
    write_table(problem_table(problems), folder / "problems.csv")
    write_table(errors, folder / "errors.csv")
    write_table(summarise_errors(errors), folder / "summary.csv")
    remarks = [f"{remark} (all in {folder / 'problems.csv'})" for remark in remarks_on(problems)]
    return [*remarks, *_remark_on_annotations(annotated)]


def _remark_on_annotations(annotated: pd.DataFrame) -> list[str]:
    apart = studies_with_sides_apart(annotated)
    if not apart:
        return []
    return [
        f"left and right foramina are annotated a level apart in {len(apart)} of {annotated['study_id'].nunique()} "
        f"studies, the first: {apart[0]}; there half of the points count as missed, wherever they are"
    ]


def _is_done(run: Run, fold: int) -> bool:
    made = stamped(fold_folder(run, fold))
    return is_current(detector_stem(run, fold), detector_key(run, fold)) and made == points_made_from(run)


def _locate_fold(run: Run, fold: int) -> None:
    """Writes the points of a fold's studies by the detector that has not seen them, unless they are there already."""
    folder = fold_folder(run, fold)

    def locate() -> None:
        detector = Detector.load(detector_stem(run, fold), run.config.detect)
        points, problems = locate_studies(detector, run.competition, run.studies_of(fold), fold)
        write_table(points, folder / "points.csv")
        write_table(problem_table(problems), folder / "problems.csv")

    run_stage(f"detect: fold {fold}", folder, points_made_from(run), locate)
