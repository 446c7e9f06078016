"""The detect stage: a detector for each fold, and the points of the studies that it has not seen."""

import shutil
from pathlib import Path

import pandas as pd

from lumbar.data.annotations import annotated_points, read_annotated
from lumbar.data.points import read_points
from lumbar.data.problems import Problems, problem_table
from lumbar.data.tables import write_table
from lumbar.detect.detector import Detector
from lumbar.detect.evaluate import find_contradicted, measure_errors, summarise_errors
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.points import locate_studies
from lumbar.detect.train import train_detector
from lumbar.detect.training_set import write_training_set
from lumbar.errors import InputError
from lumbar.report.points import draw_points
from lumbar.run.checkpoint import Card, current_commit, is_current, save_checkpoint
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, hash_files, hash_sources, run_stage, stamped, wait_for


def run_detect(run: Run) -> None:
    """Writes the detectors, and into `detect/` the out-of-fold points, their errors, the problems and a picture."""
    run_stage("detect", run.folder / "detect", detectors_made_from(run), lambda: _detect(run))


def detectors_made_from(run: Run) -> str:
    """The fingerprint of all that the detectors are made from: code, data, folds, config, seed and first weights."""
    config = run.config.detect
    return fingerprint(
        code=hash_sources("detect"),
        data=run.data_fingerprint,
        detect=config.model_dump(exclude={"weights"}),  # what they hold counts, not where they lie
        weights=hash_files(config.weights) if config.weights else None,
        seed=run.config.seed,
    )


def _detect(run: Run) -> None:
    for fold in run.fold_numbers:
        if run.part.includes(fold):
            _train_fold(run, fold)
            _locate_fold(run, fold)
    wait_for("detect", [f"fold {fold}" for fold in run.fold_numbers if not _is_done(run, fold)])
    folder, parts = run.folder / "detect", [_folder_of(run, fold) for fold in run.fold_numbers]
    points = pd.concat([read_points(part / "points.csv") for part in parts], ignore_index=True)
    problems = [pd.read_csv(part / "problems.csv", dtype=str, keep_default_na=False) for part in parts]
    errors = measure_errors(_annotated(run), points)
    write_table(points, folder / "points.csv")
    write_table(pd.concat(problems, ignore_index=True), folder / "problems.csv")
    write_table(errors, folder / "errors.csv")
    write_table(summarise_errors(errors), folder / "summary.csv")
    draw_points(run.competition, points, folder / "points.png")


def _folder_of(run: Run, fold: int) -> Path:
    """Where a fold's points lie: a fold that is finished stays so, here and where its folder is copied to."""
    return run.folder / "detect" / f"fold{fold}"


def _stem_of(run: Run, fold: int) -> Path:
    return run.models / f"detector_fold{fold}"


def _fold_made_from(run: Run, fold: int) -> str:
    return fingerprint(stage=detectors_made_from(run), fold=fold)


def _is_done(run: Run, fold: int) -> bool:
    made_from = _fold_made_from(run, fold)
    return is_current(_stem_of(run, fold), made_from) and stamped(_folder_of(run, fold)) == made_from


def _locate_fold(run: Run, fold: int) -> None:
    """Writes the points of a fold's studies by the detector that has not seen them, unless they are there already."""
    folder = _folder_of(run, fold)

    def locate() -> None:
        detector = Detector.load(_stem_of(run, fold))
        problems = Problems()
        points = locate_studies(detector, run.competition, run.studies_of(fold), fold, problems)
        write_table(points, folder / "points.csv")
        write_table(problem_table(problems.found), folder / "problems.csv")

    run_stage(f"detect: fold {fold}", folder, _fold_made_from(run, fold), locate)


def _annotated(run: Run) -> pd.DataFrame:
    """The annotated points, which are read from the images once."""
    folder = run.folder / "detect" / "annotated"

    def write() -> None:
        write_table(annotated_points(run.competition, run.folds), folder / "points.csv")

    run_stage("detect: annotated points", folder, detectors_made_from(run), write)
    return read_annotated(folder / "points.csv")


def _training_images(run: Run) -> pd.DataFrame:
    """study_id and image of the training set, which is written once for all folds."""
    folder = run.folder / "detect" / "training_set"

    def write() -> None:
        write_table(write_training_set(run.competition, run.config.detect, folder), folder / "images.csv")

    run_stage("detect: training set", folder, detectors_made_from(run), write)
    return pd.read_csv(folder / "images.csv", dtype={"image": str})


def _paths(run: Run, images: pd.DataFrame) -> list[Path]:
    return [run.folder / "detect" / "training_set" / "images" / f"{name}.png" for name in images["image"]]


def _audit(run: Run, fold: int, images: pd.DataFrame) -> list[int]:
    """The studies outside a fold that are not to be trained on, see `audit.find_contradicted`."""
    config = run.config.detect
    if config.audit_parts is None:
        return []
    folder, made_from = _folder_of(run, fold) / "audit", _fold_made_from(run, fold)

    def points_by_others(part: int, seen: list[int], unseen: list[int]) -> pd.DataFrame:
        """The points of unseen studies by a detector of the seen ones, kept for when training goes on."""
        here = folder / f"part{part}"

        def locate() -> None:
            paths = _paths(run, images[images["study_id"].isin(seen)])
            label, work = f"detect: audit fold {fold}, part {part}", here / f"training_{made_from}"
            detector = Detector.of_state(train_detector(config, paths, work, run.config.seed + fold, label), config)
            shutil.rmtree(work)
            write_table(locate_studies(detector, run.competition, unseen, fold, Problems()), here / "points.csv")

        run_stage(f"detect: audit fold {fold}, part {part}", here, made_from, locate)
        return read_points(here / "points.csv")

    annotated = _annotated(run)
    annotated = annotated[annotated["study_id"].isin(images["study_id"])]
    if annotated["study_id"].nunique() < config.audit_parts:
        return []
    return find_contradicted(annotated, config.audit_parts, run.config.seed, points_by_others)


def _train_fold(run: Run, fold: int) -> None:
    """Trains the detector of a fold on the other folds' images, unless it is there already."""
    stem, made_from = _stem_of(run, fold), _fold_made_from(run, fold)
    if is_current(stem, made_from):
        return
    images = _training_images(run)
    chosen = images[~images["study_id"].isin(run.studies_of(fold))]
    if chosen.empty:
        raise InputError(f"{run.competition.root}: no annotated study outside fold {fold} to train a detector on")
    contradicted = _audit(run, fold, chosen)
    chosen = chosen[~chosen["study_id"].isin(contradicted)]
    folder, seed = run.folder / "detect", run.config.seed + fold
    work = folder / f"training_fold{fold}_{made_from}"
    state = train_detector(run.config.detect, _paths(run, chosen), work, seed, f"detect: train fold {fold}")
    card = Card(
        kind="detector",
        classes=CLASS_NAMES,
        fold=fold,
        config=run.config.detect.model_dump(mode="json"),
        seed=seed,
        fingerprint=made_from,
        training_studies=int(chosen["study_id"].nunique()),
        commit=current_commit(),
        details={"images": len(chosen), "contradicted": contradicted},
    )
    save_checkpoint(stem, state, card)
    for leftover in folder.glob(f"training_fold{fold}_*"):
        shutil.rmtree(leftover)
