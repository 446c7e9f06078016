"""Crops as training examples, with augmentation."""

from collections.abc import Iterator
from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from lumbar.baselines.samplers import Examples, true_classes
from lumbar.config import AugmentationConfig, GradeConfig
from lumbar.crop.store import PLACE, Crops
from lumbar.labels import CONDITIONS, LEVELS


def augment(size: int, kind: str | AugmentationConfig = "strong") -> albumentations.Compose:
    """Random changes of a kind, then the centre cut out."""
    changes = _strong() if isinstance(kind, str) else _named(kind)
    return albumentations.Compose([*changes, albumentations.CenterCrop(size, size, pad_if_needed=True)])


def centre(size: int) -> albumentations.Compose:
    """Cuts the centre out, and does nothing else."""
    return albumentations.Compose([albumentations.CenterCrop(size, size, pad_if_needed=True)])


def _strong() -> list[albumentations.BasicTransform]:
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


def reseed(transform: albumentations.Compose, *numbers: int) -> None:
    """Makes the next draws depend on the numbers alone.

    Each change gets a seed of its own: albumentations would give the same to all of them, so that a crop turned far
    would always be made bright, too.
    """
    seeds = np.random.SeedSequence(numbers).generate_state(len(transform.transforms))
    for change, seed in zip(transform.transforms, seeds.tolist(), strict=True):
        change.set_random_seed(seed)


Item = tuple[int, int]
"""The number of an example, and the epoch that asks for it."""


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
    """Crops with their condition, level and place, and with their class where all of their grades are known.

    An example's copies are augmented each in its own way, which never changes. Where the classes are not balanced with
    copies, a training set (one with a seed) augments every crop anew in each epoch.
    """

    def __init__(self, crops: Crops, examples: Examples, config: GradeConfig, seed: int | None = None) -> None:
        self.pixels, self.examples, self.config, self.seed = crops.pixels, examples, config, seed
        self.whole = centre(config.image_size)
        self.changed = augment(config.image_size, config.examples.augmentation)
        self.every_epoch = seed is not None and config.examples.balance != "augment"
        index = crops.index.iloc[examples.rows]
        self.conditions = index["condition"].map(list(CONDITIONS).index).to_numpy(dtype=np.int64)
        self.levels = index["level"].map(LEVELS.index).to_numpy(dtype=np.int64)
        self.places = index[PLACE].to_numpy(dtype=np.float32)
        known = "grade" in index and bool(index["grade"].notna().all())
        self.classes = true_classes(index, config.target) if known else None

    def __len__(self) -> int:
        return len(self.examples.rows)

    def __getitem__(self, item: int | Item) -> dict[str, Any]:
        number, epoch = item if isinstance(item, tuple) else (item, 0)
        crop = np.array(np.moveaxis(self.pixels[self.examples.rows[number]], 0, -1), order="C")  # (H, W, slices)
        image = self._transform(number, epoch)(image=crop)["image"]
        example = {
            "crop": torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))).float() / 255,
            "condition": int(self.conditions[number]),
            "level": int(self.levels[number]),
            "place": torch.from_numpy(self.places[number]),
        }
        return example if self.classes is None else example | {"class": int(self.classes[number])}

    def _transform(self, number: int, epoch: int) -> albumentations.Compose:
        row, copy = int(self.examples.rows[number]), int(self.examples.copies[number])
        if copy:
            reseed(self.changed, row, copy)
        elif self.every_epoch:
            reseed(self.changed, self.seed or 0, epoch, row)
        return self.changed if copy or self.every_epoch else self.whole
