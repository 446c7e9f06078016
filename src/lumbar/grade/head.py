"""From features to grades: the level's prior and embedding, and the auxiliary heads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from lumbar.labels import GRADES, LEVELS


class GradeHead(nn.Module):
    """Logits of the grades from features and a level.

    The last layer starts at zero and each level's bias at the log of its weighted prior, so an untrained grader
    predicts the prior and training only has to find what the image adds to it.
    """

    def __init__(self, width: int, dropout: float, level_embedding: int = 0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Embedding(len(LEVELS), level_embedding) if level_embedding else None
        self.linear = nn.Linear(width + level_embedding, len(GRADES))
        self.level_bias = nn.Embedding(len(LEVELS), len(GRADES))
        nn.init.zeros_(self.level_bias.weight)

    def forward(self, features: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Logits (B, 3) of features (B, F) and level indices (B,)."""
        if self.embedding is not None:
            features = torch.cat([features, self.embedding(levels)], dim=1)
        logits: torch.Tensor = self.linear(self.dropout(features)) + self.level_bias(levels)
        return logits

    def start_at_prior(self, prior: NDArray[np.float64]) -> None:
        """Sets the level biases to the log of a prior (5, 3), and the last layer to zero."""
        start_bias(self.level_bias, [self.linear], prior)


@torch.no_grad()
def start_bias(bias: nn.Embedding, layers: Sequence[Any], prior: NDArray[np.float64]) -> None:
    """Sets the biases of the levels to the log of a prior (5, classes), and the layers before them to zero."""
    bias.weight.copy_(torch.from_numpy(np.log(prior)))
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def level_prior(prior: pd.DataFrame, conditions: Sequence[str]) -> NDArray[np.float64]:
    """The prior (5, 3) of a group's levels, its sides taken together; `prior` is `priors.fit_prior`."""
    rows = prior[prior["condition"].isin(conditions)]
    return rows.groupby("level")[list(GRADES)].mean().loc[list(LEVELS)].to_numpy()
