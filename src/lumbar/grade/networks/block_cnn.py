"""Plain stacks of convolution blocks, flattened: the image branches of two of the published nets."""

import torch
from torch import nn

from lumbar.grade.networks.blocks import convolve


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
