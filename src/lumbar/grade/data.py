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
                translate_percent=(-0.08, 0.08),
                rotate=(-20, 20),
                scale=(0.85, 1.15),
                shear=(-6, 6),
                border_mode=cv2.BORDER_REFLECT,
            ),
            albumentations.RandomBrightnessContrast(0.3, 0.4, p=0.8),
            albumentations.RandomGamma((60, 160), p=0.5),
            albumentations.GaussianBlur((3, 5), p=0.2),
            albumentations.GaussNoise(std_range=(0.02, 0.08), p=0.4),
            albumentations.CenterCrop(size, size, pad_if_needed=True),
        ],
        seed=seed,
    )


def centre(size: int) -> albumentations.Compose:
    """Cuts the centre out, and does nothing else."""
    return albumentations.Compose([albumentations.CenterCrop(size, size, pad_if_needed=True)])


class CropDataset(Dataset[dict[str, Any]]):
    """The crops of some rows, with their level, and with their grade where all of them have one."""

    def __init__(self, crops: Crops, rows: np.ndarray, transform: albumentations.Compose) -> None:
        self.pixels, self.rows, self.transform = crops.pixels, rows, transform
        index = crops.index.iloc[rows]
        self.levels = np.array([LEVELS.index(level) for level in index["level"]], dtype=np.int64)
        known = "grade" in index and bool(index["grade"].notna().all())
        self.grades = index["grade"].to_numpy(dtype=np.int64) if known else None

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
