"""What makes a run one of the published systems: the section that `configs/published/` fills, and no other config."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lumbar.labels import CONDITIONS, GROUPS, LEVELS, group_of
from lumbar.records import Record

POOLED = "pooled"
"""The name of a grader of all condition groups."""


class CellsConfig(Record):
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


class SliceConfig(Record):
    """How slices are cut and prepared beyond what the crop's view says."""

    whole_slice: bool = False
    """The whole slice, its longer side fitted to the crop's, in place of a window of `mm_per_pixel` on the point."""
    mirror: bool = True
    """Mirror the right side onto the left; a net that has to tell the sides apart needs them as they are."""
    equalise: bool = False
    """Equalise the histogram of each slice."""
    denoise: bool = False
    """Smooth each slice with a small Gaussian."""


class InputConfig(Record):
    """How crops become the net's input."""

    scaling: Literal["standardise", "unit"] = "standardise"
    """Mean 0 and deviation 1 for each crop, or only grey values from 0 to 1."""
    repeat_channels: bool = False
    """Repeat the slice's grey values to three channels, as nets made for colour want them; for one slice only."""
    coordinates: bool = False
    """Give the point's place in the slice to the net as a second input, through a branch of two dense layers."""


class HeadConfig(Record):
    """What comes between the backbone's features and the outputs."""

    kind: Literal["dense", "support_vectors", "forest"] = "dense"
    """Dense layers that are trained with the backbone, or a classical classifier that is fitted at once to features
    that are not trained: an SVM with probabilities, or a random forest."""
    dense: tuple[int, ...] = ()
    """The dense layers' widths; none keeps a timm backbone's own classifier."""
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid"] = "relu"
    """The activation of the dense layers, and of the convolutions of nets that are not timm's."""
    batch_norm: bool = False
    """Batch normalisation in the dense layers."""
    level_bias: bool = True
    """Add a bias for each level that starts at the log of its prior, so that training starts from the prior; without
    it the net starts anywhere and is not told the level."""


class AugmentationConfig(Record):
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


class ExamplesConfig(Record):
    """What of the training folds is trained on."""

    drop_all_normal: bool = False
    """Leave out studies with every one of the graded cells normal or mild; a cell without a label is not."""
    balance: Literal["none", "augment", "copies", "equal"] = "none"
    """`augment` fills up the rarer classes with augmented copies, made once, and trains on the others as they are;
    `copies` trains on augmented copies alone, as many of each class; `equal` leaves out crops of the more frequent
    classes until all have the same number."""
    balance_to: int | None = Field(None, ge=1)
    """How many crops of each class `augment` and `copies` train on: of a class with fewer there are copies, of one with
    more the rest is left out. Null means as many as the most frequent class has."""
    augmentation: Literal["strong"] | AugmentationConfig = "strong"
    """`strong` is the pipeline's own, or a few changes with their sizes."""


class FitConfig(Record):
    """How the net is fitted, where that is not the pipeline's own way."""

    optimiser: Literal["adamw", "adam"] = "adamw"
    """AdamW, or Adam as its papers have it, without weight decay."""
    schedule: Literal["one_cycle", "constant", "plateau"] = "one_cycle"
    """The learning rate rises over a tenth of the steps and falls along a cosine; or stays; or is divided by ten when
    the watched loss has stopped falling."""
    class_weights: Literal["metric", "balanced", "none"] = "metric"
    """Weights of the loss: the metric's for the grades, the same sum for each class, or none."""
    watch: Literal["loss", "accuracy", "training_accuracy"] | None = None
    """The figure whose best epoch is kept: `loss` or `accuracy` on a watched part of the training folds, or
    `training_accuracy` on what is trained on. Null keeps the last epoch, unless `patience` or the plateau schedule is
    set: these need a watched loss, and its best epoch is kept."""
    watched_share: float = Field(0.15, gt=0, lt=1)
    """The part of the training examples that is watched, and not trained on."""
    patience: int | None = Field(None, ge=1)
    """Epochs without progress of what is watched before training stops; with null it never stops early."""
    frozen: bool = False
    """Train only what comes behind the backbone."""

    @property
    def best_by(self) -> Literal["watched_loss", "watched_accuracy", "accuracy"] | None:
        """The figure whose best epoch is kept, whether it was asked for or is needed."""
        if self.watch == "training_accuracy":
            return "accuracy"
        if self.watch == "accuracy":
            return "watched_accuracy"
        return "watched_loss" if self.holds_out else None

    @property
    def stops_by(self) -> Literal["watched_loss", "watched_accuracy"]:
        """The figure that `patience` waits for: always one of the watched part."""
        return "watched_accuracy" if self.watch == "accuracy" else "watched_loss"

    @property
    def holds_out(self) -> bool:
        """Whether a part of the training examples is watched, and not trained on."""
        return self.watch in ("loss", "accuracy") or self.patience is not None or self.schedule == "plateau"


