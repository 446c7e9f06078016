"""What a run does, as frozen models that refuse unknown keys. A YAML file holds only what differs from the defaults."""

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lumbar.errors import InputError
from lumbar.labels import CONDITIONS, GROUPS, LEVELS, group_of


class ConfigError(InputError):
    """A config that is not what it should be; the message names the file and the key."""


Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
POOLED = "pooled"
"""The name of a grader of all condition groups."""


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
    audit_parts: int | None = Field(None, ge=2)
    """Audit the annotations before a fold's detector is trained: its training studies are parted, a detector of the
    others looks at each part, and a study whose levels it counts otherwise than the annotation is not trained on.
    Nothing trusts every annotation; auditing multiplies the training time by the number of parts."""
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
    whole_slice: bool = False
    """The whole slice, its longer side fitted to the crop's, in place of a window of `mm_per_pixel` on the point."""
    mirror: bool = True
    """Mirror the right side onto the left; a net that has to tell the sides apart needs them as they are."""
    equalise: bool = False
    """Equalise the histogram of each slice."""
    denoise: bool = False
    """Smooth each slice with a small Gaussian."""

    @field_validator("slices")
    @classmethod
    def _is_odd(cls, slices: int) -> int:
        if slices % 2 == 0:
            raise ValueError("expected an odd number, so that the point's own slice is the middle one")
        return slices


class CropConfig(Section):
    """The views of the three condition groups, and the points that they are cut at."""

    points: Literal["detected", "annotated", "clustered"] = "detected"
    """Where training studies are cropped: at the out-of-fold points of the detector, at the annotated points, or, for
    the canal, at every axial slice, its level guessed by K-means of the slices' locations. Studies without labels are
    never annotated and are cropped at detected points instead."""

    spinal: ViewConfig = ViewConfig()
    """Sagittal T2 around the canal."""
    foraminal: ViewConfig = ViewConfig()
    """Sagittal T1 around the foramen."""
    subarticular: ViewConfig = ViewConfig()
    """Axial T2 around the subarticular recess."""

    def view(self, group: str) -> ViewConfig:
        """The view of a condition group."""
        return {name: getattr(self, name) for name in GROUPS}[group]


class CellsConfig(Section):
    """Which cells are graded, and by how many graders; the others are left to the prior."""

    conditions: tuple[str, ...] = tuple(CONDITIONS)
    """The conditions that are graded."""
    levels: tuple[str, ...] = LEVELS
    """The levels that are graded."""
    pooled: bool = False
    """One grader for all condition groups together in place of one for each."""

    @field_validator("conditions", "levels")
    @classmethod
    def _are_known(cls, names: tuple[str, ...], info: Any) -> tuple[str, ...]:
        right = tuple(CONDITIONS) if info.field_name == "conditions" else LEVELS
        if not names or set(names) - set(right):
            raise ValueError(f"expected one or more of {', '.join(right)}")
        return tuple(name for name in right if name in names)

    @property
    def groups(self) -> tuple[str, ...]:
        """The condition groups that have a graded cell."""
        return tuple(group for group in GROUPS if group in map(group_of, self.conditions))

    @property
    def graders(self) -> tuple[str, ...]:
        """The names of a fold's graders: the groups, or `POOLED`."""
        return (POOLED,) if self.pooled else self.groups


class InputConfig(Section):
    """How crops become the net's input."""

    scaling: Literal["standardise", "unit"] = "standardise"
    """Mean 0 and deviation 1 for each crop, or only grey values from 0 to 1."""
    repeat_channels: bool = False
    """Repeat the slice's grey values to three channels, as nets made for colour want them; for one slice only."""
    coordinates: bool = False
    """Give the point's place in the slice to the net as a second input, through a branch of two dense layers."""


class HeadConfig(Section):
    """Dense layers between the backbone's features and the outputs."""

    dense: tuple[int, ...] = ()
    """Their widths; none keeps a timm backbone's own classifier."""
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid"] = "relu"
    """Of the dense layers, and of the convolutions of the nets that are not timm's."""
    batch_norm: bool = False
    """Batch normalisation in the dense layers."""
    level_bias: bool = True
    """Add a bias for each level that starts at the log of its prior, so that training starts from the prior; without
    it the net starts anywhere and is not told the level."""


class AugmentationConfig(Section):
    """Random changes of the crops, of which some papers name a few; by default there are none."""

    rotate: float = Field(0.0, ge=0, le=180)
    """Largest turn in degrees."""
    zoom: float = Field(0.0, ge=0, lt=1)
    """Largest change of scale."""
    shift: float = Field(0.0, ge=0, lt=1)
    """Largest shift as a share of the side."""
    flip: bool = False
    """Flip half of the crops from left to right, whatever that does to what is left and right in them."""
    brightness: float = Field(0.0, ge=0, lt=1)
    """Largest change of brightness."""


