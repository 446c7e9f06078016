"""The branch that reads where the point is: "Lumbar Spine Degenerative Condition Classification" (IIT Delhi)."""

import torch
from torch import nn

from lumbar.grade.networks.blocks import ACTIVATIONS

WIDTHS = (64, 32)


class PlaceBranch(nn.Module):
    """Two dense layers over the point's place in the slice: 2,272 parameters, as the paper counts them."""

    features = WIDTHS[-1]

    def __init__(self, activation: str) -> None:
        super().__init__()
        inputs = (2, *WIDTHS)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), ACTIVATIONS[activation]())
                for before, after in zip(inputs, WIDTHS, strict=False)
            )
        )

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """Features (B, 32) of places (B, 2), given as shares of the slice's width and height."""
        return self.layers(places)
