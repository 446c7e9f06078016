"""Crops as a published system's examples: copies that never change, named changes, and the point's place."""

from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lumbar.baselines.crops import PLACE
from lumbar.baselines.samplers import Examples, grade_unannotated, true_classes
from lumbar.baselines.targets import TARGETS
from lumbar.config import AugmentationConfig, Config
from lumbar.crop.crops import Crops
from lumbar.grade.data import CropDataset, cut_centre, reseed, strong_changes


class SystemDataset(CropDataset):
    """Examples with their level and place, and with their class where all of their grades are known.

    An example's copies are augmented each in its own way, which never changes, and crops are as they are. Where the
    classes are not balanced with copies, a training set (one with a seed) augments every crop anew in each epoch.
    """

    def __init__(self, crops: Crops, examples: Examples, config: Config, seed: int | None = None) -> None:
        self.published, self.copies = config.system, examples.copies
        size, changes = config.grade.image_size, changes_of(config.system.examples.augmentation)
        crops = Crops(crops.pixels, grade_unannotated(crops.index))
        super().__init__(crops, examples.rows, cut_centre(size), cut_centre(size, changes), seed)
        self.every_epoch = seed is not None and config.system.examples.balance not in ("augment", "copies")
        self.places = crops.index.iloc[examples.rows][list(PLACE)].to_numpy(dtype=np.float32)

    def classify(self, grades: NDArray[np.int64], index: Any) -> NDArray[np.int64]:
        """The classes (N,) that the system's target tells apart."""
        return true_classes(index, TARGETS[self.published.target])

    def describe(self, number: int, picked: Any) -> dict[str, Any]:
        """The level, and the point's place in its slice (2,)."""
        return {**super().describe(number, picked), "place": torch.from_numpy(self.places[number])}

    def transform(self, number: int, epoch: int) -> albumentations.Compose:
        """What is done to an example's pixels in an epoch."""
        row, copy = int(self.rows[number]), int(self.copies[number])
        if copy:
            reseed(self.changed, row, copy)
        elif self.every_epoch:
            reseed(self.changed, self.seed or 0, epoch, row)
        return self.changed if copy or self.every_epoch else self.whole


def changes_of(kind: str | AugmentationConfig) -> list[albumentations.BasicTransform]:
    """The pipeline's own random changes (`strong`), or those that a paper names."""
    return strong_changes() if isinstance(kind, str) else _named(kind)


def _named(wanted: AugmentationConfig) -> list[albumentations.BasicTransform]:
    """What a paper names; what comes in from outside is the nearest pixel, as in Keras."""
    moves = albumentations.Affine(
        translate_percent=(-wanted.shift, wanted.shift),
        rotate=(-wanted.rotate, wanted.rotate),
        scale=(1 - wanted.zoom, 1 + wanted.zoom),
        border_mode=cv2.BORDER_REPLICATE,
        p=1.0,
    )
    light = albumentations.RandomBrightnessContrast(wanted.brightness, 0.0, p=1.0)
    chosen = {
        moves: wanted.shift or wanted.rotate or wanted.zoom,
        albumentations.HorizontalFlip(p=0.5): wanted.flip,
        light: wanted.brightness,
    }
    return [change for change, asked in chosen.items() if asked]
