"""The backbones of the published systems: small nets of their own, and all of timm's without their tops."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timm.models.vgg import ConvMlp
from torch import nn

from lumbar.grade.encoder import build_timm
from lumbar.grade.texture import TextureFeatures

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
"""Those that one of the papers tried."""
SLICE_WIDTHS = (32, 64, 128)
"""The paper names convolution and max-pool blocks but not their widths; these are those of the other small nets."""
HIDDEN = 64
"""Units of the LSTM, which the paper does not name either."""
PLACE_WIDTHS = (64, 32)
"""The branch's widths in "Lumbar Spine Degenerative Condition Classification" (IIT Delhi)."""


def convolve(inputs: int, outputs: int, activation: str = "relu", normalise: bool = True) -> list[nn.Module]:
    """A 3×3 convolution that keeps the image's size, batch normalisation unless told otherwise, and an activation."""
    normalisation = [nn.BatchNorm2d(outputs)] if normalise else []
    return [nn.Conv2d(inputs, outputs, 3, padding=1), *normalisation, ACTIVATIONS[activation]()]


class BlockCnn(nn.Module):
    """Blocks of convolutions with batch normalisation, each closed by max-pooling and dropout; then flattened."""

    def __init__(
        self,
        channels: int,
        image_size: int,
        activation: str,
        widths: tuple[int, ...],
        convolutions: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        blocks = []
        for before, after in zip((channels, *widths), widths, strict=False):
            inputs = (before, *[after] * (convolutions - 1))
            layers = [layer for width in inputs for layer in convolve(width, after, activation)]
            blocks.append(nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout(dropout)))
        self.blocks = nn.Sequential(*blocks)
        self.features = widths[-1] * (image_size // 2 ** len(widths)) ** 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, F) of images (B, C, H, W)."""
        return self.blocks(images).flatten(1)


class CnnLstm(nn.Module):
    """One small CNN over every slice, pooled, and an LSTM over the slices, whose last state is the features.

    The net of "Detection and Severity Classification of Lumbar Spinal Stenosis in MRI Scans" (Dhopavkar et al.).
    """

    features = HIDDEN

    def __init__(self, channels: int, image_size: int, activation: str) -> None:
        """`channels` is the number of slices, which the net takes one by one; any number and any size will do."""
        super().__init__()
        inputs = (1, *SLICE_WIDTHS)
        self.slice_network = nn.Sequential(
            *(
                nn.Sequential(*convolve(before, after, activation, normalise=False), nn.MaxPool2d(2))
                for before, after in zip(inputs, SLICE_WIDTHS, strict=False)
            ),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.lstm = nn.LSTM(SLICE_WIDTHS[-1], HIDDEN, batch_first=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, F) of the slices (B, S, H, W), read in their order."""
        count, slices = images.shape[:2]
        each = self.slice_network(images.flatten(0, 1)[:, None])  # (B × S, W)
        _, (hidden, _) = self.lstm(each.view(count, slices, -1))
        return hidden[-1]


class PlaceBranch(nn.Module):
    """Two dense layers over the point's place in the slice: 2,272 parameters, as the paper counts them."""

    features = PLACE_WIDTHS[-1]

    def __init__(self, activation: str) -> None:
        super().__init__()
        inputs = (2, *PLACE_WIDTHS)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), ACTIVATIONS[activation]())
                for before, after in zip(inputs, PLACE_WIDTHS, strict=False)
            )
        )

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """Features (B, 32) of places (B, 2), given as shares of the slice's width and height."""
        return self.layers(places)


NETWORKS: dict[str, Callable[[int, int, str], Any]] = {
    "cnn_lstm": CnnLstm,
    # "Lumbar Spine Degenerative Condition Classification" (IIT Delhi): 93,568 parameters at 128×128×1, of which 448 are
    # running statistics, and 32,768 features.
    "three_block_cnn": partial(BlockCnn, widths=(32, 64, 128), convolutions=1),
    # "Lumbar Spinal Canal Stenosis Classification" (Garcia de Celis, Bukaita). It names no rate for the dropout.
    "five_block_cnn": partial(BlockCnn, widths=(32, 64, 128, 256, 512), convolutions=2, dropout=0.25),
    "texture": lambda channels, image_size, activation: TextureFeatures(channels),
}
"""The published nets that timm does not have, and what is measured without a net, each from channels, image size and
activation."""


def build_features(backbone: str, channels: int, image_size: int, activation: str) -> tuple[Any, int]:
    """A net that ends in pooled or flattened features, and how many they are."""
    if backbone in NETWORKS:
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
