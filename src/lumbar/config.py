"""What a run does, as frozen models that refuse unknown keys. A YAML file holds only what differs from the defaults."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lumbar.errors import InputError
from lumbar.labels import GROUPS


class ConfigError(InputError):
    """A config that is not what it should be; the message names the file and the key."""


Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


class Section(BaseModel):
    """A part of a config."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PhantomConfig(Section):
    """The synthetic competition that stands in where no data folder is given."""

    studies: int = Field(60, ge=1)
    """Training studies."""
    test_studies: int = Field(8, ge=0)
    """Test studies."""
    max_size: int | None = Field(256, ge=64)
    """Largest image side in pixels; nothing follows the real distribution, which renders slowly."""
    seed: int = 2024
    """Seed of the phantom, apart from the run's."""


class FoldsConfig(Section):
    """Cross-validation folds."""

    count: int = Field(5, ge=2)
    """How many folds to make."""
    file: Path | None = None
    """The fold file; nothing means `folds/<config name>.csv`."""


class DetectConfig(Section):
    """The YOLOv8 detector of landmarks, one for each fold."""

    scale: Literal["p", "n", "s", "m", "l", "x"] = "n"
    """YOLOv8's size; `p` is half as wide as `n`, for machines without a GPU."""
    weights: Path | None = None
    """A local `.pt` or `.safetensors` to start from; nothing trains from scratch. Nothing is ever downloaded."""
    image_size: int = Field(320, ge=64, multiple_of=32)
    """Side of the detector's square image in pixels."""
    mm_per_pixel: float = Field(1.0, gt=0)
    """Scale of the detector's image; image_size × mm_per_pixel is its field of view."""
    box_mm: float = Field(28.0, gt=0)
    """Side of the square box around each annotated point, about a disc and its canal."""
    epochs: int = Field(60, ge=1)
    """Passes over the training images."""
    batch_size: int = Field(8, ge=1)
    """Images a step."""
    learning_rate: float = Field(3e-3, gt=0)
    """AdamW's largest learning rate."""
    equalise: bool = False
    """Equalise contrast locally, for images whose coils light the body very differently."""
    every_slice: bool = False
    """Train on every slice that shows a landmark, not only on the one nearest to each point: for few studies."""
    scale_jitter: float = Field(0.2, ge=0, lt=1)
    """How much smaller or larger an image may be made in training; more where pixel spacings cannot be trusted."""
    shift_jitter: float = Field(0.12, ge=0, lt=1)
    """How far an image may be shifted in training, as a share of its side; a spine's place must not tell its level."""
    background: int = Field(2, ge=0)
    """Slices without a landmark that each series adds to the training images."""
    min_confidence: float = Field(0.02, ge=0, le=1)
    """Weakest box that may become a point; the anatomical order sorts out the rest."""
    axial_tolerance_mm: float = Field(8.0, gt=0)
    """An axial slice farther than this from a level's point is refused for that level."""


class ViewConfig(Section):
    """How a crop is sampled around a point."""

    size: int = Field(96, ge=16)
    """Side of the stored crop in pixels."""
    mm_per_pixel: float = Field(0.75, gt=0)
    """Scale of the crop."""
    anterior_mm: float = 0.0
    """How far in front of the point the crop's centre lies: a disc is in front of its canal."""
    slices: int = Field(5, ge=1)
    """Neighbouring slices, the point's own in the middle."""

    @field_validator("slices")
    @classmethod
    def _is_odd(cls, slices: int) -> int:
        if slices % 2 == 0:
            raise ValueError("expected an odd number, so that the point's own slice is the middle one")
        return slices


class CropConfig(Section):
    """The views of the three condition groups."""

    spinal: ViewConfig = ViewConfig()
    """Sagittal T2 around the canal."""
    foraminal: ViewConfig = ViewConfig()
    """Sagittal T1 around the foramen."""
    subarticular: ViewConfig = ViewConfig()
    """Axial T2 around the subarticular recess."""

    def view(self, group: str) -> ViewConfig:
        """The view of a condition group."""
        return {name: getattr(self, name) for name in GROUPS}[group]


class GradeConfig(Section):
    """The classifiers, one for each condition group and fold."""

    backbone: str = "edgenext_xx_small"
    """A timm model's name."""
    members: int = Field(1, ge=1)
    """Graders for each condition group and fold, alike but for their seed; the ensemble takes them together."""
    weights: Path | None = None
    """A local `.safetensors` of the backbone to start from; nothing trains from scratch."""
    image_size: int = Field(96, ge=32)
    """Side that the crop's centre is cut to; the margin is what training shifts into."""
    epochs: int = Field(12, ge=1)
    """Passes over the training crops."""
    batch_size: int = Field(32, ge=2)
    """Crops a step."""
    learning_rate: float = Field(1e-3, gt=0)
    """AdamW's largest learning rate, reached after a tenth of the steps and then let down along a cosine."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's weight decay."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout before the classifier."""
    averaging: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that is kept; 0 keeps the last weights."""
    patience: int | None = Field(None, ge=1)
    """Epochs without progress before training stops, seen on a part of the training folds; nothing never stops."""
    precision: Precision | Literal["auto"] = "auto"
    """Lightning's precision; `auto` is 16-mixed on a GPU and 32-true without one."""

    @field_validator("backbone")
    @classmethod
    def _exists(cls, backbone: str) -> str:
        import timm  # takes seconds, which commands that read no config need not wait for

        if not timm.is_model(backbone):
            near = ", ".join(timm.list_models(f"*{backbone.split('_')[0]}*")[:8]) or "see timm.list_models()"
            raise ValueError(f"timm has no model '{backbone}'; similar ones: {near}")
        return backbone


class SubmitConfig(Section):
    """How predictions become a submission."""

    floor: float = Field(1e-4, ge=0, lt=0.1)
    """Least probability written: one confident error then costs at most 9.2 × its weight."""


class Config(Section):
    """A whole run."""

    name: str
    """The run's name, and its folder's under `runs/`."""
    seed: int = 0
    """Seed of everything but the phantom."""
    phantom: PhantomConfig = PhantomConfig()
    folds: FoldsConfig = FoldsConfig()
    detect: DetectConfig = DetectConfig()
    crop: CropConfig = CropConfig()
    grade: GradeConfig = GradeConfig()
    submit: SubmitConfig = SubmitConfig()

    @property
    def graders(self) -> dict[str, str]:
        """The condition group of each grader by its name: `spinal`, `spinal_1`, ..., the same in every fold."""
        return {
            f"{group}_{member}" if member else group: group for group in GROUPS for member in range(self.grade.members)
        }

    @property
    def folds_file(self) -> Path:
        """Where the folds of this run are written and read."""
        return self.folds.file or Path("folds") / f"{self.name}.csv"


def read_config(path: Path) -> Config:
    """Reads a YAML config; its `name` is the file's name unless it says another."""
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such config")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(values).__name__}")
    try:
        return Config.model_validate({"name": path.stem, **values})
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, item['loc']))}: {_explain(item)}" for item in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _explain(item: object) -> str:
    details = dict(item)  # type: ignore[call-overload]
    if details["type"] == "extra_forbidden":
        return "there is no such key; see src/lumbar/config.py for the keys"
    return f"{details['msg']}, got {details['input']!r}"


def read_saved_config(path: Path) -> Config:
    """Reads the whole config that a run keeps beside its models as JSON."""
    try:
        return Config.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ConfigError(f"{path}: not a saved config of this version: {error}") from error
