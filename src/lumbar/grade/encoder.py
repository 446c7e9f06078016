"""The encoder: a timm backbone, from scratch or from local weights, and how grey values are scaled for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from lumbar.config import Config, ConfigError, GradeConfig
from lumbar.errors import similar_names
from lumbar.run.checkpoint import CheckpointError, load_state

LEAST_CONTRAST = 0.05
"""Added to a crop's standard deviation, so that an empty crop is not blown up into noise."""
COLOURS = 3
"""Channels of the nets that are made for colour images."""
OF_GRADER = "encoder.backbone."
"""How the backbone's tensors are named in a grader's own weights."""


class Encoder(nn.Module):
    """Features (B, `width`) of images (B, channels, S, S) with grey values in [0, 1]."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, config: GradeConfig, channels: int) -> None:
        super().__init__()
        self.scaling, self.colours = config.scaling, config.colours
        seen = COLOURS if config.colours else channels
        self.backbone = build_timm(config.backbone, seen, config.image_size, 0, 0.0, config.drop_path)
        said = self.backbone.pretrained_cfg if config.scaling == "weights" else {}
        for name, key, default in (("mean", "mean", 0.5), ("deviation", "std", 0.5)):
            values = torch.tensor(said.get(key, [default])).float().mean().expand(1)  # of grey: the colours' mean
            self.register_buffer(name, values.clone(), persistent=False)
        self.width = self._measure(seen, config.image_size)

    def _measure(self, channels: int, size: int) -> int:
        was_training = self.training
        with torch.no_grad():
            width = int(self.eval().backbone(torch.zeros(1, channels, size, size)).shape[1])
        self.train(was_training)
        return width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The features."""
        scaled = standardise(images) if self.scaling == "crop" else (images - self.mean) / self.deviation
        scaled = scaled.expand(-1, COLOURS, -1, -1) if self.colours else scaled
        features: torch.Tensor = self.backbone(channels_last(scaled))
        return features


def channels_last(images: torch.Tensor) -> torch.Tensor:
    """Images (B, C, H, W) with their channels last in memory, so that every layer behind lays out its own alike.

    Nets of depthwise convolutions are nearly twice as fast so on a CPU, and others on a GPU in half precision. A single
    channel lies the same either way, and torch takes the first way, unless its stride says the second.
    """
    count, channels, height, width = images.shape
    if channels > 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images.contiguous().as_strided((count, 1, height, width), (height * width, 1, width, 1))


def standardise(crops: torch.Tensor) -> torch.Tensor:
    """Crops (B, slices, H, W) with mean 0 and about unit deviation each: coils and windows differ, anatomy does not."""
    mean = crops.mean(dim=(1, 2, 3), keepdim=True)
    return (crops - mean) / (crops.std(dim=(1, 2, 3), keepdim=True) + LEAST_CONTRAST)


def last_layers(backbone: Any) -> list[Any]:
    """The layers that give a timm net's outputs: a linear one mostly, a 1×1 convolution or two linear ones in some."""
    classifier = backbone.get_classifier()
    classifiers = classifier if isinstance(classifier, tuple) else (classifier,)
    if not all(isinstance(layer, nn.Linear | nn.Conv2d) for layer in classifiers):
        raise ValueError(f"expected a linear classifier at the end of the backbone, got {classifier}")
    return list(classifiers)


@torch.no_grad()
def load_backbone(backbone: nn.Module, path: Path, classifiers: Sequence[nn.Module] = ()) -> None:
    """Loads a local `.safetensors` of a backbone, or of a grader that has it, all but its classifiers, which have other
    classes.

    A first layer for three channels is spread over ours, see `spread_colours`. Raises CheckpointError where the file
    lacks anything of the backbone.
    """
    state, own = _backbone_in(load_state(path)), backbone.state_dict()
    for name, tensor in state.items():
        if name in own and tensor.ndim == 4 and tensor.shape[1] == COLOURS != own[name].shape[1]:
            state[name] = spread_colours(tensor, own[name].shape[1])
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


def _backbone_in(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the backbone in a grader's weights; those of a backbone are all its own."""
    of_grader = {name.removeprefix(OF_GRADER): state[name] for name in state if name.startswith(OF_GRADER)}
    return of_grader or state


def spread_colours(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """A first layer's weight (O, 3, H, W) for so many channels, which says the same of a grey image in all of them:
    summed for one channel, otherwise repeated and scaled."""
    if channels < COLOURS:
        return weight.sum(dim=1, keepdim=True).repeat(1, channels, 1, 1) / channels
    repeated = weight.repeat(1, -(-channels // COLOURS), 1, 1)[:, :channels]
    return repeated * (COLOURS / channels)


def build_timm(
    backbone: str, channels: int, image_size: int, outputs: int, dropout: float, drop_path: float = 0.0
) -> Any:
    """A timm net with its own classifier, or its pooled features where there are no outputs; one that must know its
    input's size, such as a transformer, is told it."""
    options: dict[str, Any] = {"img_size": image_size} if _has_fixed_size(backbone) else {}
    if drop_path:
        options["drop_path_rate"] = drop_path
    return timm.create_model(
        backbone, pretrained=False, in_chans=channels, num_classes=outputs, drop_rate=dropout, **options
    )


def _has_fixed_size(backbone: str) -> bool:
    described = timm.get_pretrained_cfg(backbone)  # None for a name that is only kept for old code
    return described is not None and bool(described.fixed_input_size)


def expect_backbone(config: Config, others: Sequence[str] = ()) -> None:
    """Raises ConfigError, with what could have been meant, where a config's backbone is neither timm's nor one of the
    others."""
    for name, grader in config.trained_graders.items():
        if grader.backbone in others or timm.is_model(grader.backbone):
            continue
        where = f"graders.{name}.backbone" if name in config.graders else "grade.backbone"
        near = similar_names(grader.backbone, timm.list_models(), "see timm.list_models()")
        beside = f"; beside timm's there are {', '.join(others)}" if others else ""
        raise ConfigError(
            f"config {config.name}: {where}: timm has no model '{grader.backbone}'; similar ones: {near}{beside}"
        )
