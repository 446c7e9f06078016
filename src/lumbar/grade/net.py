"""The grader's network: a backbone over slices as channels, the layers behind it, and the prior of each level."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from lumbar.baselines.nets import PlaceBranch, build_features, build_head, build_timm, is_own
from lumbar.baselines.targets import TARGETS, Cells, answer
from lumbar.config import GradeConfig
from lumbar.labels import CONDITIONS, GRADE_WEIGHTS, GRADES, LEVELS
from lumbar.run.checkpoint import CheckpointError, load_state

LEAST_CONTRAST = 0.05
"""Added to a crop's standard deviation, so that an empty crop is not blown up into noise."""
COLOURS = 3
"""Channels of the nets that are made for colour images."""


def standardise(crops: torch.Tensor) -> torch.Tensor:
    """Crops (B, slices, H, W) with mean 0 and about unit deviation each: coils and windows differ, anatomy does not."""
    mean = crops.mean(dim=(1, 2, 3), keepdim=True)
    return (crops - mean) / (crops.std(dim=(1, 2, 3), keepdim=True) + LEAST_CONTRAST)


class Grader(nn.Module):
    """Outputs of a config's target from a crop, its level and, where the config says so, its place in the slice.

    Where the config has a level bias, the last layer starts at zero and each level's bias at the log of its weighted
    prior, so an untrained grader predicts the prior and training only has to find what the image adds to it.
    """

    level_bias: nn.Embedding | None
    places: PlaceBranch | None
    trained_with: torch.Tensor
    severe_shares: torch.Tensor

    def __init__(self, config: GradeConfig, slices: int) -> None:
        super().__init__()
        self.config, self.target = config, TARGETS[config.target]
        channels = COLOURS if config.input.repeat_channels else slices
        self.backbone, self.places, self.head = _build(config, channels, self.target.outputs)
        if config.frozen:
            self.backbone.requires_grad_(False)
        self.level_bias = nn.Embedding(len(LEVELS), self.target.outputs) if config.head.level_bias else None
        if self.level_bias is not None:
            nn.init.zeros_(self.level_bias.weight)
        trained_with = GRADE_WEIGHTS if config.class_weights == "metric" else [1.0] * len(self.target.classes)
        self.register_buffer("trained_with", torch.tensor(trained_with))
        self.register_buffer("severe_shares", torch.full((len(CONDITIONS), len(LEVELS)), 0.5))

    def train(self, mode: bool = True) -> "Grader":
        """Switches to training or back; a frozen backbone keeps its running statistics."""
        super().train(mode)
        if self.config.frozen:
            self.backbone.eval()
        return self

    def forward(self, crops: torch.Tensor, levels: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        """Outputs (B, C) of crops (B, slices, H, W) in [0, 1], level indices (B,) and places (B, 2)."""
        images = crops if self.config.input.scaling == "unit" else standardise(crops)
        if self.config.input.repeat_channels:
            images = images.expand(-1, COLOURS, -1, -1)
        features = self.backbone(images)
        if self.places is not None:
            features = torch.cat([features, self.places(places)], dim=1)
        outputs = self.head(features)
        return outputs if self.level_bias is None else outputs + self.level_bias(levels)

    def grades(self, outputs: torch.Tensor, conditions: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, 3) of the grades, in float64, from outputs (B, C) and indices of conditions and levels.

        All of them lie on the CPU.
        """
        probabilities = self.target.probabilities(outputs.double())
        cells = Cells(conditions, levels, self.severe_shares.cpu().double())
        if self.config.answer == "weighted":
            return answer(self.config.target, probabilities, self.trained_with.cpu(), cells)
        return self.target.grade(probabilities, cells)

    @torch.no_grad()
    def start_at_prior(self, prior: NDArray[np.float64]) -> None:
        """Sets the level biases to the log of a prior (5, 3), and the last layer to zero."""
        if self.level_bias is None:
            raise ValueError("expected a grader with a level bias")
        self.level_bias.weight.copy_(torch.from_numpy(np.log(prior)))
        for layer in self._last_layers():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def _last_layers(self) -> list[Any]:
        """The layers that give the outputs: a linear one mostly, a 1×1 convolution or two linear ones in some nets."""
        if isinstance(self.head, nn.Sequential):
            return [self.head[-1]]
        classifier = self.backbone.get_classifier()
        classifiers = classifier if isinstance(classifier, tuple) else (classifier,)
        if not all(isinstance(layer, nn.Linear | nn.Conv2d) for layer in classifiers):
            raise ValueError(f"expected a linear classifier at the end of the backbone, got {classifier}")
        return list(classifiers)

    @torch.no_grad()
    def start_backbone_from(self, path: Path) -> None:
        """Loads a local `.safetensors` of the backbone, all but its classifier, which has other classes.

        A first layer for three channels is spread over ours by repeating its channels, scaled to keep its output.
        """
        state, own = load_state(path), self.backbone.state_dict()
        for name, tensor in state.items():
            if name in own and tensor.ndim == 4 and tensor.shape[1] == COLOURS != own[name].shape[1]:
                channels = own[name].shape[1]
                state[name] = tensor.repeat(1, -(-channels // COLOURS), 1, 1)[:, :channels] * (COLOURS / channels)
        classifier = {tensor for layer in self._last_layers() for tensor in layer.parameters()}
        last = {name for name, tensor in self.backbone.named_parameters() if tensor in classifier}
        fitting = {
            name: tensor
            for name, tensor in state.items()
            if name in own and name not in last and tensor.shape == own[name].shape
        }
        if lacking := sorted(set(own) - set(fitting) - last):
            raise CheckpointError(f"{path}: lacks {', '.join(lacking[:3])} of the backbone")
        self.backbone.load_state_dict(fitting, strict=False)


def _build(config: GradeConfig, channels: int, outputs: int) -> tuple[Any, PlaceBranch | None, nn.Module]:
    """The backbone, the branch for the point's place, and what comes behind them."""
    head, places = config.head, PlaceBranch(config.head.activation) if config.input.coordinates else None
    if not (is_own(config.backbone) or head.dense or places):
        return (
            build_timm(config.backbone, channels, config.image_size, outputs, config.dropout),
            None,
            nn.Identity(),
        )
    backbone, features = build_features(config.backbone, channels, config.image_size, head.activation)
    features += places.features if places else 0
    dense = build_head(features, head.dense, outputs, head.activation, head.batch_norm, config.dropout)
    return backbone, places, dense


def level_prior(prior: pd.DataFrame, conditions: list[str]) -> NDArray[np.float64]:
    """The prior (5, 3) of a group's levels, its sides taken together; `prior` is `priors.fit_prior`."""
    rows = prior[prior["condition"].isin(conditions)]
    return rows.groupby("level")[list(GRADES)].mean().loc[list(LEVELS)].to_numpy()


def severe_shares(prior: pd.DataFrame) -> NDArray[np.float64]:
    """The share of severe among moderate and severe cases (5 conditions, 5 levels), from `priors.fit_prior`, whose
    cases count with the metric's weights."""
    cases = prior.set_index(["condition", "level"])[list(GRADES)] / np.array(GRADE_WEIGHTS)
    shares = cases["severe"] / (cases["moderate"] + cases["severe"])
    return shares.unstack("level").loc[list(CONDITIONS), list(LEVELS)].to_numpy()  # noqa: PD010


def count_parameters(module: nn.Module) -> dict[str, int]:
    """How many numbers a net holds: `trainable` and `frozen` parameters, and `running` statistics of normalisation."""
    parameters = list(module.parameters())
    trainable = sum(tensor.numel() for tensor in parameters if tensor.requires_grad)
    statistics = [tensor for name, tensor in module.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return {
        "trainable": trainable,
        "frozen": sum(tensor.numel() for tensor in parameters) - trainable,
        "running": sum(tensor.numel() for tensor in statistics),
    }
