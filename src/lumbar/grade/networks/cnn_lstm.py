"""The net of "Detection and Severity Classification of Lumbar Spinal Stenosis in MRI Scans" (Dhopavkar et al.)."""

import torch
from torch import nn

from lumbar.grade.networks.blocks import convolve

WIDTHS = (32, 64, 128)
"""The paper names convolution and max-pool blocks but not their widths; these are those of the other small nets."""
HIDDEN = 64
"""Units of the LSTM, which the paper does not name either."""


class CnnLstm(nn.Module):
    """One small CNN over every slice, pooled, and an LSTM over the slices, whose last state is the features."""

    features = HIDDEN

    def __init__(self, channels: int, image_size: int, activation: str) -> None:
        """`channels` is the number of slices, which the net takes one by one; any number and any size will do."""
        super().__init__()
        inputs = (1, *WIDTHS)
        self.slice_network = nn.Sequential(
            *(
                nn.Sequential(*convolve(before, after, activation, normalise=False), nn.MaxPool2d(2))
                for before, after in zip(inputs, WIDTHS, strict=False)
            ),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.lstm = nn.LSTM(WIDTHS[-1], HIDDEN, batch_first=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, F) of the slices (B, S, H, W), read in their order."""
        count, slices = images.shape[:2]
        each = self.slice_network(images.flatten(0, 1)[:, None])  # (B × S, W)
        _, (hidden, _) = self.lstm(each.view(count, slices, -1))
        return hidden[-1]
