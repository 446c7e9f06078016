"""Crops that can be graded by eye, and pixels that can be read only so often: what the tests of training need."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lumbar.crop.crops import Crops
from lumbar.labels import GRADES, LEVELS, row_id
from lumbar.run.checkpoint import Card, save_checkpoint

CONDITION = "spinal_canal_stenosis"
STUDIES = 8
TINY = {
    "backbone": "test_efficientnet",
    "image_size": 32,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "dropout": 0.0,
    "averaging": 0.0,
}
"""The grade section of a net that learns in seconds, but for its epochs."""


def draw_crops() -> Crops:
    """Five levels of a few studies; the graver, the narrower a bright canal."""
    rng = np.random.default_rng(0)
    cells = [(study, level) for study in range(STUDIES) for level in LEVELS]
    grades = rng.integers(0, 3, len(cells))
    noise = rng.integers(0, 60, (len(cells), 3, 40, 40))
    index = pd.DataFrame(cells, columns=["study_id", "level"]).assign(
        fold=lambda table: table["study_id"] % 2,
        condition=CONDITION,
        source="detected",
        place_x=0.5,
        place_y=0.5,
        grade=grades,
        row_id=[row_id(study, CONDITION, level) for study, level in cells],
    )
    from_middle = np.abs(np.arange(40) - 19.5)
    canal = 150 * (from_middle < 11 - 4 * grades[:, None])  # (N, columns)
    return Crops((noise + canal[:, None, None, :]).astype(np.uint8), index)


def keep_grader(stem: Path, state: dict[str, torch.Tensor], config: dict[str, Any], **details: Any) -> None:
    """Saves a grader's weights with a card that says its config."""
    card = Card(
        kind="grader",
        classes=GRADES,
        fold=0,
        config=config,
        seed=1,
        fingerprint="x",
        training_studies=STUDIES,
        commit="unknown",
        details=details,
    )
    save_checkpoint(stem, state, card)


class FailingPixels:
    """Pixels that can be read so many times, as if the machine then went down; and that count."""

    def __init__(self, pixels: np.ndarray, limit: float = np.inf) -> None:
        self.pixels, self.limit, self.reads = pixels, limit, 0

    def __getitem__(self, item):
        if self.reads >= self.limit:
            raise RuntimeError("the machine went down")
        self.reads += 1
        return self.pixels[item]
