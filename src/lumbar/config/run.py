"""A whole run: its sections, and the small ones that no stage's file holds."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from lumbar.config.crop import CropConfig
from lumbar.config.detect import DetectConfig
from lumbar.config.grade import GradeConfig
from lumbar.config.published import CellsConfig, CompareConfig, PublishedConfig
from lumbar.records import Record

LARGEST_SEED = 2**31
"""Folds and members add to it, and NumPy takes seeds below 2³²."""


class PhantomConfig(Record):
    """The synthetic competition that stands in where no data folder is given."""

    studies: int = Field(60, ge=1)
    """Training studies."""
    test_studies: int = Field(8, ge=0)
    """Test studies."""
    max_size: int | None = Field(256, ge=64)
    """Largest image side in pixels; null follows the real distribution, which renders slowly."""
    seed: int = Field(2024, ge=0, le=LARGEST_SEED)
    """Seed of the phantom, apart from the run's."""


class FoldsConfig(Record):
    """Cross-validation folds."""

    count: int = Field(5, ge=2)
    """How many folds to make."""
    file: Path | None = None
    """The fold file; null means `folds/<config name>.csv`, or a file there that is of just this data set's studies."""


class SubmitConfig(Record):
    """How predictions become a submission."""

    floor: float = Field(1e-4, ge=0, lt=0.1)
    """Least probability written: one confident error then costs at most 9.2 × its weight."""


class Config(Record):
    """A whole run."""

    name: str
    """The run's name, and its folder's under `runs/`."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of everything but the phantom."""
    phantom: PhantomConfig = PhantomConfig()
    folds: FoldsConfig = FoldsConfig()
    detect: DetectConfig = DetectConfig()
    crop: CropConfig = CropConfig()
    grade: GradeConfig = GradeConfig()
    submit: SubmitConfig = SubmitConfig()
    published: PublishedConfig | None = None
    """Makes the run one of the published systems; null is the main pipeline."""
    compare: CompareConfig = CompareConfig()

    @field_validator("name")
    @classmethod
    def _is_a_folders_name(cls, name: str) -> str:
        if not name.strip() or name in (".", "..") or set(name) & set("/\\\0"):
            raise ValueError("expected a name that a folder below runs/ can have")
        return name

    @model_validator(mode="after")
    def _can_be_pooled(self) -> Self:
        shapes = {(view.size, view.slices) for view in map(self.crop.view, self.cells.groups)}
        if self.cells.pooled and len(shapes) > 1:
            raise ValueError("published.cells.pooled needs views of one size and number of slices")
        return self

    @model_validator(mode="after")
    def _fit_the_net(self) -> Self:
        for group in self.cells.groups:
            view = self.crop.view(group)
            if view.size < self.grade.image_size:
                raise ValueError(f"crop.{group}.size {view.size} is below grade.image_size {self.grade.image_size}")
            if self.published and self.published.input.repeat_channels and view.slices != 1:
                raise ValueError(f"published.input.repeat_channels needs crop.{group}.slices 1, got {view.slices}")
        return self

    @property
    def title(self) -> str:
        """What tables call the run."""
        return (self.published.title if self.published else "") or self.name

    @property
    def system(self) -> PublishedConfig:
        """The section of a published system; ValueError in a config of the main pipeline."""
        if self.published is None:
            raise ValueError(f"config {self.name} is of no published system")
        return self.published

    @property
    def cells(self) -> CellsConfig:
        """The cells that are graded: all, but for a published system that leaves some out."""
        return self.published.cells if self.published else CellsConfig()

    @property
    def graders(self) -> dict[str, str]:
        """What each grader grades by its name, in every fold the same: `spinal`, and `spinal_1` where there are two."""
        members = range(self.grade.members)
        return {f"{group}_{member}" if member else group: group for group in self.cells.graders for member in members}

    @property
    def folds_file(self) -> Path:
        """Where the folds of this run are written; see `Run.folds_file` for where they are read."""
        return self.folds.file or Path("folds") / f"{self.name}.csv"
