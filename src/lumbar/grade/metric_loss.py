"""The metric as a loss: cells by their weights."""

from typing import Any

import torch

from lumbar.labels import GRADE_WEIGHTS


def soft_loss(logits: torch.Tensor, batch: dict[str, Any], shown: torch.Tensor | None = None) -> torch.Tensor:
    """The metric's weighted log loss of logits (B, 3) for targets (B, 3), of the cells that are `shown` (B,).

    Since a batch's weights are divided by, one with severe cells counts a little less than in the metric. Dividing by
    the cells instead was no better on real foramina (LAB.md, 2026-11-30).
    """
    weights = batch["target"] * logits.new_tensor(GRADE_WEIGHTS)  # (B, 3)
    if shown is not None:
        weights = weights * shown[:, None]
    return -(weights * logits.log_softmax(dim=1)).sum() / weights.sum()
