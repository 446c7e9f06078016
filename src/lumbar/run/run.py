"""A run: a config on a data folder, and the folder that its results lie in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

import lumbar
from lumbar.config import Config, ConfigError
from lumbar.data.competition import Competition
from lumbar.data.folds import find_folds, read_folds
from lumbar.errors import InputError
from lumbar.records import Record, write_record
from lumbar.run.lock import hold
from lumbar.run.stamps import fingerprint, hash_files, hash_listing

TRAINING_TABLES = ("train.csv", "train_label_coordinates.csv", "train_series_descriptions.csv")
PARTS_OF_ONE_FOLD = 5
"""Parts of a fold that is held out alone."""
LAYOUT = 3
"""The layout of a run's folder: another number where what lies in one means something else, or lies elsewhere."""
RESULTS = ("detect", "crop", "grade", "predictions", "ensemble", "models")
"""Folders that show that something has been run."""
MAIN = "main"
"""What a comparison calls the run that the others are set beside."""


@dataclass(frozen=True)
class Selection:
    """What a run makes now: all, the models of a fold, a condition group's graders, one net, or the crops of one view.

    Others are taken as they are.
    """

    fold: int | None = None
    group: str | None = None
    net: str | None = None
    view: str | None = None

    def includes(self, fold: int, group: str | None = None, net: str | None = None) -> bool:
        """Whether this model is to be trained; a detector, which has neither group nor name, serves every one."""
        wanted = ((self.fold, fold), (self.group, group), (self.net, net))
        return self.view is None and all(None in pair or pair[0] == pair[1] for pair in wanted)


class RunRecord(Record):
    """What a run's folder says of itself, as `run.json`."""

    layout: int
    version: str
    """The package's version that has last run it."""


