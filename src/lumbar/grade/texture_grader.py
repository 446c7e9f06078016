"""A grader without a net: support vectors on the texture of a crop's slices, fitted at once in seconds.

On a few hundred studies it is worse than a net from ImageNet, and right where that is wrong: LAB.md has what the two
say together.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms.functional import center_crop

from lumbar.config import GraderConfig, ViewConfig
from lumbar.grade.fitted import SupportVectors
from lumbar.grade.texture import TextureFeatures
from lumbar.labels import GRADE_WEIGHTS, GRADES

CENTRE = 0.78
"""The part of a crop's side that is measured by itself as well: the point's near surroundings."""


class TextureGrader(nn.Module):
    """Logits of the grades from the texture of a crop; says nothing before it is fitted.

    The level is not told: it changed nothing (LAB.md, 2026-11-28).
    """

    inputs = ("crop",)
    """What `forward` takes of a batch."""
    weights: torch.Tensor

    def __init__(self, config: GraderConfig, views: Sequence[ViewConfig]) -> None:
        super().__init__()
        self.config, self.views = config, tuple(views)
        self.texture = TextureFeatures(sum(view.slices for view in views))
        self.head = SupportVectors(len(GRADES))
        self.register_buffer("weights", torch.tensor(GRADE_WEIGHTS).float(), persistent=False)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Logits (B, 3) of crops (B, slices, S, S) in [0, 1].

        The support vectors' shares are those of the cases; with the metric's weights they are what it asks for.
        """
        logits: torch.Tensor = self.head(self.features(crops)) + self.weights.log()
        return logits

    def features(self, crops: torch.Tensor) -> torch.Tensor:
        """The features (B, F) of crops, as `forward` takes them."""
        centre = center_crop(crops, [round(CENTRE * crops.shape[-1])] * 2)
        return torch.cat([self.texture(crops), self.texture(centre)], dim=1)

    def fit(
        self, features: torch.Tensor, grades: NDArray[np.int64], label_weights: NDArray[np.float64], seed: int
    ) -> None:
        """Fits to features (N, F) of grades (N,), whose labels count so much (N,) beside the metric's weights."""
        self.head.fit(features.numpy(), grades, np.array(GRADE_WEIGHTS)[grades] * label_weights, seed)
