"""Crops as training examples, with augmentation."""

from collections.abc import Iterator
from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from lumbar.crop.crops import Crops
from lumbar.labels import LEVELS

Item = tuple[int, int]
"""The number of an example, and the epoch that asks for it."""


def strong_changes() -> list[albumentations.BasicTransform]:
    """Shifts, turns and scales the view, and changes contrast.

    Shifts reach the error of the detector and the scale the spread of body sizes. Nothing is flipped: left and right
    are mirrored onto each other already, and front and back are not alike.
    """
    return [
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
    ]


def cut_centre(size: int, changes: list[albumentations.BasicTransform] | None = None) -> albumentations.Compose:
    """Random changes, if there are any, and then the centre (size, size) cut out."""
    return albumentations.Compose([*(changes or []), albumentations.CenterCrop(size, size, pad_if_needed=True)])


def reseed(transform: albumentations.Compose, *numbers: int) -> None:
    """Makes the next draws depend on the numbers alone.

    Each change gets a seed of its own: albumentations would give the same to all of them, so that a crop turned far
    would always be made bright, too.
    """
    seeds = np.random.SeedSequence(numbers).generate_state(len(transform.transforms))
    for change, seed in zip(transform.transforms, seeds.tolist(), strict=True):
        change.set_random_seed(seed)


class EpochSampler(Sampler[Item]):
    """Examples in an order that depends on the seed and the epoch alone, so that a resumed training goes on exactly."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Item]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        return iter([(int(number), self.epoch) for number in order])


class CropDataset(Dataset[dict[str, Any]]):
    """Some rows (N,) of the crops with their level, and with their class where all of their grades are known.

    A training set (one with a seed) augments every crop anew in each epoch.
    """

    def __init__(self, crops: Crops, rows: NDArray[np.integer], image_size: int, seed: int | None = None) -> None:
        self.pixels, self.rows, self.seed = crops.pixels, rows, seed
        self.whole, self.changed = cut_centre(image_size), cut_centre(image_size, strong_changes())
        index = crops.index.iloc[rows]
        self.levels = index["level"].map(LEVELS.index).to_numpy(dtype=np.int64)
        known = "grade" in index and bool(index["grade"].notna().all())
        self.classes = self.classify(index["grade"].to_numpy(dtype=np.int64), index) if known else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int | Item) -> dict[str, Any]:
        number, epoch = item if isinstance(item, tuple) else (item, 0)
        crop = np.array(np.moveaxis(self.pixels[self.rows[number]], 0, -1), order="C")  # (H, W, slices)
        image = self.transform(number, epoch)(image=crop)["image"]
        pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))).float() / 255  # (slices, S, S)
        example = {"crop": pixels, **self.describe(number)}
        return example if self.classes is None else example | {"class": int(self.classes[number])}

    def classify(self, grades: NDArray[np.int64], index: Any) -> NDArray[np.int64]:
        """The classes (N,) of grades (N,), whose rows of the crops' index are given."""
        return grades

    def describe(self, number: int) -> dict[str, Any]:
        """What a net is told of an example beside its pixels."""
        return {"level": int(self.levels[number])}

    def transform(self, number: int, epoch: int) -> albumentations.Compose:
        """What is done to an example's pixels in an epoch."""
        if self.seed is None:
            return self.whole
        reseed(self.changed, self.seed, epoch, int(self.rows[number]))
        return self.changed
