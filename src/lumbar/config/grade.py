"""The grade stage's section."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lumbar.config.section import Section
from lumbar.labels import CONDITIONS, GROUPS, LEVELS, group_of

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


POOLED = "pooled"
"""The name of a grader of all condition groups."""


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
    """Crops of each class that `augment` aims at, of which it leaves out what is above; null means as many as the
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
    """A local `.safetensors` of the backbone to start from; null trains from scratch."""
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
    """A figure to watch on a part of the training folds, to keep the weights of its best epoch; null keeps the last,
    but `patience` and the plateau schedule watch the loss."""
    patience: int | None = Field(None, ge=1)
    """Epochs without progress of what is watched before training stops; with null it never stops early."""
    precision: Precision | Literal["auto"] = "auto"
    """Lightning's precision; `auto` is 16-mixed on a GPU and 32-true without one."""

    @model_validator(mode="after")
    def _fits_its_target(self) -> Self:
        if self.target != "grades" and (self.class_weights == "metric" or self.head.level_bias):
            raise ValueError(f"target {self.target} needs class_weights other than metric, and head.level_bias false")
        return self

    @property
    def watched(self) -> Literal["loss", "accuracy"] | None:
        """What is watched, whether it was asked for or is needed."""
        return self.watch or ("loss" if self.patience or self.schedule == "plateau" else None)