class OwnSplitConfig(Record):
    """How a paper split its rows; its own figures are measured that way, beside those on the folds."""

    share: float = Field(0.2, gt=0, le=0.5)
    """The share of rows that are tested on."""
    stratified: bool = False
    """Keep the classes' shares in both parts."""
    tested_each: int | None = Field(None, ge=1)
    """Crops of each class that are tested on, as they are, in place of a share of all rows; at most the share of the
    rarest class. Trained twice: with copies of these crops among what is trained on, and without."""
    repeats: int = Field(1, ge=1)
    """How many of the disjoint test parts are trained for: more where they are small."""

    @model_validator(mode="after")
    def _has_one_part_of_each_class(self) -> Self:
        if self.tested_each and self.repeats > 1:
            raise ValueError("tested_each has one test part, expected repeats 1")
        return self


class PublishedConfig(Record):
    """What a paper's system does in other ways than the main pipeline."""

    title: str = ""
    """What tables call it; left empty, the config's name."""
    points: Literal["detected", "annotated", "clustered"] = "detected"
    """Where training studies are cropped: at the out-of-fold points of the detector, at the annotated points, or, for
    the canal, at every axial slice, its level guessed by K-means of the slices' heights. Test studies, which are never
    annotated, are cropped at detected points instead of annotated ones."""
    cells: CellsConfig = CellsConfig()
    slices: SliceConfig = SliceConfig()
    input: InputConfig = InputConfig()
    head: HeadConfig = HeadConfig()
    examples: ExamplesConfig = ExamplesConfig()
    fit: FitConfig = FitConfig()
    target: Literal["grades", "affected", "condition_and_level", "affected_condition_and_level"] = "grades"
    """What the net tells apart: the three grades; normal or mild from the rest; or, with two heads, which condition a
    slice is annotated with, whatever its grade (slices without an annotation are "healthy"), and at which level; or the
    same with "healthy" for cells that are normal or mild, and without the other slices."""
    answer: Literal["weighted", "raw"] = "weighted"
    """What is predicted: the best answer to the weighted metric, which is the posterior times the metric's weights over
    those trained with, or the net's outputs as they are. Trained with the metric's weights, the two are the same."""
    own_split: OwnSplitConfig | None = None
    """How the paper split its rows; null means by the folds."""

    @model_validator(mode="after")
    def _fits_its_target(self) -> Self:
        if self.target != "grades" and (self.fit.class_weights == "metric" or self.head.level_bias):
            raise ValueError(
                f"target {self.target} needs fit.class_weights other than metric, and head.level_bias false"
            )
        fitted = self.head.kind != "dense"
        if fitted and (self.target != "grades" or self.head.level_bias or self.input.coordinates):
            raise ValueError(
                f"head.kind {self.head.kind} needs target grades, and head.level_bias and input.coordinates false"
            )
        return self


class CompareConfig(Record):
    """The systems that `lumbar compare` sets beside this run, each a config in `published/` beside this one."""

    systems: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """In the table's order, each with what differs from its config at this size."""
    backbones: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What differs further where `lumbar system backbones` trains a system with many backbones, by its name."""