@dataclass(frozen=True)
class Run:
    """A config on a data folder; every stage of it has a folder of its name below `folder`."""

    config: Config
    competition: Competition
    folder: Path
    selection: Selection = Selection()
    detected_in: Path | None = None
    """The folder of another run, on the same data and folds, whose detect stage serves this one as well."""

    @property
    def detect_folder(self) -> Path:
        """Where the detect stage's results lie."""
        return (self.detected_in or self.folder) / "detect"

    @property
    def points_file(self) -> Path:
        """The out-of-fold points."""
        return self.detect_folder / "points.csv"

    @property
    def annotated_points_file(self) -> Path:
        """The annotated points, as far as their images can be read."""
        return self.detect_folder / "training_set" / "points.csv"

    @property
    def system_points_file(self) -> Path:
        """The points that a published system's crops lie at, one for each cell."""
        return self.folder / "crop" / "points.csv"

    @property
    def models(self) -> Path:
        """What prediction needs, and all that a bundle carries: checkpoints, the prior and the config."""
        return self.folder / "models"

    @cached_property
    def folds_file(self) -> Path:
        """The config's fold file; where it is not of this data set, one of the data set's own, if there is any."""
        named = self.config.folds_file
        if self.config.folds.file:
            return named
        return find_folds(named, self.competition.root, self.competition.study_ids)

    @cached_property
    def folds(self) -> pd.DataFrame:
        """study_id and fold of the training studies."""
        return read_folds(self.folds_file, self.competition.study_ids)

    @property
    def all_fold_numbers(self) -> list[int]:
        """The folds of the fold file, in order."""
        return sorted(int(fold) for fold in self.folds["fold"].unique())

    @property
    def fold_numbers(self) -> list[int]:
        """The folds that are held out, in order: all of them, or those that the config names."""
        held_out = self.config.folds.held_out
        return [fold for fold in self.all_fold_numbers if held_out is None or fold in held_out]

    @property
    def held_out(self) -> pd.DataFrame:
        """study_id and fold of the studies that are held out once."""
        return self.folds[self.folds["fold"].isin(self.fold_numbers)].reset_index(drop=True)

    @property
    def scored_labels(self) -> pd.DataFrame:
        """The labels of the studies that are held out once."""
        labels = self.competition.labels
        return labels[labels["study_id"].isin(self.held_out["study_id"])]

    @property
    def parts(self) -> pd.DataFrame:
        """`held_out` for what is fitted to predictions out of fold: where only one fold is held out, its studies are
        parted once more, for nothing may be judged by the studies that it was fitted to."""
        table = self.held_out
        if len(self.fold_numbers) > 1:
            return table
        order = np.random.default_rng(self.config.seed).permutation(len(table))
        return table.assign(fold=order % PARTS_OF_ONE_FOLD)

    def studies_of(self, fold: int) -> list[int]:
        """The studies that a fold holds out."""
        return self.folds.loc[self.folds["fold"] == fold, "study_id"].tolist()

    def labels_outside(self, fold: int) -> pd.DataFrame:
        """The labels of the studies that a fold does not hold out."""
        labels = self.competition.labels
        return labels[~labels["study_id"].isin(self.studies_of(fold))]

    @cached_property
    def data_fingerprint(self) -> str:
        """A hash of the training tables, of the folds, and of the names and sizes of the images."""
        root = self.competition.root
        tables = hash_files(*(root / name for name in TRAINING_TABLES), self.folds_file)
        return fingerprint(tables=tables, images=hash_listing(root / "train_images")).key

    @cached_property
    def labels_fingerprint(self) -> str:
        """A hash of the labels and the folds: what is learned from crops and predictions that are there already."""
        return hash_files(self.competition.root / "train.csv", self.folds_file)

    @property
    def views(self) -> list[str]:
        """The views that are cut now: all, the one that is selected, or those that the selected graders read."""
        _, group, net, view = astuple(self.selection)
        if view is not None:
            return [view]
        if group is None and net is None:
            return list(self.config.crop.views)
        members = self.config.members.values()
        selected = [each for each in members if group in (None, each.group) and net in (None, each.name)]
        read = {name for member in selected for name in member.config.views}
        return [name for name in self.config.crop.views if name in read]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the run, or the part of it that is selected, to this process; see `lock.hold`."""
        with hold(self.folder, *self._selected_parts()):
            yield

    def _selected_parts(self) -> list[str]:
        """What the selection is, from a fold, or a view, to a part of it: two processes may have two such parts."""
        fold, group, net, view = astuple(self.selection)
        if view is not None:
            return [f"view {view}"]
        if fold is None:
            return []
        group = self.config.members[net].group if net else group
        return [f"fold {fold}", *filter(None, (group, net))]

    def expect_selected(self) -> None:
        """ConfigError where the config has no net, or no view, of the selected name."""
        for kind, name, known in (
            ("net", self.selection.net, self.config.members),
            ("view", self.selection.view, self.config.crop.views),
        ):
            if name is not None and name not in known:
                raise ConfigError(f"config {self.config.name}: there is no {kind} {name}, it has {', '.join(known)}")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """`held`, and claimed as `enter` does, for what makes results in the run's folder."""
        with self.held():
            self.enter()
            yield

    def enter(self) -> None:
        """Claims the run's folder; InputError where an earlier version has left results that this one cannot use."""
        refuse_other_layout(self.folder)
        write_record(RunRecord(layout=LAYOUT, version=lumbar.__version__), self.folder / "run.json")


def refuse_other_layout(folder: Path) -> None:
    """InputError where a run's folder holds results of an earlier version."""
    try:
        layout = RunRecord.model_validate_json((folder / "run.json").read_text(encoding="utf-8")).layout
    except (OSError, UnicodeDecodeError, ValidationError):
        layout = None
    if layout != LAYOUT and any((folder / name).exists() for name in RESULTS):
        raise InputError(
            f"{folder}: was made by an earlier lumbar, whose results version {lumbar.__version__} cannot use; "
            f"keep it under another name (mv {folder} {folder}-old) or remove it, and run again"
        )
