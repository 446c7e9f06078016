"""The metric's own parts as a loss: cells by their weights, and whether any of a study's canals is severe."""

from typing import Any

import torch

from lumbar.labels import GRADE_WEIGHTS, SEVERE

SHARPNESS = 10.0
"""Of the soft maximum over levels: at 10 it lies within .02 of the maximum of five probabilities that differ by .3, and
every level still gets a gradient."""
LEAST = 1e-6
"""A probability is kept this far from 0 and 1."""


def soft_loss(logits: torch.Tensor, batch: dict[str, Any], shown: torch.Tensor | None = None) -> torch.Tensor:
    """The metric's weighted log loss of logits (B, 3) for targets (B, 3), of the cells that are `shown` (B,)."""
    weights = batch["target"] * logits.new_tensor(GRADE_WEIGHTS)  # (B, 3)
    if shown is not None:
        weights = weights * shown[:, None]
    return -(weights * logits.log_softmax(dim=1)).sum() / weights.sum()


def any_severe_loss(logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
    """The metric's loss of the largest severe probability of each study in a batch, softly: of logits (B, 3), with
    `class` (B,) and `study` (B,)."""
    severe = logits.softmax(dim=1)[:, SEVERE].float()
    weights = severe.new_tensor(GRADE_WEIGHTS)
    losses, total = [], severe.new_zeros(())
    for study in batch["study"].unique():
        mine = batch["study"] == study
        said = soft_maximum(severe[mine]).clamp(LEAST, 1 - LEAST)
        worst = batch["class"][mine].max()
        weight = weights[worst]
        losses.append(-weight * (said.log() if worst == SEVERE else (1 - said).log()))
        total = total + weight
    return torch.stack(losses).sum() / total


def soft_maximum(values: torch.Tensor) -> torch.Tensor:
    """A mean of values (N,) that leans towards the largest."""
    return (values * (SHARPNESS * values).softmax(dim=0)).sum()
