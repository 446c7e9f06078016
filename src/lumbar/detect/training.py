"""The detectors' training: of each fold, on the annotated images of the others; and what they are made from."""

import shutil
from pathlib import Path

import pandas as pd

from lumbar.config import LOOKS_WITH
from lumbar.data.points import read_points
from lumbar.data.tables import write_table
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.train import train_detector
from lumbar.detect.training_set import write_training_set
from lumbar.errors import InputError
from lumbar.run.checkpoint import Card, current_commit, is_current, save_checkpoint
from lumbar.run.code import hash_code
from lumbar.run.loggers import open_logger
from lumbar.run.remarks import remarks_on
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, run_stage

NOT_DRAWN_WITH = {
    *LOOKS_WITH,
    "scale",
    "weights",
    "epochs",
    "batch_size",
    "learning_rate",
    "scale_jitter",
    "shift_jitter",
}
"""The keys of the config that the training images do not depend on."""


def detectors_made_from(run: Run) -> Origin:
    """What the detectors are made from: code, data, folds, config, seed and first weights."""
    config = run.config.detect
    return fingerprint(
        code=hash_code("detect.training"),
        data=run.data_fingerprint,
        config=config.model_dump(exclude={"weights", *LOOKS_WITH}),  # what the weights hold counts, not where they lie
        weights=hash_files(config.weights) if config.weights else None,
        seed=run.config.seed,
    )


def fold_folder(run: Run, fold: int) -> Path:
    """Where a fold's points lie: a fold that is finished stays so, here and where its folder is copied to."""
    return run.folder / "detect" / f"fold{fold}"


def detector_stem(run: Run, fold: int) -> Path:
    """Where a fold's detector lies, without a suffix."""
    return run.models / f"detector_fold{fold}"


def detector_key(run: Run, fold: int) -> str:
    """What a fold's detector is made from, as a key."""
    return fingerprint(detectors=detectors_made_from(run).key, fold=fold).key


def training_set(run: Run) -> Path:
    """The folder of the training images and the annotated points, which are written once for all folds."""
    folder = run.folder / "detect" / "training_set"
    origin = fingerprint(
        code=hash_code("detect.training_set"),
        data=run.data_fingerprint,
        config=run.config.detect.model_dump(exclude=NOT_DRAWN_WITH),
    )

    def write() -> list[str]:
        images, points, problems = write_training_set(run.competition, run.config.detect, folder, run.folds)
        write_table(images, folder / "images.csv")
        write_table(points, run.annotated_points_file)
        return [f"{remark}; they are not trained on" for remark in remarks_on(problems)]

    run_stage("detect: training set", folder, origin, write, in_turns=True)
    return folder


def annotated_of(run: Run, study_ids: pd.Series) -> pd.DataFrame:
    """The annotated points of some of the training studies."""
    training_set(run)
    points = read_points(run.annotated_points_file)
    return points[points["study_id"].isin(study_ids)]


def training_images(run: Run) -> pd.DataFrame:
    """study_id and image (its name) of the training set."""
    return pd.read_csv(training_set(run) / "images.csv", dtype={"image": str})


def image_paths(run: Run, images: pd.DataFrame) -> list[Path]:
    """Where the files of some training images lie."""
    return [run.folder / "detect" / "training_set" / "images" / f"{name}.png" for name in images["image"]]


def train_fold(run: Run, fold: int) -> None:
    """Trains the detector of a fold on the other folds' images, unless it is there already."""
    stem, made_from = detector_stem(run, fold), detector_key(run, fold)
    if is_current(stem, made_from):
        return
    images = training_images(run)
    chosen = images[~images["study_id"].isin(run.studies_of(fold))]
    if chosen.empty:
        raise InputError(f"{run.competition.root}: no annotated study outside fold {fold} to train a detector on")
    folder, seed = run.folder / "detect", run.config.seed + fold
    work = folder / f"training_fold{fold}_{made_from}"
    logger = open_logger(run.config.logger, run.config.name, run.folder, stem.name)
    paths, label = image_paths(run, chosen), f"detect: train fold {fold}"
    state = train_detector(run.config.detect, paths, work, seed, label, logger)
    card = Card(
        kind="detector",
        classes=CLASS_NAMES,
        fold=fold,
        config=run.config.detect.model_dump(mode="json"),
        seed=seed,
        fingerprint=made_from,
        training_studies=int(chosen["study_id"].nunique()),
        commit=current_commit(),
        details={"images": len(chosen), "phantom": run.competition.is_phantom},
    )
    save_checkpoint(stem, state, card)
    for leftover in folder.glob(f"training_fold{fold}_*"):
        shutil.rmtree(leftover)
