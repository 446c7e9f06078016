"""The grade stage: graders for each condition group and fold, and the grades of the studies that they have not seen."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lumbar.crop.crops import Crops, open_crops
from lumbar.data.competition import no_predictions
from lumbar.data.priors import fit_prior
from lumbar.data.tables import write_table
from lumbar.grade.net import Grader, level_prior
from lumbar.grade.predict import Predictor, load_grader, predict_grades
from lumbar.grade.train import Curves, State, train_grader
from lumbar.labels import CONDITIONS, GRADES
from lumbar.records import write_record
from lumbar.run.checkpoint import BY_EPOCH, Card, current_commit, is_current, remove_checkpoint, save_checkpoint
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, key_of, run_stage, wait_for

logger = logging.getLogger(__name__)

SEED_STEP = 1000
"""Between the seeds of a group's graders: more than there are folds."""
Rows = NDArray[np.integer]
"""Numbers (N,) of crops."""


@dataclass(frozen=True)
class Training:
    """What one grader is trained on, and where what resuming needs lies."""

    grades: str
    """The condition group that it grades, or all of them."""
    crops: Crops
    rows: Rows
    fold: int
    seed: int
    folder: Path
    label: str


@dataclass(frozen=True)
class Craft:
    """How graders are made and used: the main pipeline's, or those of the published systems."""

    code: tuple[str, ...]
    """The modules that make them."""
    open_crops: Callable[[Path, str], Crops]
    """The crops in a folder for what a grader grades."""
    choose_rows: Callable[[Run, pd.DataFrame], Rows]
    """Which rows of the crops' index, with their `grade`, may be trained on."""
    train: Callable[[Run, Training], tuple[State, Curves]]
    describe: Callable[[Run, str], dict[str, Any]]
    """What the card says of the config of a grader."""
    load: Callable[[Path], Predictor]
    """A trained grader from its checkpoint."""


def run_grade(run: Run, craft: Craft | None = None) -> None:
    """Writes `predictions/<grader>/oof.csv`, the graders, the prior and the config that prediction needs."""
    craft = craft or PIPELINE
    count = run.config.folds.model_copy(update={"count": len(run.fold_numbers)})
    run.models.mkdir(parents=True, exist_ok=True)
    write_table(fit_prior(run.competition.labels), run.models / "prior.csv")
    write_record(run.config.model_copy(update={"folds": count}), run.models / "config.json")
    run_stage("grade", run.folder / "grade", graders_made_from(run, craft), lambda: _grade(run, craft))


def graders_made_from(run: Run, craft: Craft | None = None) -> Origin:
    """What the graders and their predictions are made from."""
    config = run.config.grade
    return fingerprint(
        code=hash_code(*(craft or PIPELINE).code),
        labels=run.labels_fingerprint,
        crops=key_of(run.folder / "crop"),
        config=config.model_dump(exclude={"weights"}),  # what they hold counts, not where they lie
        published=run.config.published.model_dump() if run.config.published else None,
        weights=hash_files(config.weights) if config.weights else None,
        seed=run.config.seed,
    )


def _grade(run: Run, craft: Craft) -> None:
    untrained: list[str] = []
    for name, grades in run.config.graders.items():
        crops = with_grades(run, craft.open_crops(run.folder / "crop", grades))
        folds = {fold: _grade_fold(run, craft, name, crops, fold) for fold in run.fold_numbers}
        untrained += [f"{name} fold {fold}" for fold, graded in folds.items() if graded is None]
        graded = [table for table in folds.values() if table is not None]
        if len(graded) == len(folds):
            write_table(pd.concat(graded, ignore_index=True), run.folder / "predictions" / name / "oof.csv")
    wait_for("grade", untrained)
    _remove_other_models(run)


def _remove_other_models(run: Run) -> None:
    """Removes what an earlier config left: prediction and the bundle take every model that is there."""
    kinds = ["detector", *run.config.graders]
    wanted = {f"{kind}_fold{fold}" for kind in kinds for fold in run.fold_numbers}
    for path in run.models.glob("*_fold*"):
        if path.stem not in wanted:
            path.unlink()


def with_grades(run: Run, crops: Crops) -> Crops:
    """The crops, with `grade` in their index: NaN where the cell has no label."""
    return Crops(crops.pixels, crops.index.merge(run.competition.labels[["row_id", "grade"]], on="row_id", how="left"))


