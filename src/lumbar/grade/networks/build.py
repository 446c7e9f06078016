"""Backbones by name, and the dense layers behind them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
from timm.models.vgg import ConvMlp
from torch import nn

from lumbar.config import Config, ConfigError
from lumbar.grade.networks.block_cnn import BlockCnn
from lumbar.grade.networks.blocks import ACTIVATIONS
from lumbar.grade.networks.cnn_lstm import CnnLstm

NETWORKS: dict[str, Callable[[int, int, str], Any]] = {
    "cnn_lstm": CnnLstm,
    # "Lumbar Spine Degenerative Condition Classification" (IIT Delhi): 93,568 parameters at 128×128×1, of which 448 are
    # running statistics, and 32,768 features.
    "three_block_cnn": partial(BlockCnn, widths=(32, 64, 128), convolutions=1),
    # "Lumbar Spinal Canal Stenosis Classification" (Garcia de Celis, Bukaita). It names no rate for the dropout.
    "five_block_cnn": partial(BlockCnn, widths=(32, 64, 128, 256, 512), convolutions=2, dropout=0.25),
}
"""The published nets that timm does not have, each from channels, image size and activation."""
SIMILAR = 8
"""Names that the error for a wrong one suggests."""


def is_own(backbone: str) -> bool:
    """Whether a backbone is one of `NETWORKS` rather than timm's."""
    return backbone in NETWORKS


def expect_backbone(config: Config) -> None:
    """Raises ConfigError, with what could have been meant, where a config's backbone does not exist."""
    backbone = config.grade.backbone
    if is_own(backbone) or timm.is_model(backbone):
        return
    near = ", ".join(timm.list_models(f"*{backbone.split('_')[0]}*")[:SIMILAR]) or "see timm.list_models()"
    raise ConfigError(
        f"config {config.name}: grade.backbone: timm has no model '{backbone}'; similar ones: {near}; beside timm's"
        f" there are {', '.join(NETWORKS)}"
    )


def build_timm(backbone: str, channels: int, image_size: int, outputs: int, dropout: float) -> Any:
    """A timm net with its own classifier; one that must know its input's size, such as a transformer, is told it."""
    shape: dict[str, Any] = {"img_size": image_size} if _has_fixed_size(backbone) else {}
    return timm.create_model(
        backbone, pretrained=False, in_chans=channels, num_classes=outputs, drop_rate=dropout, **shape
    )


def _has_fixed_size(backbone: str) -> bool:
    described = timm.get_pretrained_cfg(backbone)  # None for a name that is only kept for old code
    return described is not None and bool(described.fixed_input_size)


def build_features(backbone: str, channels: int, image_size: int, activation: str) -> tuple[Any, int]:
    """A net that ends in pooled or flattened features, and how many they are."""
    if is_own(backbone):
        network = NETWORKS[backbone](channels, image_size, activation)
        return network, network.features
    network = build_timm(backbone, channels, image_size, outputs=0, dropout=0.0)
    if isinstance(getattr(network, "pre_logits", None), ConvMlp):
        # VGG's own dense layers belong to its top, which is what a head stands in for.
        network.pre_logits = nn.Identity()
        return network, network.num_features
    return network, network.head_hidden_size


def build_head(
    features: int, dense: tuple[int, ...], outputs: int, activation: str, batch_norm: bool, dropout: float
) -> nn.Sequential:
    """Dense layers with an activation, and batch normalisation and dropout if asked for; the last gives the outputs."""
    layers: list[nn.Module] = []
    for width in dense:
        layers.append(nn.Linear(features, width))
        layers += [nn.BatchNorm1d(width)] if batch_norm else []
        layers.append(ACTIVATIONS[activation]())
        layers += [nn.Dropout(dropout)] if dropout else []
        features = width
    return nn.Sequential(*layers, nn.Linear(features, outputs))
