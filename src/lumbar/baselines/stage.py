"""The crop and grade stages of a published system, in place of the main pipeline's."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from lumbar.baselines.asking import ASK_SYSTEM
from lumbar.baselines.backbones import NETWORKS
from lumbar.baselines.crops import SystemCutter
from lumbar.baselines.net import SystemNet, severe_shares
from lumbar.baselines.points import choose_points
from lumbar.baselines.samplers import Numbers, all_normal_studies, are_known, is_graded
from lumbar.baselines.targets import TARGETS
from lumbar.baselines.train import train_system
from lumbar.config import POOLED, Config, Member, ViewConfig
from lumbar.crop.stage import cut_view
from lumbar.data.points import KEY
from lumbar.data.priors import fit_prior
from lumbar.data.tables import write_table
from lumbar.grade.encoder import expect_backbone
from lumbar.grade.graders import TEXTURE
from lumbar.grade.head import level_prior
from lumbar.grade.stage import PIPELINE, Craft, Training, run_grade
from lumbar.grade.train import Curves, State
from lumbar.labels import CONDITIONS
from lumbar.run.code import hash_code
from lumbar.run.remarks import remarks_on
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, run_stage


def run_system_crop(run: Run) -> None:
    """Writes `crop/<group>/` at the points that the config asks for, and `crop/points.csv`, one of each cell."""
    origin = system_crops_made_from(run)

    def work() -> list[str]:
        points, problems = choose_points(run)
        write_table(points.drop_duplicates(KEY), run.system_points_file)
        for group in run.config.cells.groups:
            cut_view(run, group, SystemCutter(run.config, group), points, origin)
        return remarks_on(problems)

    run_stage("crop", run.folder / "crop", origin, work, in_turns=True)


def system_crops_made_from(run: Run) -> Origin:
    """What a system's crops are made from."""
    published = run.config.system
    files = {"detected": run.points_file, "annotated": run.annotated_points_file}
    return fingerprint(
        code=hash_code("baselines.crops", "baselines.points", "crop.store"),
        data=run.data_fingerprint,
        points=hash_files(files[published.points]) if published.points in files else None,
        config=run.config.crop.model_dump(),
        published=published.model_dump(include={"points", "slices", "cells"}),
        unannotated=TARGETS[published.target].tells_unannotated,
    )


def run_system_grade(run: Run) -> None:
    """The grade stage with the system's nets."""
    run_grade(run, SYSTEM)


def start_system(run: Run, group: str, fold: int, seed: int) -> SystemNet:
    """An untrained net, with what it must know of the labels of the other folds."""
    torch.manual_seed(seed)
    net = SystemNet(run.config, _view(run, group).slices)
    prior = fit_prior(run.labels_outside(fold))
    net.severe_shares.copy_(torch.from_numpy(severe_shares(prior)))
    if net.level_bias is not None:
        names = [name for name, condition in CONDITIONS.items() if group in (POOLED, condition.group)]
        net.start_at_prior(level_prior(prior, names))
    if run.config.grade.weights:
        net.start_backbone_from(run.config.grade.weights)
    return net


def _train(run: Run, training: Training) -> tuple[State, Curves]:
    net = start_system(run, training.member.group, training.fold, training.seed)
    index = training.crops.index
    known = labelled_rows(run, index)
    known = known[index["fold"].to_numpy()[known] != training.fold]
    where = (training.folder, training.seed, training.label)
    return train_system(net, training.crops, training.rows.astype(np.int64), known, *where, training.logger(run))


def labelled_rows(run: Run, index: pd.DataFrame) -> Numbers:
    """The rows of the crops' index that have a class and are of a cell that the system grades."""
    return np.flatnonzero(is_graded(index, run.config.cells) & are_known(index))


def chosen_rows(run: Run, index: pd.DataFrame) -> Numbers:
    """Those of the labelled rows whose studies the system does not drop."""
    rows = labelled_rows(run, index)
    if not run.config.system.examples.drop_all_normal:
        return rows
    dropped = all_normal_studies(run.competition.labels, run.config.cells)
    return rows[~index["study_id"].isin(dropped).to_numpy()[rows]]


def _describe(run: Run, member: Member) -> dict[str, Any]:
    return {
        "group": member.group,
        "grade": run.config.grade.model_dump(mode="json"),
        "view": _view(run, member.group).model_dump(mode="json"),
        "published": run.config.system.model_dump(mode="json"),
    }


def _view(run: Run, group: str) -> ViewConfig:
    """How a grader's crops are sampled; those of a pooled one all have one size and number of slices."""
    return run.config.crop.views[run.config.cells.groups[0] if group == POOLED else group]


SYSTEM = Craft(
    code=("baselines.stage",),
    asking=ASK_SYSTEM,
    choose_rows=lambda run, _, index: chosen_rows(run, index),
    train=_train,
    describe=_describe,
)
"""The published systems'."""


def expect_net(config: Config) -> None:
    """Raises ConfigError, with what could have been meant, where a config's backbone does not exist."""
    expect_backbone(config, list(NETWORKS) if config.published else [TEXTURE])


def craft_of(config: Config) -> Craft:
    """How a run's graders are made."""
    return SYSTEM if config.published else PIPELINE
