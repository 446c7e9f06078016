"""A whole run: its sections, and the small ones that no stage's file holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from lumbar.config.crop import CropConfig, refuse_names
from lumbar.config.detect import DetectConfig
from lumbar.config.fit import find_misfits
from lumbar.config.grade import GradeConfig, GraderConfig
from lumbar.config.published import POOLED, CellsConfig, CompareConfig, PublishedConfig
from lumbar.records import Record

LARGEST_SEED = 2**31
"""Folds and members add to it, and NumPy takes seeds below 2³²."""


@dataclass(frozen=True)
class Member:
    """One of a grader's nets, which differ in their seeds; it is a member of the ensemble."""

    grader: str
    number: int
    config: GraderConfig
    group: str
    """The condition group that it grades, or `POOLED`."""

    @property
    def name(self) -> str:
        """`spinal`, and `spinal_1` for the second net."""
        return f"{self.grader}_{self.number}" if self.number else self.grader


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
    held_out: tuple[int, ...] | None = Field(None, min_length=1)
    """The folds that are held out and scored, where one split is enough; the others are only trained on. Null is all
    of them."""
    file: Path | None = None
    """The fold file; null means `folds/<config name>.csv`, or a file there that is of just this data set's studies."""

    @field_validator("held_out")
    @classmethod
    def _are_different(cls, folds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if folds and len(set(folds)) < len(folds):
            raise ValueError("expected different folds")
        return folds


class SubmitConfig(Record):
    """How predictions become a submission."""

    floor: float = Field(1e-4, ge=0, lt=0.1)
    """Least probability written: one confident error then costs at most 9.2 × its weight."""


class AblationConfig(Record):
    """What `lumbar ablation` makes of the graders, each of which is a row of its table."""

    baseline: str = "spinal"
    """The grader that the others are set beside."""
    means: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """More rows: the mean of what several graders say."""
    detected_by: str | None = None
    """Another run, of the same data, folds and detector, whose points are cropped at; it is made where it is not there,
    and anew where the detector's code has changed. Without one the ablation detects for itself."""


LoggerName = Literal["none", "csv", "tensorboard", "wandb", "mlflow"]


class Config(Record):
    """A whole run."""

    name: str
    """The run's name, and its folder's under `runs/`."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of everything but the phantom."""
    logger: LoggerName = "none"
    """Who is told of each training's figures by epoch: nobody, CSV files, TensorBoard, or Weights & Biases (offline) or
    MLflow, which must be installed; in `logs/` of the run's folder. No result depends on it."""
    phantom: PhantomConfig = PhantomConfig()
    folds: FoldsConfig = FoldsConfig()
    detect: DetectConfig = DetectConfig()
    crop: CropConfig = CropConfig()
    grade: GradeConfig = GradeConfig()
    graders: dict[str, GraderConfig] = Field(default_factory=dict)
    """By name, each with its views and what it does otherwise than the `grade` section; without any, each view has
    one, which bears its name."""
    submit: SubmitConfig = SubmitConfig()
    published: PublishedConfig | None = None
    """Makes the run one of the published systems; null is the main pipeline."""
    compare: CompareConfig = CompareConfig()
    ablation: AblationConfig = AblationConfig()

    @field_validator("name")
    @classmethod
    def _is_a_folders_name(cls, name: str) -> str:
        if not name.strip() or name in (".", "..") or set(name) & set("/\\\0"):
            raise ValueError("expected a name that a folder below runs/ can have")
        return name

    @model_validator(mode="before")
    @classmethod
    def _graders_take_over_the_grade_section(cls, values: Any) -> Any:
        graders = values.get("graders") if isinstance(values, dict) else None
        if not isinstance(graders, dict):
            return values
        common = _as_dict(values.get("grade") or {})
        merged = {name: {**common, **own} if isinstance(own, dict) else own for name, own in graders.items()}
        return {**values, "graders": merged}

    @model_validator(mode="after")
    def _grade_something_they_can_see(self) -> Self:
        if self.graders and self.published:
            raise ValueError("a published system has the graders of its paper, graders is for the main pipeline")
        if self.graders:
            refuse_names(self.graders)
        for misfit in find_misfits(self.trained_graders, self.crop.views, self.published):
            raise ValueError(misfit)
        detected = [name for name, grader in self.trained_graders.items() if grader.points == "detected"]
        if self.folds.held_out and detected and not self.published:
            raise ValueError(f"graders.{detected[0]}.points: folds.held_out has detected points of its own folds only")
        if len(self.members) < sum(grader.seeds for grader in self.trained_graders.values()):
            raise ValueError(f"graders: two nets would have one name; their names are {', '.join(self.members)}")
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
    def trained_graders(self) -> dict[str, GraderConfig]:
        """The graders by name: those of the config, or one for each view, or the published system's."""
        if self.graders:
            return self.graders
        names = self.cells.groups if self.published else tuple(self.crop.views)
        views = {POOLED: names} if self.cells.pooled else {name: (name,) for name in names}
        return {name: GraderConfig(**self.grade.model_dump(), views=mine) for name, mine in views.items()}

    @property
    def members(self) -> dict[str, Member]:
        """The nets of every fold by name: `spinal`, and `spinal_1` where its grader has two seeds."""
        members = (
            Member(name, number, grader, self._group_of(grader))
            for name, grader in self.trained_graders.items()
            for number in range(grader.seeds)
        )
        return {member.name: member for member in members}

    def _group_of(self, grader: GraderConfig) -> str:
        """The condition group that a grader grades, or `POOLED`."""
        return POOLED if self.cells.pooled else self.crop.views[grader.views[0]].group

    @property
    def folds_file(self) -> Path:
        """Where the folds of this run are written; see `Run.folds_file` for where they are read."""
        return self.folds.file or Path("folds") / f"{self.name}.csv"


def _as_dict(section: Any) -> dict[str, Any]:
    """What a section says, whether it was read or is a model already; what is no section is told of elsewhere."""
    if isinstance(section, BaseModel):
        return {name: getattr(section, name) for name in section.model_fields_set}
    return dict(section) if isinstance(section, dict) else {}
