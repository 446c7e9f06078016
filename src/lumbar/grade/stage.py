"""The grade stage: the graders of each fold, and the grades of the studies that they have not seen."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger

from lumbar.config import GraderConfig, Member
from lumbar.crop.crops import NOWHERE, Crops, found_rows, open_crops
from lumbar.data.competition import no_predictions, read_predictions
from lumbar.data.priors import PRIOR_FILE, fit_prior
from lumbar.data.tables import write_table
from lumbar.grade.asking import ASK_PIPELINE, Asking, views_of
from lumbar.grade.graders import TEXTURE
from lumbar.grade.head import level_prior
from lumbar.grade.net import Grader
from lumbar.grade.noise import read_suspects, weigh_labels
from lumbar.grade.predict import ASKED_WITH
from lumbar.grade.texture_grader import TextureGrader
from lumbar.grade.train import Curves, State, fit_grader, train_grader
from lumbar.labels import CONDITIONS, GRADES
from lumbar.records import write_record
from lumbar.run.checkpoint import BY_EPOCH, Card, current_commit, is_current, remove_checkpoint, save_checkpoint
from lumbar.run.code import hash_code
from lumbar.run.loggers import open_logger
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, expect_trained, fingerprint, hash_files, key_of, run_stage

logger = logging.getLogger(__name__)

SEED_STEP = 1000
"""Between the seeds of a grader's nets: more than there are folds."""
FILES = frozenset({"weights", "suspects"})
"""The keys of a grader's config that name files."""
Rows = NDArray[np.integer]
"""Numbers (N,) of crops, or (N, K) where each cell has several to choose from."""


@dataclass(frozen=True)
class Training:
    """What one net is trained on, and where what resuming needs lies."""

    member: Member
    crops: Crops
    rows: Rows
    fold: int
    seed: int
    folder: Path
    label: str

    def logger(self, run: Run) -> Logger | None:
        """Who is told of its figures, if anybody is."""
        return open_logger(run.config.logger, run.config.name, run.folder, f"{self.member.name}_fold{self.fold}")


@dataclass(frozen=True)
class Craft:
    """How graders are made: the main pipeline's, or those of the published systems."""

    code: tuple[str, ...]
    """The modules that make them."""
    asking: Asking
    choose_rows: Callable[[Run, Member, pd.DataFrame], Rows]
    """Which rows of the crops' index, with their `grade`, may be trained on."""
    train: Callable[[Run, Training], tuple[State, Curves]]
    describe: Callable[[Run, Member], dict[str, Any]]
    """What the card says of the config of a net."""


def run_grade(run: Run, craft: Craft | None = None) -> None:
    """Writes `predictions/<grader>/oof.csv`, the graders, the prior and the config that prediction needs."""
    craft = craft or PIPELINE
    run.models.mkdir(parents=True, exist_ok=True)
    write_table(fit_prior(run.competition.labels), run.models / PRIOR_FILE)
    folds = run.config.folds.model_copy(update={"count": len(run.all_fold_numbers)})
    write_record(run.config.model_copy(update={"folds": folds}), run.models / "config.json")
    run_stage("grade", run.folder / "grade", graders_made_from(run, craft), lambda: _grade(run, craft))


def graders_made_from(run: Run, craft: Craft | None = None) -> Origin:
    """What the nets and their predictions are made from."""
    graders = run.config.trained_graders
    return fingerprint(
        code=hash_code(*(craft or PIPELINE).code),
        labels=run.labels_fingerprint,
        folds=run.fold_numbers,
        crops={view: key_of(run.folder / "crop" / view) for grader in graders.values() for view in grader.views},
        # What the files hold counts, not where they lie.
        config={name: grader.model_dump(exclude=set(FILES)) for name, grader in graders.items()},
        published=run.config.published.model_dump() if run.config.published else None,
        weights={name: _hash_named(grader) for name, grader in graders.items()},
        seed=run.config.seed,
    )


def net_made_from(run: Run, craft: Craft, member: Member, fold: int) -> str:
    """What one net is made from, as a key: of another grader, or of a view that it does not read, it knows nothing."""
    grader = member.config
    return fingerprint(
        code=hash_code(*craft.code),
        labels=run.labels_fingerprint,
        crops={view: key_of(run.folder / "crop" / view) for view in grader.views},
        config=grader.model_dump(exclude={"seeds", *FILES, *ASKED_WITH}),
        published=run.config.published.model_dump() if run.config.published else None,
        weights=_hash_named(grader),
        seed=_seed(run, member, fold),
        fold=fold,
    ).key


