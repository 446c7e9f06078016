"""The grader's network: a timm backbone over slices as channels, on top of the prior of each level."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from numpy.typing import NDArray
from torch import nn

from lumbar.checkpoint import CheckpointError, load_state
from lumbar.config import GradeConfig
from lumbar.labels import GRADES, LEVELS

LEAST_CONTRAST = 0.05
"""Added to a crop's standard deviation, so that an empty crop is not blown up into noise."""


def standardise(crops: torch.Tensor) -> torch.Tensor:
    """Crops (B, slices, H, W) with mean 0 and about unit deviation each: coils and windows differ, anatomy does not."""
    mean = crops.mean(dim=(1, 2, 3), keepdim=True)
    return (crops - mean) / (crops.std(dim=(1, 2, 3), keepdim=True) + LEAST_CONTRAST)


class Grader(nn.Module):
    """Logits of the three grades from a crop and its level.

    The backbone's last layer starts at zero and each level's bias at the log of its weighted prior, so an untrained
    grader predicts the prior and training only has to find what the image adds to it.
    """

    def __init__(self, config: GradeConfig, slices: int) -> None:
        super().__init__()
        self.backbone: Any = timm.create_model(
            config.backbone, pretrained=False, in_chans=slices, num_classes=len(GRADES), drop_rate=config.dropout
        )
        self.level_bias = nn.Embedding(len(LEVELS), len(GRADES))
        nn.init.zeros_(self.level_bias.weight)

    def forward(self, crops: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Logits (B, 3) of crops (B, slices, H, W) in [0, 1] and level indices (B,)."""
        return self.backbone(standardise(crops)) + self.level_bias(levels)

    @torch.no_grad()
    def start_at_prior(self, prior: NDArray[np.float64]) -> None:
        """Sets the level biases to the log of a prior (5, 3), and the backbone's last layer to zero."""
        self.level_bias.weight.copy_(torch.from_numpy(np.log(prior)))
        head = self.backbone.get_classifier()
        if not isinstance(head, nn.Linear):
            raise ValueError(f"expected a linear classifier at the end of the backbone, got {type(head).__name__}")
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)

    @torch.no_grad()
    def start_backbone_from(self, path: Path) -> None:
        """Loads a local `.safetensors` of the backbone, all but its classifier, which has other classes.

        A first layer for three channels is spread over ours by repeating its channels, scaled to keep its output.
        """
        state, own = load_state(path), self.backbone.state_dict()
        for name, tensor in state.items():
            if name in own and tensor.ndim == 4 and tensor.shape[1] == 3 != own[name].shape[1]:
                channels = own[name].shape[1]
                state[name] = tensor.repeat(1, -(-channels // 3), 1, 1)[:, :channels] * (3 / channels)
        classifier = set(self.backbone.get_classifier().parameters())
        last = {name for name, tensor in self.backbone.named_parameters() if tensor in classifier}
        fitting = {
            name: tensor
            for name, tensor in state.items()
            if name in own and name not in last and tensor.shape == own[name].shape
        }
        if lacking := sorted(set(own) - set(fitting) - last):
            raise CheckpointError(f"{path}: lacks {', '.join(lacking[:3])} of the backbone")
        self.backbone.load_state_dict(fitting, strict=False)


def level_prior(prior: pd.DataFrame, conditions: list[str]) -> NDArray[np.float64]:
    """The prior (5, 3) of a group's levels, its sides taken together; `prior` is `priors.fit_prior`."""
    rows = prior[prior["condition"].isin(conditions)]
    return rows.groupby("level")[list(GRADES)].mean().loc[list(LEVELS)].to_numpy()
