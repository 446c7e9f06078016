"""The grade stage: graders for each condition group and fold, and the grades of the studies that they have not seen."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lumbar.checkpoint import Card, current_commit, is_current, save_checkpoint
from lumbar.crop.store import Crops, open_crops
from lumbar.dataset import no_predictions
from lumbar.grade.network import Grader, level_prior
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.grade.train import train_grader
from lumbar.labels import CONDITIONS, GRADES
from lumbar.priors import fit_prior
from lumbar.run import Run
from lumbar.stages import fingerprint, hash_files, hash_sources, run_stage, stamped, wait_for
from lumbar.tables import write_table, write_text

logger = logging.getLogger(__name__)

SEED_STEP = 1000
"""Between the seeds of a group's graders: more than there are folds."""


def run_grade(run: Run) -> None:
    """Writes `predictions/<grader>/oof.csv`, the graders, the prior and the config that prediction needs."""
    run.models.mkdir(parents=True, exist_ok=True)
    write_table(fit_prior(run.competition.labels), run.models / "prior.csv")
    write_text(run.config.model_dump_json(indent=2) + "\n", run.models / "config.json")
    run_stage("grade", run.folder / "grade", _made_from(run), lambda: _grade(run))


def _made_from(run: Run) -> str:
    config = run.config.grade
    return fingerprint(
        code=hash_sources("grade"),
        data=run.data_fingerprint,
        crops=stamped(run.folder / "crop"),
        grade=config.model_dump(exclude={"weights"}),  # what they hold counts, not where they lie
        weights=hash_files(config.weights) if config.weights else None,
        seed=run.config.seed,
    )


def _grade(run: Run) -> None:
    untrained: list[str] = []
    for name, group in run.config.graders.items():
        crops = _with_grades(run, open_crops(run.folder / "crop", group))
        parts = {fold: _grade_fold(run, name, crops, fold) for fold in run.fold_numbers}
        untrained += [f"{name} fold {fold}" for fold, part in parts.items() if part is None]
        graded = [part for part in parts.values() if part is not None]
        if len(graded) == len(parts):
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


def _with_grades(run: Run, crops: Crops) -> Crops:
    return Crops(crops.pixels, crops.index.merge(run.competition.labels[["row_id", "grade"]], on="row_id", how="left"))


def _grade_fold(run: Run, name: str, crops: Crops, fold: int) -> pd.DataFrame | None:
    """The predictions of a fold's studies; no row where the other folds have nothing to train on.

    None for a grader that is not there and that the run's part leaves to others.
    """
    rows = np.flatnonzero((crops.index["fold"] != fold) & crops.index["grade"].notna())
    if len(rows) < run.config.grade.batch_size:
        logger.warning("grade: %d labelled crops of %s outside fold %d, not enough to train on", len(rows), name, fold)
        return no_predictions().assign(fold=pd.Series(dtype="int64"))
    stem = run.models / f"{name}_fold{fold}"
    made_from = fingerprint(stage=_made_from(run), grader=name, fold=fold)
    if not is_current(stem, made_from):
        if not run.part.includes(fold, run.config.graders[name]):
            return None
        _train_fold(run, name, crops, rows, fold, stem, made_from)
    grader, config = load_grader(stem)
    return predict_grades(grader, config, crops, np.flatnonzero(crops.index["fold"] == fold))


def _train_fold(run: Run, name: str, crops: Crops, rows: np.ndarray, fold: int, stem: Path, made_from: str) -> None:
    group, config, seed = run.config.graders[name], run.config.grade, _seed(run, name, fold)
    view = run.config.crop.view(group)
    torch.manual_seed(seed)
    grader = Grader(config, view.slices)
    grader.start_at_prior(_prior_without(run, group, fold))
    if config.weights:
        grader.start_backbone_from(config.weights)
    folder = run.folder / "grade" / f"{name}_fold{fold}_{made_from}"
    state, losses = train_grader(grader, crops, rows, config, folder, seed, f"grade: train {name} fold {fold}")
    card = Card(
        kind="grader",
        classes=GRADES,
        fold=fold,
        config={"group": group, "grade": config.model_dump(mode="json"), "view": view.model_dump(mode="json")},
        seed=seed,
        fingerprint=made_from,
        training_studies=int(crops.index["study_id"].iloc[rows].nunique()),
        commit=current_commit(),
        details={"crops": len(rows), "loss_by_epoch": losses},
    )
    save_checkpoint(stem, state, card)
    for leftover in folder.parent.glob(f"{name}_fold{fold}_*"):
        shutil.rmtree(leftover)


def _seed(run: Run, name: str, fold: int) -> int:
    """A seed for each fold, and for each grader of a group far from those of its other folds."""
    siblings = [sibling for sibling, group in run.config.graders.items() if group == run.config.graders[name]]
    return run.config.seed + fold + SEED_STEP * siblings.index(name)


def _prior_without(run: Run, group: str, fold: int) -> np.ndarray:
    """The prior (5, 3) of a group's levels from the studies of the other folds."""
    labels = run.competition.labels
    others = labels[~labels["study_id"].isin(run.studies_of(fold))]
    names = [name for name, condition in CONDITIONS.items() if condition.group == group]
    return level_prior(fit_prior(others), names)