def _hash_named(grader: GraderConfig) -> dict[str, str]:
    """A hash of the files that a grader's config names."""
    paths = {name: getattr(grader, name) for name in sorted(FILES)}
    return {name: hash_files(path) for name, path in paths.items() if path}


def _grade(run: Run, craft: Craft) -> None:
    untrained: list[str] = []
    for name, member in run.config.members.items():
        if None in (key_of(run.folder / "crop" / view) for view in member.config.views):
            untrained.append(f"{name}, whose views are not cut here")  # the run's selection leaves them to others, too
            continue
        crops = _weigh(with_grades(run, open_for(run, craft.asking, member.config)), member.config)
        folds = {fold: _grade_fold(run, craft, member, crops, fold) for fold in run.fold_numbers}
        untrained += [f"{name} fold {fold}" for fold, graded in folds.items() if graded is None]
        graded = [table for table in folds.values() if table is not None]
        if len(graded) == len(folds):
            write_table(pd.concat(graded, ignore_index=True), run.folder / "predictions" / name / "oof.csv")
    expect_trained("grade", untrained)
    _remove_other_models(run)


def _weigh(crops: Crops, grader: GraderConfig) -> Crops:
    """The crops, with the weights of their labels where the grader's config doubts some."""
    if grader.suspects is None:
        return crops
    return Crops(crops.pixels, weigh_labels(crops.index, read_suspects(grader.suspects), grader.suspect_weight))


def open_for(run: Run, asking: Asking, grader: GraderConfig) -> Crops:
    """What a grader grades, of the crops on disk."""
    views = views_of(run.config, grader)
    gathered = asking.gather(views, {view: open_crops(run.folder / "crop", view) for view in views})
    if gathered is None:
        raise ValueError(f"a grader of no view: {grader.views}")
    return gathered


def _remove_other_models(run: Run) -> None:
    """Removes what an earlier config left: prediction and the bundle take every model that is there.

    Also what a process that was killed left half written, unless another fold's process may be writing it now.
    """
    is_shared = run.selection.fold is not None
    kinds = ["detector", *run.config.members]
    wanted = {f"{kind}_fold{fold}" for kind in kinds for fold in run.fold_numbers}
    for path in run.models.glob("*_fold*"):
        if path.stem not in wanted and not (is_shared and path.name.startswith(".")):
            path.unlink()


def with_grades(run: Run, crops: Crops) -> Crops:
    """The crops, with `grade` in their index: NaN where the cell has no label."""
    return Crops(crops.pixels, crops.index.merge(run.competition.labels[["row_id", "grade"]], on="row_id", how="left"))


def _grade_fold(run: Run, craft: Craft, member: Member, crops: Crops, fold: int) -> pd.DataFrame | None:
    """The predictions of a fold's studies, kept; no row where the other folds have nothing to train on.

    None for a net that is not there and that the run's selection leaves to others.
    """
    name, of_fold = member.name, (crops.index["fold"] == fold).to_numpy()
    rows = craft.choose_rows(run, member, crops.index)
    rows = rows[~of_fold[_any_choice(rows)]]
    rows = take_studies(rows, crops.index, member.config.studies, run.config.seed)
    stem = run.models / f"{name}_fold{fold}"
    if len(rows) < member.config.batch_size:
        logger.warning("grade: %d labelled crops of %s outside fold %d, not enough to train on", len(rows), name, fold)
        remove_checkpoint(stem)  # of an earlier run, which had enough
        return no_predictions().assign(fold=pd.Series(dtype="int64"))
    made_from = net_made_from(run, craft, member, fold)
    if not is_current(stem, made_from):
        if not run.selection.includes(fold, member.group, name):
            return None
        _train_fold(run, craft, member, crops, rows, fold, made_from)
    folder = run.folder / "predictions" / name / f"fold{fold}"

    def predict() -> None:
        asked = np.flatnonzero(of_fold & craft.asking.is_asked(crops.index))
        write_table(craft.asking.load(stem, member)(crops, asked), folder / "oof.csv")

    asked_with = member.config.model_dump(include=set(ASKED_WITH))
    run_stage(
        f"grade: {name} fold {fold}", folder, fingerprint(net=made_from, asked=asked_with), predict, in_turns=True
    )
    return read_predictions(folder / "oof.csv").assign(fold=fold)


def _any_choice(rows: Rows) -> Rows:
    """A row (N,) of each cell, of those (N, K) that it may be cropped at."""
    return rows if rows.ndim == 1 else rows.max(axis=1)


