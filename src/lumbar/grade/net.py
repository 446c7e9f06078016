"""The grader's net: a timm backbone over slices as channels, and the prior of each level."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from numpy.typing import NDArray
from torch import nn

from lumbar.config import Config, ConfigError, GradeConfig
from lumbar.errors import similar_names
from lumbar.labels import GRADES, LEVELS
from lumbar.run.checkpoint import CheckpointError, load_state

LEAST_CONTRAST = 0.05
"""Added to a crop's standard deviation, so that an empty crop is not blown up into noise."""
COLOURS = 3
"""Channels of the nets that are made for colour images."""


class Grader(nn.Module):
    """Logits of the grades from a crop and its level.

    The last layer starts at zero and each level's bias at the log of its weighted prior, so an untrained grader
    predicts the prior and training only has to find what the image adds to it.
    """

    inputs = ("crop", "level")
    """What `forward` takes of a batch."""

    def __init__(self, config: GradeConfig, slices: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_timm(config.backbone, slices, config.image_size, len(GRADES), config.dropout)
        self.level_bias = nn.Embedding(len(LEVELS), len(GRADES))
        nn.init.zeros_(self.level_bias.weight)

    def forward(self, crops: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Logits (B, 3) of crops (B, slices, H, W) in [0, 1] and level indices (B,)."""
        return self.backbone(standardise(crops)) + self.level_bias(levels)

    def start_at_prior(self, prior: NDArray[np.float64]) -> None:
        """Sets the level biases to the log of a prior (5, 3), and the last layer to zero."""
        start_bias(self.level_bias, last_layers(self.backbone), prior)

    def start_backbone_from(self, path: Path) -> None:
        """Loads a local `.safetensors` of the backbone, see `load_backbone`."""
        load_backbone(self.backbone, path, last_layers(self.backbone))


def standardise(crops: torch.Tensor) -> torch.Tensor:
    """Crops (B, slices, H, W) with mean 0 and about unit deviation each: coils and windows differ, anatomy does not."""
    mean = crops.mean(dim=(1, 2, 3), keepdim=True)
    return (crops - mean) / (crops.std(dim=(1, 2, 3), keepdim=True) + LEAST_CONTRAST)


@torch.no_grad()
def start_bias(bias: nn.Embedding, layers: Sequence[Any], prior: NDArray[np.float64]) -> None:
    """Sets the biases of the levels to the log of a prior (5, classes), and the layers before them to zero."""
    bias.weight.copy_(torch.from_numpy(np.log(prior)))
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def last_layers(backbone: Any) -> list[Any]:
    """The layers that give a timm net's outputs: a linear one mostly, a 1×1 convolution or two linear ones in some."""
    classifier = backbone.get_classifier()
    classifiers = classifier if isinstance(classifier, tuple) else (classifier,)
    if not all(isinstance(layer, nn.Linear | nn.Conv2d) for layer in classifiers):
        raise ValueError(f"expected a linear classifier at the end of the backbone, got {classifier}")
    return list(classifiers)


@torch.no_grad()
def load_backbone(backbone: nn.Module, path: Path, classifiers: Sequence[nn.Module]) -> None:
    """Loads a local `.safetensors` of a backbone, all but its classifiers, which have other classes.

    A first layer for three channels is spread over ours by repeating its channels, scaled to keep its output. Raises
    CheckpointError where the file lacks anything of the backbone.
    """
    state, own = load_state(path), backbone.state_dict()
    for name, tensor in state.items():
        if name in own and tensor.ndim == 4 and tensor.shape[1] == COLOURS != own[name].shape[1]:
            channels = own[name].shape[1]
            state[name] = tensor.repeat(1, -(-channels // COLOURS), 1, 1)[:, :channels] * (COLOURS / channels)
    of_classifiers = {tensor for layer in classifiers for tensor in layer.parameters()}
    last = {name for name, tensor in backbone.named_parameters() if tensor in of_classifiers}
    fitting = {
        name: tensor
        for name, tensor in state.items()
        if name in own and name not in last and tensor.shape == own[name].shape
    }
    if lacking := sorted(set(own) - set(fitting) - last):
        raise CheckpointError(f"{path}: lacks {', '.join(lacking[:3])} of the backbone")
    backbone.load_state_dict(fitting, strict=False)


def build_timm(backbone: str, channels: int, image_size: int, outputs: int, dropout: float) -> Any:
    """A timm net with its own classifier; one that must know its input's size, such as a transformer, is told it."""
    shape: dict[str, Any] = {"img_size": image_size} if _has_fixed_size(backbone) else {}
    return timm.create_model(
        backbone, pretrained=False, in_chans=channels, num_classes=outputs, drop_rate=dropout, **shape
    )


def _has_fixed_size(backbone: str) -> bool:
    described = timm.get_pretrained_cfg(backbone)  # None for a name that is only kept for old code
    return described is not None and bool(described.fixed_input_size)


def expect_backbone(config: Config, others: Sequence[str] = ()) -> None:
    """Raises ConfigError, with what could have been meant, where a config's backbone is neither timm's nor one of the
    others."""
    backbone = config.grade.backbone
    if backbone in others or timm.is_model(backbone):
        return
    near = similar_names(backbone, timm.list_models(), "see timm.list_models()")
    beside = f"; beside timm's there are {', '.join(others)}" if others else ""
    raise ConfigError(
        f"config {config.name}: grade.backbone: timm has no model '{backbone}'; similar ones: {near}{beside}"
    )


def level_prior(prior: pd.DataFrame, conditions: Sequence[str]) -> NDArray[np.float64]:
    """The prior (5, 3) of a group's levels, its sides taken together; `prior` is `priors.fit_prior`."""
    rows = prior[prior["condition"].isin(conditions)]
    return rows.groupby("level")[list(GRADES)].mean().loc[list(LEVELS)].to_numpy()
