"""The detect stage: a detector for each fold, and the points of the studies that it has not seen."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lumbar.data.points import Point, points_table, read_points
from lumbar.data.problems import Problem, problem_table, read_problems
from lumbar.data.studies import Study, count_lost_series, map_studies
from lumbar.data.tables import write_table
from lumbar.detect.detector import Detector
from lumbar.detect.evaluate import find_contradicted, measure_errors, summarise_errors
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.locate import locate_study
from lumbar.detect.train import train_detector
from lumbar.detect.training_set import write_training_set
from lumbar.errors import InputError
from lumbar.run.checkpoint import Card, current_commit, is_current, save_checkpoint
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, run_stage, stamped, wait_for

DRAWN_WITH = {"image_size", "mm_per_pixel", "box_mm", "equalise", "every_slice", "background"}
"""The keys of the config that the training images depend on."""
LOOKS_WITH = {"min_confidence", "scales", "axial_tolerance_mm"}
"""The keys that say how a detector that is trained already finds points."""


def run_detect(run: Run) -> None:
    """Writes the detectors, and into `detect/` the out-of-fold points, their errors and the problems."""
    run_stage("detect", run.folder / "detect", points_made_from(run), lambda: _detect(run))


def detectors_made_from(run: Run) -> Origin:
    """What the detectors are made from: code, data, folds, config, seed and first weights."""
    config = run.config.detect
    audit = ("detect.locate", "detect.evaluate") if config.audit_parts else ()
    return fingerprint(
        code=hash_code("detect.train", "detect.training_set", *audit),
        data=run.data_fingerprint,
        # What the weights hold counts, not where they lie. An audit looks as the detectors do that come of it.
        config=config.model_dump(exclude={"weights"} if audit else {"weights", *LOOKS_WITH}),
        weights=hash_files(config.weights) if config.weights else None,
        seed=run.config.seed,
    )


def points_made_from(run: Run) -> Origin:
    """What the out-of-fold points are made from: the detectors, the code that looks, and how it is to look."""
    looks = run.config.detect.model_dump(include=LOOKS_WITH)
    code = hash_code("detect.locate", "detect.evaluate")
    detectors = {f"detectors' {name}": part for name, part in detectors_made_from(run).inputs.items()}
    return fingerprint(code=code, config=looks, **detectors)


def _detect(run: Run) -> list[str]:
    for fold in run.fold_numbers:
        if run.selection.includes(fold):
            _train_fold(run, fold)
            _locate_fold(run, fold)
    wait_for("detect", [f"fold {fold}" for fold in run.fold_numbers if not _is_done(run, fold)])
    folder, folds = run.folder / "detect", [_folder_of(run, fold) for fold in run.fold_numbers]
    points = pd.concat([read_points(fold / "points.csv") for fold in folds], ignore_index=True)
    problems = [problem for fold in folds for problem in read_problems(fold / "problems.csv")]
    errors = measure_errors(_annotated(run), points)
    write_table(points, folder / "points.csv")
    write_table(problem_table(problems), folder / "problems.csv")
    write_table(errors, folder / "errors.csv")
    write_table(summarise_errors(errors), folder / "summary.csv")
    return [f"{remark} (all in {folder / 'problems.csv'})" for remark in count_lost_series(problems)]


def _folder_of(run: Run, fold: int) -> Path:
    """Where a fold's points lie: a fold that is finished stays so, here and where its folder is copied to."""
    return run.folder / "detect" / f"fold{fold}"


def _stem_of(run: Run, fold: int) -> Path:
    return run.models / f"detector_fold{fold}"


def _detector_made_from(run: Run, fold: int) -> str:
    return fingerprint(detectors=detectors_made_from(run).key, fold=fold).key


def _is_done(run: Run, fold: int) -> bool:
    made = stamped(_folder_of(run, fold))
    return is_current(_stem_of(run, fold), _detector_made_from(run, fold)) and made == points_made_from(run)


