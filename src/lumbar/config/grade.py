"""The grade stage's sections: what all graders have in common, and each grader's own."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lumbar.records import Record

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
Degrees = Annotated[float, Field(ge=-45, le=45)]


class GradeConfig(Record):
    """How graders are built, trained and asked; a grader's own keys win."""

    backbone: str = "convnext_small"
    """A timm model's name; or `texture_svm`, a grader without a net: support vectors on the texture of each slice,
    fitted at once. Of what is said of training it heeds `points`, `studies` and `suspects`."""
    seeds: int = Field(1, ge=1)
    """Nets of each grader and fold, alike but for their seed; the ensemble takes them together."""
    weights: Path | None = None
    """A local `.safetensors` to start from, of the backbone or of a grader that was trained on other studies, such as a
    phantom's; null trains from scratch. A grader of the same studies has seen what it will be judged by."""
    image_size: int = Field(224, ge=32)
    """Side that the crop's centre is cut to; the margin is what training shifts into."""
    slices_as: Literal["channels", "sequence"] = "channels"
    """A crop's slices are the channels of one image, which is cheap, or go through the backbone one by one."""
    pooling: Literal["mean", "attention", "lstm"] = "attention"
    """How the features of a sequence's slices become one: their mean, a learned weighting, or a two-layer LSTM in both
    directions and then the weighting. Slices that a stack does not have never count."""
    colours: bool = False
    """Repeat a sequence's grey slices to the three channels of the pretrained first layer, which is then kept as it
    is; without it the layer is spread over the channels that there are."""
    scaling: Literal["crop", "weights"] = "crop"
    """Grey values scaled to mean 0 and deviation 1 in each crop, of a sequence in each slice, or by the mean and
    deviation of the backbone's pretrained weights."""
    level_embedding: int = Field(0, ge=0)
    """Numbers that tell the head the level, beside the level's bias; 0 for none."""
    view_loss: float = Field(0.0, ge=0)
    """Weight of the loss of a head on each view by itself, where a grader joins several."""
    slice_loss: float = Field(0.0, ge=0)
    """Weight of the loss of a head that says which slice of a sequence was marked."""
    epochs: int = Field(12, ge=1)
    """Passes over the training cells."""
    batch_size: int = Field(16, ge=2)
    """Cells a step."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are added up for one step of the optimiser."""
    learning_rate: float = Field(1e-4, gt=0)
    """The largest learning rate, which rises over a tenth of the steps and falls along a cosine."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's weight decay."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout before the classifier."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth, of backbones that have it."""
    averaging: float = Field(0.995, ge=0, lt=1)
    """Decay of the moving average of the weights that is kept, which starts as a plain mean; 0 keeps the last
    weights."""
    points: Literal["detected", "annotated", "either"] = "detected"
    """Where training cells are cropped: at the detector's out-of-fold points, at the annotated ones, or at either, by
    chance in each epoch. A cell that lacks the one is cropped at the other only with `either`."""
    studies: int | None = Field(None, ge=1)
    """Train on so many studies only, of those that may be trained on: to see what more of them would give."""
    slice_shift: float = Field(0.0, ge=0, lt=1)
    """How often training sees a view one slice off; it needs the view's `spare` slices."""
    suspects: Path | None = None
    """A table of labels that are probably wrong, as `lumbar noise` writes it; null believes every label. Only training
    listens to it."""
    suspect_weight: float = Field(0.0, ge=0, le=1)
    """How much a suspect label counts in training; 0 leaves it out."""
    mixup: float = Field(0.0, ge=0, le=1)
    """How often a training batch is mixed, cell with cell."""
    cutmix: float = Field(0.0, ge=0, le=1)
    """How often a rectangle of a training batch's crops comes from another cell."""
    augmentation: float = Field(1.0, ge=0, le=2)
    """Strength of the random changes in training, 1 as they were first chosen."""
    turns: tuple[Degrees, ...] = Field((0.0,), min_length=1)
    """Degrees by which crops are turned in prediction; the answers are averaged. Nothing is ever flipped."""
    shifts_mm: tuple[float, ...] = Field((0.0,), min_length=1)
    """Millimetres by which crops are shifted in prediction, along both axes; averaged with the turns."""
    precision: Precision | Literal["auto"] = "auto"
    """Lightning's precision; `auto` is 16-mixed on a GPU and 32-true without one."""

    @model_validator(mode="after")
    def _mixes_at_most_always(self) -> Self:
        if self.mixup + self.cutmix > 1:
            raise ValueError(f"mixup and cutmix are shares of the batches, {self.mixup} and {self.cutmix} exceed 1")
        return self

    @model_validator(mode="after")
    def _has_what_it_asks_for(self) -> Self:
        if self.slices_as == "channels" and (self.slice_loss or self.colours):
            raise ValueError("slice_loss and colours need slices_as: sequence")
        return self


class GraderConfig(GradeConfig):
    """One grader: the views that it reads, and what it does otherwise than the `grade` section says."""

    views: tuple[str, ...] = Field(min_length=1)
    """Views of one condition group; of several the features are joined."""

    @field_validator("views", mode="before")
    @classmethod
    def _may_be_one(cls, views: Any) -> Any:
        return (views,) if isinstance(views, str) else views

    @field_validator("views")
    @classmethod
    def _are_different(cls, views: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(views)) < len(views):
            raise ValueError("expected different views")
        return views
