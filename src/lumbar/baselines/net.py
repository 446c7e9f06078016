"""The net of a published system: a backbone, the branch for the point's place, and the layers behind them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from lumbar.baselines.backbones import NETWORKS, PlaceBranch, build_features, build_head
from lumbar.baselines.targets import TARGETS, Cells, answer
from lumbar.config import Config
from lumbar.grade.encoder import COLOURS, build_timm, channels_last, last_layers, load_backbone, standardise
from lumbar.grade.fitted import FITTED, FittedHead
from lumbar.grade.head import start_bias
from lumbar.labels import CONDITIONS, GRADE_WEIGHTS, GRADES, LEVELS


class SystemNet(nn.Module):
    """Outputs of a system's target from a crop, its level and, where the config says so, its place in the slice."""

    inputs = ("crop", "level", "place")
    """What `forward` takes of a batch."""
    level_bias: nn.Embedding | None
    places: PlaceBranch | None
    trained_with: torch.Tensor
    severe_shares: torch.Tensor

    def __init__(self, config: Config, slices: int) -> None:
        super().__init__()
        self.config, self.grade, self.published = config, config.grade, config.system
        self.target = TARGETS[self.published.target]
        channels = COLOURS if self.published.input.repeat_channels else slices
        self.backbone, self.places, self.head = _build(config, channels, self.target.outputs)
        if self.published.fit.frozen:
            self.backbone.requires_grad_(False)
        self.level_bias = nn.Embedding(len(LEVELS), self.target.outputs) if self.published.head.level_bias else None
        if self.level_bias is not None:
            nn.init.zeros_(self.level_bias.weight)
        by_metric = self.published.fit.class_weights == "metric"
        trained_with = GRADE_WEIGHTS if by_metric else [1.0] * len(self.target.classes)
        self.register_buffer("trained_with", torch.tensor(trained_with))
        self.register_buffer("severe_shares", torch.full((len(CONDITIONS), len(LEVELS)), 0.5))

    def train(self, mode: bool = True) -> "SystemNet":
        """Switches to training or back; a frozen backbone keeps its running statistics."""
        super().train(mode)
        if self.published.fit.frozen:
            self.backbone.eval()
        return self

    def forward(self, crops: torch.Tensor, levels: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        """Outputs (B, C) of crops (B, slices, H, W) in [0, 1], level indices (B,) and places (B, 2)."""
        features = self.features(crops)
        if self.places is not None:
            features = torch.cat([features, self.places(places)], dim=1)
        outputs = self.head(features)
        return outputs if self.level_bias is None else outputs + self.level_bias(levels)

    def features(self, crops: torch.Tensor) -> torch.Tensor:
        """The backbone's features (B, F) of crops (B, slices, H, W) in [0, 1]."""
        images = crops if self.published.input.scaling == "unit" else standardise(crops)
        if self.published.input.repeat_channels:
            images = images.expand(-1, COLOURS, -1, -1)
        if self.grade.backbone not in NETWORKS:  # timm's are faster so, up to 40 % on a CPU; the papers' own are not
            images = channels_last(images)
        features: torch.Tensor = self.backbone(images)
        return features

    def grades(self, outputs: torch.Tensor, conditions: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, 3) of the grades, in float64, from outputs (B, C) and indices of conditions and levels.

        All of them lie on the CPU.
        """
        probabilities = self.target.probabilities(outputs.double())
        cells = Cells(conditions, levels, self.severe_shares.cpu().double())
        if self.published.answer == "weighted":
            return answer(self.published.target, probabilities, self.trained_with.cpu(), cells)
        return self.target.grade(probabilities, cells)

    def start_at_prior(self, prior: NDArray[np.float64]) -> None:
        """Sets the level biases to the log of a prior (5, 3), and the last layer to zero."""
        if self.level_bias is None:
            raise ValueError("expected a net with a level bias")
        start_bias(self.level_bias, self._last_layers(), prior)

    def start_backbone_from(self, path: Path) -> None:
        """Loads a local `.safetensors` of the backbone, see `grade.encoder.load_backbone`."""
        load_backbone(self.backbone, path, self._last_layers())

    def _last_layers(self) -> list[Any]:
        if isinstance(self.head, FittedHead):
            return []
        return [self.head[-1]] if isinstance(self.head, nn.Sequential) else last_layers(self.backbone)


def _build(config: Config, channels: int, outputs: int) -> tuple[Any, PlaceBranch | None, nn.Module]:
    """The backbone, the branch for the point's place, and what comes behind them."""
    head, grade = config.system.head, config.grade
    places = PlaceBranch(head.activation) if config.system.input.coordinates else None
    if not (grade.backbone in NETWORKS or head.dense or places or head.kind != "dense"):
        return build_timm(grade.backbone, channels, grade.image_size, outputs, grade.dropout), None, nn.Identity()
    backbone, features = build_features(grade.backbone, channels, grade.image_size, head.activation)
    if head.kind != "dense":
        return backbone, None, FITTED[head.kind](outputs)
    features += places.features if places else 0
    dense = build_head(features, head.dense, outputs, head.activation, head.batch_norm, grade.dropout)
    return backbone, places, dense


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