class ExamplesConfig(Section):
    """What of the training folds is trained on."""

    drop_all_normal: bool = False
    """Leave out studies that are normal or mild in all of their graded cells."""
    balance: Literal["none", "augment", "equal"] = "none"
    """`augment` fills up the rarer classes with augmented copies, made once, and trains on the others as they are;
    `equal` leaves out crops of the more frequent classes until all have the same number."""
    balance_to: int | None = Field(None, ge=1)
    """Crops of each class that `augment` aims at, of which it leaves out what is above; nothing means as many as the
    most frequent class has."""
    augmentation: Literal["strong"] | AugmentationConfig = "strong"
    """`strong` is the pipeline's own, or a few changes with their sizes."""


class GradeConfig(Section):
    """The classifiers, one for each condition group and fold."""

    cells: CellsConfig = CellsConfig()
    input: InputConfig = InputConfig()
    head: HeadConfig = HeadConfig()
    examples: ExamplesConfig = ExamplesConfig()
    target: Literal["grades", "affected", "condition_and_level"] = "grades"
    """What the net tells apart: the three grades; normal or mild from the rest; or, with two heads, which condition an
    image shows (or none, "healthy") and which level."""
    backbone: str = "edgenext_xx_small"
    """A timm model's name, or one of `cnn_lstm`, `three_block_cnn` and `five_block_cnn`."""
    members: int = Field(1, ge=1)
    """Graders for each condition group and fold, alike but for their seed; the ensemble takes them together."""
    frozen: bool = False
    """Train only what comes behind the backbone."""
    weights: Path | None = None
    """A local `.safetensors` of the backbone to start from; nothing trains from scratch."""
    image_size: int = Field(96, ge=32)
    """Side that the crop's centre is cut to; the margin is what training shifts into."""
    epochs: int = Field(12, ge=1)
    """Passes over the training crops."""
    batch_size: int = Field(32, ge=2)
    """Crops a step."""
    learning_rate: float = Field(1e-3, gt=0)
    """The largest learning rate."""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """AdamW, or Adam as its papers have it, without weight decay."""
    schedule: Literal["one_cycle", "constant", "plateau"] = "one_cycle"
    """The learning rate rises over a tenth of the steps and falls along a cosine; or stays; or is divided by ten when
    the watched loss has stopped falling."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's weight decay."""
    class_weights: Literal["metric", "balanced", "none"] = "metric"
    """Weights of the loss: the metric's for the grades, the same sum for each class, or none."""
    answer: Literal["weighted", "raw"] = "weighted"
    """What is predicted: the best answer to the weighted metric, which is the posterior times the metric's weights over
    those trained with, or the net's outputs as they are. Trained with the metric's weights, the two are the same."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout before the classifier, or behind each dense layer."""
    averaging: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that is kept; 0 keeps the last weights."""
    watch: Literal["loss", "accuracy"] | None = None
    """A figure to watch on a part of the training folds, to keep the weights of its best epoch; nothing keeps the last,
    but `patience` and the plateau schedule watch the loss."""
    patience: int | None = Field(None, ge=1)
    """Epochs without progress of what is watched before training stops; nothing never stops."""
    precision: Precision | Literal["auto"] = "auto"
    """Lightning's precision; `auto` is 16-mixed on a GPU and 32-true without one."""

    @field_validator("backbone")
    @classmethod
    def _exists(cls, backbone: str) -> str:
        from lumbar.grade.networks import suggest_backbones  # takes seconds, which not every command need wait for

        if meant := suggest_backbones(backbone):
            raise ValueError(meant)
        return backbone

    @model_validator(mode="after")
    def _fits_its_target(self) -> Self:
        if self.target != "grades" and (self.class_weights == "metric" or self.head.level_bias):
            raise ValueError(f"target {self.target} needs class_weights other than metric, and head.level_bias false")
        return self

    @property
    def watched(self) -> Literal["loss", "accuracy"] | None:
        """What is watched, whether it was asked for or is needed."""
        return self.watch or ("loss" if self.patience or self.schedule == "plateau" else None)


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

    systems: dict[str, dict[str, Any]] = {}
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
    """What tables call it; nothing means its name."""
    seed: int = 0
    """Seed of everything but the phantom."""
    phantom: PhantomConfig = PhantomConfig()
    folds: FoldsConfig = FoldsConfig()
    detect: DetectConfig = DetectConfig()
    crop: CropConfig = CropConfig()
    grade: GradeConfig = GradeConfig()
    submit: SubmitConfig = SubmitConfig()
    own_split: OwnSplitConfig | None = None
    """How the published system split its rows; nothing means the folds."""
    compare: CompareConfig = CompareConfig()

    @model_validator(mode="after")
    def _can_be_pooled(self) -> Self:
        shapes = {(view.size, view.slices) for view in map(self.crop.view, self.grade.cells.groups)}
        if self.grade.cells.pooled and len(shapes) > 1:
            raise ValueError("grade.cells.pooled needs views of one size and number of slices")
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


def read_config(path: Path) -> Config:
    """Reads a YAML config; its `name` is the file's name unless it says another."""
    return check_config(path, read_values(path))


def read_values(path: Path) -> dict[str, Any]:
    """What a YAML config says, not yet checked."""
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such config")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(values).__name__}")
    return values


def check_config(path: Path, values: dict[str, Any]) -> Config:
    """The config that the values make; ConfigError names `path` and every key that does not fit."""
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
