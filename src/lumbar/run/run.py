"""A run: a config on a data folder, and the folder that its results lie in."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lumbar.config import Config
from lumbar.data.competition import Competition
from lumbar.data.folds import read_folds
from lumbar.run.stamps import hash_files

TRAINING_TABLES = ("train.csv", "train_label_coordinates.csv", "train_series_descriptions.csv")


@dataclass(frozen=True)
class Part:
    """The models that a run trains now: of one fold, of one condition group, or all. Others are taken as they are."""

    fold: int | None = None
    group: str | None = None

    def includes(self, fold: int, group: str | None = None) -> bool:
        """Whether this model is to be trained; a detector, which has no group, serves every one."""
        return self.fold in (None, fold) and (group is None or self.group in (None, group))


@dataclass(frozen=True)
class Run:
    """A config on a data folder; every stage of it has a folder of its name below `folder`."""

    config: Config
    competition: Competition
    folder: Path
    part: Part = Part()
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
    def models(self) -> Path:
        """What prediction needs, and all that a bundle carries: checkpoints, the prior and the config."""
        return self.folder / "models"

    @cached_property
    def folds(self) -> pd.DataFrame:
        """study_id and fold of the training studies."""
        return read_folds(self.config.folds_file, self.competition.study_ids)

    @property
    def fold_numbers(self) -> list[int]:
        """The folds, in order."""
        return sorted(int(fold) for fold in self.folds["fold"].unique())

    def studies_of(self, fold: int) -> list[int]:
        """The studies that a fold holds out."""
        return self.folds.loc[self.folds["fold"] == fold, "study_id"].tolist()

    @cached_property
    def data_fingerprint(self) -> str:
        """A hash of the training tables and of the folds."""
        return hash_files(*(self.competition.root / name for name in TRAINING_TABLES), self.config.folds_file)
