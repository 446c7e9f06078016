"""Crops as training examples, with augmentation."""

from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from lumbar.crop.store import Crops
from lumbar.labels import LEVELS


def augment(size: int, seed: int) -> albumentations.Compose:
    """Shifts, turns and scales the view, and changes contrast; then cuts the centre out.

    Shifts reach the error of the detector and the scale the spread of body sizes. Nothing is flipped: left and right
    are mirrored onto each other already, and front and back are not alike.
    """
    return albumentations.Compose(
        [
            albumentations.Affine(
                translate_percent=(-0.06, 0.06),
                rotate=(-12, 12),
                scale=(0.9, 1.1),
                border_mode=cv2.BORDER_CONSTANT,
                p=0.9,
            ),
            albumentations.RandomBrightnessContrast(0.2, 0.25, p=0.7),
            albumentations.GaussNoise(std_range=(0.01, 0.05), p=0.3),
            albumentations.CenterCrop(size, size, pad_if_needed=True),
        ],
        seed=seed,
    )


def centre(size: int) -> albumentations.Compose:
    """Cuts the centre out, and does nothing else."""
    return albumentations.Compose([albumentations.CenterCrop(size, size, pad_if_needed=True)])


class CropDataset(Dataset[dict[str, Any]]):
    """The crops of some rows, with their level, and their grade where one is known."""

    def __init__(self, crops: Crops, rows: np.ndarray, transform: albumentations.Compose) -> None:
        self.pixels, self.rows, self.transform = crops.pixels, rows, transform
        index = crops.index.iloc[rows]
        self.levels = np.array([LEVELS.index(level) for level in index["level"]], dtype=np.int64)
        self.grades = index["grade"].to_numpy(dtype=np.int64) if "grade" in index else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> dict[str, Any]:
        crop = np.ascontiguousarray(np.moveaxis(self.pixels[self.rows[item]], 0, -1))  # (H, W, slices)
        image = self.transform(image=crop)["image"]
        example = {
            "crop": torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))).float() / 255,
            "level": int(self.levels[item]),
        }
        return example if self.grades is None else example | {"grade": int(self.grades[item])}
