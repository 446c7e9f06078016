"""The detect stage: a detector for each fold, and the points of the studies that it has not seen."""

import pandas as pd

from lumbar.checkpoint import Card, current_commit, is_current, save_checkpoint
from lumbar.detect.detector import Detector
from lumbar.detect.evaluate import measure_errors, summarise_errors
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.picture import draw_points
from lumbar.detect.points import locate_studies
from lumbar.detect.train import train_detector
from lumbar.detect.training_set import write_training_set
from lumbar.errors import InputError
from lumbar.problems import Problems, problem_table
from lumbar.run import Run
from lumbar.stages import fingerprint, hash_files, hash_sources, run_stage
from lumbar.tables import write_table


def run_detect(run: Run) -> None:
    """Writes the detectors, and into `detect/` the out-of-fold points, their errors, the problems and a picture."""
    run_stage("detect", run.folder / "detect", _made_from(run), lambda: _detect(run))


def _made_from(run: Run) -> str:
    config = run.config.detect
    return fingerprint(
        code=hash_sources("detect"),
        data=run.data_fingerprint,
        detect=config.model_dump(),
        weights=hash_files(config.weights) if config.weights else None,
        seed=run.config.seed,
    )


def _detect(run: Run) -> None:
    folder = run.folder / "detect"
    images = write_training_set(run.competition, run.config.detect, folder)
    tables: list[pd.DataFrame] = []
    problems = Problems()
    for fold in run.fold_numbers:
        _train_fold(run, images, fold)
        detector = Detector.load(run.models / f"detector_fold{fold}")
        tables.append(locate_studies(detector, run.competition, run.studies_of(fold), fold, problems))
    points = pd.concat(tables, ignore_index=True)
    errors = measure_errors(run.competition, points)
    write_table(points, folder / "points.csv")
    write_table(problem_table(problems.found), folder / "problems.csv")
    write_table(errors, folder / "errors.csv")
    write_table(summarise_errors(errors), folder / "summary.csv")
    draw_points(run.competition, points, folder / "points.png")


def _train_fold(run: Run, images: pd.DataFrame, fold: int) -> None:
    """Trains the detector of a fold on the other folds' images, unless it is there already."""
    stem, made_from = run.models / f"detector_fold{fold}", fingerprint(stage=_made_from(run), fold=fold)
    if is_current(stem, made_from):
        return
    chosen = images[~images["study_id"].isin(run.studies_of(fold))]
    if chosen.empty:
        raise InputError(f"{run.competition.root}: no annotated study outside fold {fold} to train a detector on")
    folder, seed = run.folder / "detect", run.config.seed + fold
    paths = [folder / "images" / f"{name}.png" for name in chosen["image"]]
    state = train_detector(
        run.config.detect, paths, folder / f"training_fold{fold}", seed, f"detect: train fold {fold}"
    )
    card = Card(
        kind="detector",
        classes=CLASS_NAMES,
        fold=fold,
        config=run.config.detect.model_dump(mode="json"),
        seed=seed,
        fingerprint=made_from,
        training_studies=int(chosen["study_id"].nunique()),
        commit=current_commit(),
        details={"images": len(paths)},
    )
    save_checkpoint(stem, state, card)
