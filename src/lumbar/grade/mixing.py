"""Mixup and cutmix: a batch's cells mixed with each other, and their targets with them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lumbar.labels import GRADES

MIXUP_CONCENTRATION = 0.4
"""Of mixup's symmetric beta distribution: most mixtures are of one cell mainly (Zhang et al., ICLR 2018, .1 to .4)."""
CUTMIX_CONCENTRATION = 1.0
"""Of cutmix's, which is uniform (Yun et al., ICCV 2019)."""


def targets_of(batch: dict[str, Any]) -> torch.Tensor:
    """A batch's grades as targets (B, 3), each of its label's weight, if it has one, and otherwise of 1."""
    targets = torch.nn.functional.one_hot(batch["class"], len(GRADES)).float()
    return targets * batch["weight"].to(targets)[:, None] if "weight" in batch else targets


def mix(batch: dict[str, Any], mixup: float, cutmix: float, rng: np.random.Generator) -> dict[str, Any]:
    """A batch with its `crop` and `target` (B, 3) mixed, or as it is: by mixup or by cutmix in so many of the cases.

    A cell meets one of its level at random, which may be itself, for the net is told the level, and remains the greater
    part of the mixture, for it is also told which slices the cell has. Always meeting another, in equal shares, was no
    better on real foramina (LAB.md, 2026-11-30).
    """
    kind = rng.random()
    if kind >= mixup + cutmix:
        return batch
    partner = _draw_partners(batch["level"].numpy(force=True), rng)
    concentration = MIXUP_CONCENTRATION if kind < mixup else CUTMIX_CONCENTRATION
    drawn = float(rng.beta(concentration, concentration))
    share = max(drawn, 1 - drawn)
    return _blend(batch, partner, share) if kind < mixup else _paste(batch, partner, share, rng)


def _draw_partners(levels: NDArray[np.integer], rng: np.random.Generator) -> torch.Tensor:
    """For each cell (B,) one of its level."""
    partner = np.arange(len(levels))
    for level in np.unique(levels):
        mine = np.flatnonzero(levels == level)
        partner[mine] = rng.permutation(mine)
    return torch.from_numpy(partner)


def _blend(batch: dict[str, Any], partner: torch.Tensor, share: float) -> dict[str, Any]:
    mixed = {name: share * batch[name] + (1 - share) * batch[name][partner] for name in ("crop", "target")}
    return {**batch, **mixed}


def _paste(batch: dict[str, Any], partner: torch.Tensor, share: float, rng: np.random.Generator) -> dict[str, Any]:
    """Puts a rectangle of the partner's crops, in all slices, over a batch's; the targets go by the area."""
    crop, target = batch["crop"].clone(), batch["target"]
    height, width = crop.shape[-2:]
    tall, wide = (int(side * (1 - share) ** 0.5) for side in (height, width))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    window = (..., slice(top, top + tall), slice(left, left + wide))
    crop[window] = batch["crop"][partner][window]
    pasted = tall * wide / (height * width)
    return {**batch, "crop": crop, "target": (1 - pasted) * target + pasted * target[partner]}