def _locate_fold(run: Run, fold: int) -> None:
    """Writes the points of a fold's studies by the detector that has not seen them, unless they are there already."""
    folder = _folder_of(run, fold)

    def locate() -> None:
        detector = Detector.load(_stem_of(run, fold), run.config.detect)
        points, problems = _locate_studies(detector, run, run.studies_of(fold), fold)
        write_table(points, folder / "points.csv")
        write_table(problem_table(problems), folder / "problems.csv")

    run_stage(f"detect: fold {fold}", folder, points_made_from(run), locate)


def _locate_studies(
    detector: Detector, run: Run, study_ids: Iterable[int], fold: int
) -> tuple[pd.DataFrame, list[Problem]]:
    """The points of training studies by the detector of their fold, and what could not be read."""

    def locate(study_id: int, study: Study, _: object) -> list[Point]:
        return locate_study(detector, study, study_id, fold)

    label = f"detect: points by fold {fold}"
    done = list(map_studies(run.competition, "train", study_ids, locate, label, stage=("detect", "the prior")))
    points = points_table(point for result in done for point in result.value or ())
    return points, [problem for result in done for problem in result.problems]


def _training_set(run: Run) -> Path:
    """The folder of the training images and the annotated points, which are written once for all folds."""
    folder = run.folder / "detect" / "training_set"
    origin = fingerprint(
        code=hash_code("detect.training_set"),
        data=run.data_fingerprint,
        config=run.config.detect.model_dump(include=DRAWN_WITH),
    )

    def write() -> list[str]:
        images, points, problems = write_training_set(run.competition, run.config.detect, folder, run.folds)
        write_table(images, folder / "images.csv")
        write_table(points, run.annotated_points_file)
        return [f"{remark}; they are not trained on" for remark in count_lost_series(problems)]

    run_stage("detect: training set", folder, origin, write)
    return folder


def _annotated(run: Run) -> pd.DataFrame:
    _training_set(run)
    return read_points(run.annotated_points_file)


def _training_images(run: Run) -> pd.DataFrame:
    """study_id and image (its name) of the training set."""
    return pd.read_csv(_training_set(run) / "images.csv", dtype={"image": str})


def _paths(run: Run, images: pd.DataFrame) -> list[Path]:
    return [run.folder / "detect" / "training_set" / "images" / f"{name}.png" for name in images["image"]]


def _audit(run: Run, fold: int, images: pd.DataFrame) -> list[int]:
    """The studies outside a fold that are not to be trained on, see `evaluate.find_contradicted`."""
    config = run.config.detect
    if config.audit_parts is None:
        return []
    folder = _folder_of(run, fold) / "audit"

    def points_by_others(part: int, seen: list[int], unseen: list[int]) -> pd.DataFrame:
        """The points of unseen studies by a detector of the seen ones, kept for when training goes on."""
        here, origin = folder / f"part{part}", fingerprint(detector=_detector_made_from(run, fold))

        def locate() -> None:
            paths = _paths(run, images[images["study_id"].isin(seen)])
            label, work = f"detect: audit fold {fold}, part {part}", here / f"training_{origin.key}"
            detector = Detector.of_state(train_detector(config, paths, work, run.config.seed + fold, label), config)
            shutil.rmtree(work)
            write_table(_locate_studies(detector, run, unseen, fold)[0], here / "points.csv")

        run_stage(f"detect: audit fold {fold}, part {part}", here, origin, locate)
        return read_points(here / "points.csv")

    annotated = _annotated(run)
    annotated = annotated[annotated["study_id"].isin(images["study_id"])]
    if annotated["study_id"].nunique() < config.audit_parts:
        return []
    return find_contradicted(annotated, config.audit_parts, run.config.seed, points_by_others)


def _train_fold(run: Run, fold: int) -> None:
    """Trains the detector of a fold on the other folds' images, unless it is there already."""
    stem, made_from = _stem_of(run, fold), _detector_made_from(run, fold)
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
