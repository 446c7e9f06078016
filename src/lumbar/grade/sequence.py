"""From the features of a view's slices to those of the view; slices that a stack does not have never count."""

from collections.abc import Callable

import torch
from torch import nn

LEAST = torch.finfo(torch.float16).min
"""The score of a slice that is not there: also in half precision its weight is 0."""
DEPTH = 2
"""Layers of the LSTM."""
MILLIMETRES = 10.0
"""Distances are given to the net in units of this, so that they are about 1."""


class MeanPooling(nn.Module):
    """The mean over the slices that are there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: torch.Tensor, present: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """Features (B, S, F) of slices, whether each is there (B, S) and its mm from the point (B, S) -> (B, width)."""
        weight = present.to(features)[..., None]  # (B, S, 1)
        return (features * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


class AttentionPooling(nn.Module):
    """A weighting of the slices that is learned from their features and their distances."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.score = nn.Sequential(nn.Linear(width + 1, width // 4), nn.Tanh(), nn.Linear(width // 4, 1))

    def forward(self, features: torch.Tensor, present: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """As `MeanPooling`."""
        seen = torch.cat([features, distance[..., None] / MILLIMETRES], dim=2)  # (B, S, F + 1)
        score = self.score(seen)[..., 0].masked_fill(~present, LEAST)  # (B, S)
        return (features * score.softmax(dim=1)[..., None]).sum(dim=1)


class LSTMPooling(nn.Module):
    """Two layers of LSTM in both directions over the slices, and attention over what they say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = max(width // 2, 1)
        self.width = 2 * half
        self.lstm = nn.LSTM(width + 1, half, num_layers=DEPTH, bidirectional=True, batch_first=True)
        self.norm, self.attention = nn.LayerNorm(self.width), AttentionPooling(self.width)

    def forward(self, features: torch.Tensor, present: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """As `MeanPooling`; a slice that is not there is blank."""
        seen = torch.cat([features, distance[..., None] / MILLIMETRES], dim=2)
        hidden, _ = self.lstm(seen * present.to(seen)[..., None])  # (B, S, width)
        pooled: torch.Tensor = self.attention(self.norm(hidden), present, distance)
        return pooled


POOLINGS: dict[str, Callable[[int], MeanPooling | AttentionPooling | LSTMPooling]] = {
    "mean": MeanPooling,
    "attention": AttentionPooling,
    "lstm": LSTMPooling,
}
