"""The grade stage: graders for each condition group and fold, and the grades of the studies that they have not seen."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lumbar.baselines.samplers import is_graded, keep_rows
from lumbar.config import POOLED, ViewConfig
from lumbar.crop.store import Crops, open_crops
from lumbar.data.competition import no_predictions
from lumbar.data.priors import fit_prior
from lumbar.data.tables import write_table, write_text
from lumbar.grade.net import Grader, level_prior, severe_shares
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.grade.train import Curves, train_grader
from lumbar.labels import CONDITIONS, GRADES
from lumbar.run.checkpoint import BY_EPOCH, Card, current_commit, is_current, remove_checkpoint, save_checkpoint
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, hash_files, hash_sources, run_stage, stamped, wait_for

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
    for name, part in run.config.graders.items():
        crops = with_grades(run, open_crops(run.folder / "crop", part))
        folds = {fold: _grade_fold(run, name, crops, fold) for fold in run.fold_numbers}
        untrained += [f"{name} fold {fold}" for fold, graded in folds.items() if graded is None]
        graded = [one for one in folds.values() if one is not None]
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


def _grade_fold(run: Run, name: str, crops: Crops, fold: int) -> pd.DataFrame | None:
    """The predictions of a fold's studies; no row where the other folds have nothing to train on.

    None for a grader that is not there and that the run's part leaves to others.
    """
    graded = is_graded(crops.index, run.config.grade.cells) & crops.index["grade"].notna().to_numpy()
    rows = np.flatnonzero(graded & (crops.index["fold"] != fold).to_numpy())
    kept = len(keep_rows(crops.index, rows, run.config.grade.examples))
    stem = run.models / f"{name}_fold{fold}"
    if kept < run.config.grade.batch_size:
        logger.warning("grade: %d labelled crops of %s outside fold %d, not enough to train on", kept, name, fold)
        remove_checkpoint(stem)  # of an earlier run, which had enough
        return no_predictions().assign(fold=pd.Series(dtype="int64"))
    made_from = fingerprint(stage=_made_from(run), grader=name, fold=fold)
    if not is_current(stem, made_from):
        if not run.part.includes(fold, run.config.graders[name]):
            return None
        _train_fold(run, name, crops, rows, fold, stem, made_from)
    grader, config = load_grader(stem)
    return predict_grades(grader, config, crops, np.flatnonzero(crops.index["fold"] == fold))


def _train_fold(run: Run, name: str, crops: Crops, rows: np.ndarray, fold: int, stem: Path, made_from: str) -> None:
    part, seed = run.config.graders[name], _seed(run, name, fold)
    grader = start_grader(run, part, fold, seed)
    folder = run.folder / "grade" / f"{name}_fold{fold}_{made_from}"
    label = f"grade: train {name} fold {fold}"
    state, curves = train_grader(grader, crops, rows, run.config.grade, folder, seed, label)
    rows = keep_rows(crops.index, rows, run.config.grade.examples)
    card = describe_grader(run, part, fold, seed, made_from, curves, crops.index.iloc[rows])
    save_checkpoint(stem, state, card)
    for leftover in folder.parent.glob(f"{name}_fold{fold}_*"):
        shutil.rmtree(leftover)


def _seed(run: Run, name: str, fold: int) -> int:
    """A seed for each fold, and for each grader of a group far from those of its other folds."""
    siblings = [sibling for sibling, part in run.config.graders.items() if part == run.config.graders[name]]
    return run.config.seed + fold + SEED_STEP * siblings.index(name)


def start_grader(run: Run, group: str, fold: int, seed: int) -> Grader:
    """An untrained grader, with what it must know of the labels of the other folds."""
    config, labels = run.config.grade, run.competition.labels
    torch.manual_seed(seed)
    grader = Grader(config, _view(run, group).slices)
    prior = fit_prior(labels[~labels["study_id"].isin(run.studies_of(fold))])
    grader.severe_shares.copy_(torch.from_numpy(severe_shares(prior)))
    if config.head.level_bias:
        names = [name for name, condition in CONDITIONS.items() if group in (POOLED, condition.group)]
        grader.start_at_prior(level_prior(prior, names))
    if config.weights:
        grader.start_backbone_from(config.weights)
    return grader


def describe_grader(
    run: Run, group: str, fold: int, seed: int, made_from: str, curves: Curves, rows: pd.DataFrame
) -> Card:
    """The card of a grader trained on the crops whose index rows are given."""
    config = run.config.grade.model_dump(mode="json")
    return Card(
        kind="grader",
        classes=GRADES,
        fold=fold,
        config={"group": group, "grade": config, "view": _view(run, group).model_dump(mode="json")},
        seed=seed,
        fingerprint=made_from,
        training_studies=int(rows["study_id"].nunique()),
        commit=current_commit(),
        details={"crops": len(rows), **{f"{name}{BY_EPOCH}": values for name, values in curves.items()}},
    )


def _view(run: Run, group: str) -> ViewConfig:
    """How a grader's crops are sampled; those of a pooled one all have one size and number of slices."""
    return run.config.crop.view(run.config.grade.cells.groups[0] if group == POOLED else group)
