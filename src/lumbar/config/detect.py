"""The detect stage's section."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat

from lumbar.records import Record

LOOKS_WITH = frozenset({"min_confidence", "scales", "axial_tolerance_mm"})
"""The keys of the section that say how a detector that is trained already finds points."""


class DetectConfig(Record):
    """The YOLOv8 detector of landmarks, one for each fold."""

    scale: Literal["p", "n", "s", "m", "l", "x"] = "s"
    """YOLOv8's size; `p` is half as wide as `n`, for machines without a GPU."""
    weights: Path | None = None
    """A local `.pt` or `.safetensors` to start from; null trains from scratch. Nothing is ever downloaded."""
    image_size: int = Field(512, ge=64, multiple_of=32)
    """Side of the detector's square image in pixels."""
    mm_per_pixel: float = Field(0.6, gt=0)
    """Scale of the detector's image; image_size × mm_per_pixel is its field of view."""
    box_mm: float = Field(28.0, gt=0)
    """Side of the square box around each annotated point, about a disc and its canal."""
    epochs: int = Field(30, ge=1)
    """Passes over the training images."""
    batch_size: int = Field(16, ge=1)
    """Images a step."""
    learning_rate: float = Field(3e-3, gt=0)
    """AdamW's largest learning rate."""
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
    scales: tuple[PositiveFloat, ...] = Field((1.0,), min_length=1)
    """Scales at which sagittal series are looked at, the surest of which is taken: more than one where pixel spacings
    cannot be trusted."""
    axial_tolerance_mm: float = Field(8.0, gt=0)
    """An axial slice farther than this from a level's point is refused for that level."""