def _grade_fold(run: Run, craft: Craft, name: str, crops: Crops, fold: int) -> pd.DataFrame | None:
    """The predictions of a fold's studies; no row where the other folds have nothing to train on.

    None for a grader that is not there and that the run's selection leaves to others.
    """
    held_out = (crops.index["fold"] == fold).to_numpy()
    rows = craft.choose_rows(run, crops.index)
    rows = rows[~held_out[rows]]
    stem = run.models / f"{name}_fold{fold}"
    if len(rows) < run.config.grade.batch_size:
        logger.warning("grade: %d labelled crops of %s outside fold %d, not enough to train on", len(rows), name, fold)
        remove_checkpoint(stem)  # of an earlier run, which had enough
        return no_predictions().assign(fold=pd.Series(dtype="int64"))
    made_from = fingerprint(graders=graders_made_from(run, craft).key, grader=name, fold=fold).key
    if not is_current(stem, made_from):
        if not run.selection.includes(fold, run.config.graders[name]):
            return None
        _train_fold(run, craft, name, crops, rows, fold, made_from)
    return craft.load(stem)(crops, np.flatnonzero(held_out))


def _train_fold(run: Run, craft: Craft, name: str, crops: Crops, rows: Rows, fold: int, made_from: str) -> None:
    training = Training(
        grades=run.config.graders[name],
        crops=crops,
        rows=rows,
        fold=fold,
        seed=_seed(run, name, fold),
        folder=run.folder / "grade" / f"{name}_fold{fold}_{made_from}",
        label=f"grade: train {name} fold {fold}",
    )
    state, curves = craft.train(run, training)
    card = describe_grader(run, craft, training, made_from, curves, crops.index.iloc[rows])
    save_checkpoint(run.models / f"{name}_fold{fold}", state, card)
    for leftover in training.folder.parent.glob(f"{name}_fold{fold}_*"):
        shutil.rmtree(leftover)


def _seed(run: Run, name: str, fold: int) -> int:
    """A seed for each fold, and for each grader of a group far from those of its other folds."""
    siblings = [sibling for sibling, group in run.config.graders.items() if group == run.config.graders[name]]
    return run.config.seed + fold + SEED_STEP * siblings.index(name)


def describe_grader(
    run: Run, craft: Craft, training: Training, made_from: str, curves: Curves, rows: pd.DataFrame
) -> Card:
    """The card of a grader trained on the crops whose index rows are given."""
    return Card(
        kind="grader",
        classes=GRADES,
        fold=training.fold,
        config=craft.describe(run, training.grades),
        seed=training.seed,
        fingerprint=made_from,
        training_studies=int(rows["study_id"].nunique()),
        commit=current_commit(),
        details={"crops": len(rows), **{f"{name}{BY_EPOCH}": values for name, values in curves.items()}},
    )


def start_grader(run: Run, group: str, fold: int, seed: int) -> Grader:
    """An untrained grader of the main pipeline, with what it must know of the labels of the other folds."""
    torch.manual_seed(seed)
    grader = Grader(run.config.grade, run.config.crop.view(group).slices)
    prior = fit_prior(labels_outside(run, fold))
    grader.start_at_prior(level_prior(prior, [name for name, of in CONDITIONS.items() if of.group == group]))
    if run.config.grade.weights:
        grader.start_backbone_from(run.config.grade.weights)
    return grader


def labels_outside(run: Run, fold: int) -> pd.DataFrame:
    """The labels of the studies that a fold does not hold out."""
    labels = run.competition.labels
    return labels[~labels["study_id"].isin(run.studies_of(fold))]


def _train(run: Run, training: Training) -> tuple[State, Curves]:
    grader = start_grader(run, training.grades, training.fold, training.seed)
    where = (training.folder, training.seed, training.label)
    return train_grader(grader, training.crops, training.rows, run.config.grade, *where)


def _describe(run: Run, grades: str) -> dict[str, Any]:
    view = run.config.crop.view(grades).model_dump(mode="json")
    return {"group": grades, "grade": run.config.grade.model_dump(mode="json"), "view": view}


def _load(stem: Path) -> Predictor:
    grader = load_grader(stem)
    return lambda crops, rows: predict_grades(grader, crops, rows)


PIPELINE = Craft(
    code=("grade.stage",),
    open_crops=open_crops,
    choose_rows=lambda _, index: np.flatnonzero(index["grade"].notna()),
    train=_train,
    describe=_describe,
    load=_load,
)
"""The main pipeline's."""
