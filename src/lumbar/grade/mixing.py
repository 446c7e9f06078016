"""Mixup and cutmix: a batch's cells mixed with each other, and their targets with them."""

from typing import Any

import numpy as np
import torch

from lumbar.labels import GRADES

MIXUP_CONCENTRATION = 0.4
"""Of mixup's symmetric beta distribution: most mixtures are of one cell mainly (Zhang et al., ICLR 2018, .1 to .4)."""
CUTMIX_CONCENTRATION = 1.0
"""Of cutmix's, which is uniform (Yun et al., ICCV 2019)."""


def one_hot(classes: torch.Tensor) -> torch.Tensor:
    """Grades (B,) as targets (B, 3)."""
    return torch.nn.functional.one_hot(classes, len(GRADES)).float()


def mix(batch: dict[str, Any], mixup: float, cutmix: float, rng: np.random.Generator) -> dict[str, Any]:
    """A batch with its `crop` and `target` (B, 3) mixed, or as it is: by mixup or by cutmix in so many of the cases.

    A cell meets another one at random, of any level; the level's prior that the net starts from is mixed by it too,
    since the target is.
    """
    kind, partner = rng.random(), torch.from_numpy(rng.permutation(len(batch["target"])))
    if kind < mixup:
        return _blend(batch, partner, float(rng.beta(MIXUP_CONCENTRATION, MIXUP_CONCENTRATION)))
    if kind < mixup + cutmix:
        return _paste(batch, partner, float(rng.beta(CUTMIX_CONCENTRATION, CUTMIX_CONCENTRATION)), rng)
    return batch


def _blend(batch: dict[str, Any], partner: torch.Tensor, share: float) -> dict[str, Any]:
    mixed = {name: share * batch[name] + (1 - share) * batch[name][partner] for name in ("crop", "target")}
    return {**batch, **mixed}


def _paste(batch: dict[str, Any], partner: torch.Tensor, share: float, rng: np.random.Generator) -> dict[str, Any]:
    """Puts a rectangle of the partner's crops, in all slices, over a batch's; the targets go by the area."""
    crop, target = batch["crop"].clone(), batch["target"]
    height, width = crop.shape[-2:]
    tall, wide = (round(side * (1 - share) ** 0.5) for side in (height, width))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    window = (..., slice(top, top + tall), slice(left, left + wide))
    crop[window] = batch["crop"][partner][window]
    pasted = tall * wide / (height * width)
    return {**batch, "crop": crop, "target": (1 - pasted) * target + pasted * target[partner]}