def take_studies(rows: Rows, index: pd.DataFrame, count: int | None, seed: int) -> Rows:
    """The rows of so many studies, chosen at random; more studies are the same ones and others."""
    if count is None:
        return rows
    of_row = index["study_id"].to_numpy()[_any_choice(rows)]
    studies = np.random.default_rng(seed).permutation(np.unique(of_row))[:count]
    return rows[np.isin(of_row, studies)]


def _train_fold(run: Run, craft: Craft, member: Member, crops: Crops, rows: Rows, fold: int, made_from: str) -> None:
    stem = f"{member.name}_fold{fold}"
    training = Training(
        member=member,
        crops=crops,
        rows=rows,
        fold=fold,
        seed=_seed(run, member, fold),
        folder=run.folder / "grade" / f"{stem}_{made_from}",
        label=f"grade: train {member.name} fold {fold}",
    )
    started = time.monotonic()
    state, curves = craft.train(run, training)
    seconds = round(time.monotonic() - started, 1)
    trained = crops.index.iloc[np.unique(rows[rows != NOWHERE])]
    card = describe_grader(run, craft, training, made_from, curves, trained, {"seconds": seconds})
    save_checkpoint(run.models / stem, state, card)
    for leftover in training.folder.parent.glob(f"{stem}_*"):
        shutil.rmtree(leftover)


def _seed(run: Run, member: Member, fold: int) -> int:
    """A seed for each fold, and for each net of a grader far from those of its other folds."""
    return run.config.seed + fold + SEED_STEP * member.number


def describe_grader(
    run: Run,
    craft: Craft,
    training: Training,
    made_from: str,
    curves: Curves,
    rows: pd.DataFrame,
    details: Mapping[str, Any] | None = None,
) -> Card:
    """The card of a net trained on the crops whose index rows are given, with more details if there are any."""
    return Card(
        kind="grader",
        classes=GRADES,
        fold=training.fold,
        config=craft.describe(run, training.member),
        seed=training.seed,
        fingerprint=made_from,
        training_studies=int(rows["study_id"].nunique()),
        commit=current_commit(),
        details={
            "crops": len(rows),
            **(details or {}),
            **{f"{name}{BY_EPOCH}": values for name, values in curves.items()},
        },
    )


def start_grader(run: Run, member: Member, fold: int, seed: int) -> Grader:
    """An untrained net of the main pipeline, with what it must know of the labels of the other folds."""
    torch.manual_seed(seed)
    grader = Grader(member.config, list(views_of(run.config, member.config).values()))
    prior = fit_prior(run.labels_outside(fold))
    grader.start_at_prior(level_prior(prior, [name for name, of in CONDITIONS.items() if of.group == member.group]))
    if member.config.weights:
        grader.start_backbone_from(member.config.weights)
    return grader


def choose_cells(run: Run, member: Member, index: pd.DataFrame) -> Rows:
    """The rows (N, 2) to choose from for each labelled cell: where it was found and where it was annotated, the first
    of which is there; or only the one, as the grader's config says."""
    labelled, found = index["grade"].notna().to_numpy(), found_rows(index)
    if "label_weight" in index:
        labelled &= index["label_weight"].to_numpy() > 0
    if member.config.points != "either":
        wanted = labelled & (found == (member.config.points == "detected"))
        return np.flatnonzero(wanted)[:, None]
    numbered = pd.DataFrame({"row_id": index["row_id"], "row": np.arange(len(index)), "is_found": found})[labelled]
    tables = [numbered[numbered["is_found"] == is_found].set_index("row_id")["row"] for is_found in (True, False)]
    both = pd.concat(tables, axis=1).fillna(NOWHERE).to_numpy(dtype=np.int64)
    both[both[:, 0] == NOWHERE] = both[both[:, 0] == NOWHERE][:, ::-1]
    return both


def _train(run: Run, training: Training) -> tuple[State, Curves]:
    config = training.member.config
    if config.backbone == TEXTURE:
        texture = TextureGrader(config, list(views_of(run.config, config).values()))
        return fit_grader(texture, training.crops, training.rows, training.seed)
    grader = start_grader(run, training.member, training.fold, training.seed)
    where = (training.folder, training.seed, training.label)
    return train_grader(grader, training.crops, training.rows, *where, training.logger(run))


def _describe(run: Run, member: Member) -> dict[str, Any]:
    views = {name: view.model_dump(mode="json") for name, view in views_of(run.config, member.config).items()}
    return {"group": member.group, "grader": member.config.model_dump(mode="json"), "views": views}


PIPELINE = Craft(
    code=("grade.stage",),
    asking=ASK_PIPELINE,
    choose_rows=choose_cells,
    train=_train,
    describe=_describe,
)
"""The main pipeline's."""
