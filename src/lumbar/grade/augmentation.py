"""Random changes of crops: the pipeline's own, and those that the published systems name."""

import albumentations
import cv2
import numpy as np

from lumbar.config import AugmentationConfig


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
