"""The grade stage's section."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from lumbar.records import Record

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


class GradeConfig(Record):
    """The classifiers, one for each condition group and fold."""

    backbone: str = "convnext_small"
    """A timm model's name."""
    members: int = Field(1, ge=1)
    """Graders for each condition group and fold, alike but for their seed; the ensemble takes them together."""
    weights: Path | None = None
    """A local `.safetensors` of the backbone to start from; null trains from scratch."""
    image_size: int = Field(224, ge=32)
    """Side that the crop's centre is cut to; the margin is what training shifts into."""
    epochs: int = Field(12, ge=1)
    """Passes over the training crops."""
    batch_size: int = Field(16, ge=2)
    """Crops a step."""
    learning_rate: float = Field(1e-4, gt=0)
    """The largest learning rate, which rises over a tenth of the steps and falls along a cosine."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's weight decay."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout before the classifier."""
    averaging: float = Field(0.995, ge=0, lt=1)
    """Decay of the moving average of the weights that is kept; 0 keeps the last weights."""
    precision: Precision | Literal["auto"] = "auto"
    """Lightning's precision; `auto` is 16-mixed on a GPU and 32-true without one."""
