"""A whole run: its sections, and the small ones that no stage's file holds."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from lumbar.config.crop import CropConfig
from lumbar.config.detect import DetectConfig
from lumbar.config.grade import GradeConfig
from lumbar.config.section import Section

LARGEST_SEED = 2**31
"""Folds and members add to it, and NumPy takes seeds below 2³²."""


class PhantomConfig(Section):
    """The synthetic competition that stands in where no data folder is given."""

    studies: int = Field(60, ge=1)
    """Training studies."""
    test_studies: int = Field(8, ge=0)
    """Test studies."""
    max_size: int | None = Field(256, ge=64)
    """Largest image side in pixels; null follows the real distribution, which renders slowly."""
    seed: int = Field(2024, ge=0, le=LARGEST_SEED)
    """Seed of the phantom, apart from the run's."""


class FoldsConfig(Section):
    """Cross-validation folds."""

    count: int = Field(5, ge=2)
    """How many folds to make."""
    file: Path | None = None
    """The fold file; null means `folds/<config name>.csv`."""


class OwnSplitConfig(Section):
    """How a paper split its rows; its own figures are measured that way, beside those on the folds."""

    share: float = Field(0.2, gt=0, le=0.5)
    """The share of rows that are tested on."""
    stratified: bool = False
    """Keep the classes' shares in both parts."""
    balanced_first: bool = False
    """Balance the classes before the rows are split, so that copies of one crop get into both parts."""
    repeats: int = Field(1, ge=1)
    """How many of the disjoint test parts are trained for: more where they are small."""


class CompareConfig(Section):
    """The systems that `lumbar compare` sets beside this run, each a config in `seeds/` beside this one."""

    systems: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """In the table's order, each with what differs from its config at this size."""


class SubmitConfig(Section):
    """How predictions become a submission."""

    floor: float = Field(1e-4, ge=0, lt=0.1)
    """Least probability written: one confident error then costs at most 9.2 × its weight."""


class Config(Section):
    """A whole run."""

    name: str
    """The run's name, and its folder's under `runs/`."""
    title: str = ""
    """What tables call it; left empty, its name."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of everything but the phantom."""
    phantom: PhantomConfig = PhantomConfig()
    folds: FoldsConfig = FoldsConfig()
    detect: DetectConfig = DetectConfig()
    crop: CropConfig = CropConfig()
    grade: GradeConfig = GradeConfig()
    submit: SubmitConfig = SubmitConfig()
    own_split: OwnSplitConfig | None = None
    """How the published system split its rows; null means by the folds."""
    compare: CompareConfig = CompareConfig()

    @model_validator(mode="after")
    def _can_be_pooled(self) -> Self:
        shapes = {(view.size, view.slices) for view in map(self.crop.view, self.grade.cells.groups)}
        if self.grade.cells.pooled and len(shapes) > 1:
            raise ValueError("grade.cells.pooled needs views of one size and number of slices")
        return self

    @model_validator(mode="after")
    def _fit_the_net(self) -> Self:
        for group in self.grade.cells.groups:
            view = self.crop.view(group)
            if view.size < self.grade.image_size:
                raise ValueError(f"crop.{group}.size {view.size} is below grade.image_size {self.grade.image_size}")
            if self.grade.input.repeat_channels and view.slices != 1:
                raise ValueError(f"grade.input.repeat_channels needs crop.{group}.slices 1, got {view.slices}")
        return self

    @property
    def graders(self) -> dict[str, str]:
        """What each grader grades by its name, in every fold the same: `spinal`, and `spinal_1` where there are two."""
        members = range(self.grade.members)
        return {f"{part}_{member}" if member else part: part for part in self.grade.cells.graders for member in members}

    @property
    def folds_file(self) -> Path:
        """Where the folds of this run are written and read."""
        return self.folds.file or Path("folds") / f"{self.name}.csv"
