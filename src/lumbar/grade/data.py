"""Crops as training examples, with augmentation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from lumbar.config import GraderConfig, ViewConfig
from lumbar.crop.crops import NOWHERE, Crops, found_rows, read_slice_facts
from lumbar.labels import LEVELS

Item = tuple[int, int]
"""The number of an example, and the epoch that asks for it."""


def strong_changes(strength: float = 1.0) -> list[albumentations.BasicTransform]:
    """Shifts, turns and scales the view in half of the cases, and changes contrast, all so many times as strong as it
    was first chosen.

    Shifts reach the error of the detector and the scale the spread of body sizes. Nothing is flipped: left and right
    are mirrored onto each other already, and front and back are not alike. Of a change of brightness or contrast a net
    that scales its crops sees only what it drives into black and white; without it, and moved in every case, a net from
    ImageNet was no better on real foramina (LAB.md, 2026-11-30).
    """
    if not strength:
        return []
    return [
        albumentations.Affine(
            translate_percent=(-0.08 * strength, 0.08 * strength),
            rotate=(-20 * strength, 20 * strength),
            scale=(1 - 0.15 * strength, 1 + 0.15 * strength),
            shear=(-6 * strength, 6 * strength),
            border_mode=cv2.BORDER_REFLECT,
        ),
        albumentations.RandomBrightnessContrast(0.3 * strength, 0.4 * strength, p=0.8),
        albumentations.RandomGamma((100 - 40 * strength, 100 + 60 * strength), p=0.5),
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

    They are seen `whole`. A training set (one with a seed) has every crop `changed` anew in each epoch.
    """

    def __init__(
        self,
        crops: Crops,
        rows: NDArray[np.integer],
        whole: albumentations.Compose,
        changed: albumentations.Compose,
        seed: int | None = None,
    ) -> None:
        self.pixels, self.rows, self.seed = crops.pixels, rows, seed
        self.whole, self.changed = whole, changed
        index = crops.index.iloc[rows]
        self.levels = index["level"].map(LEVELS.index).to_numpy(dtype=np.int64)
        known = "grade" in index and bool(index["grade"].notna().all())
        self.classes = self.classify(index["grade"].to_numpy(dtype=np.int64), index) if known else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int | Item) -> dict[str, Any]:
        number, epoch = item if isinstance(item, tuple) else (item, 0)
        picked = self.pick(number, epoch)
        crop = np.array(np.moveaxis(self.read(picked), 0, -1), order="C")  # (H, W, slices)
        image = self.transform(number, epoch)(image=crop)["image"]
        pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))).float() / 255  # (slices, S, S)
        example = {"crop": pixels, **self.describe(number, picked)}
        return example if self.classes is None else example | {"class": int(self.classes[number])}

    def classify(self, grades: NDArray[np.int64], index: Any) -> NDArray[np.int64]:
        """The classes (N,) of grades (N,), whose rows of the crops' index are given."""
        return grades

    def pick(self, number: int, epoch: int) -> Any:
        """What of the crops an example shows in an epoch: its row."""
        return self.rows[number]

    def read(self, picked: Any) -> NDArray[np.uint8]:
        """The pixels (slices, size, size) of what was picked."""
        return np.asarray(self.pixels[picked])

    def describe(self, number: int, picked: Any) -> dict[str, Any]:
        """What a net is told of an example, and of what was picked of it, beside its pixels."""
        return {"level": int(self.levels[number])}

    def transform(self, number: int, epoch: int) -> albumentations.Compose:
        """What is done to an example's pixels in an epoch."""
        if self.seed is None:
            return self.whole
        reseed(self.changed, self.seed, epoch, int(self.rows[number]))
        return self.changed


@dataclass(frozen=True)
class Look:
    """How a crop is turned (degrees) and shifted (pixels to the right and down) in prediction."""

    turn: float = 0.0
    right: float = 0.0
    down: float = 0.0

    def transform(self, size: int) -> albumentations.Compose:
        """The change and the cut of the centre (size, size)."""
        if not (self.turn or self.right or self.down):
            return cut_centre(size)
        moved = albumentations.Affine(
            rotate=(self.turn, self.turn),
            translate_px={"x": (round(self.right),) * 2, "y": (round(self.down),) * 2},
            border_mode=cv2.BORDER_REFLECT,
            p=1.0,
        )
        return cut_centre(size, [moved])


STRAIGHT = Look()
UNMARKED = -100
"""The place of a slice that nobody has marked, which `cross_entropy` ignores."""
GPU_WORKERS = 4
"""Processes that prepare batches where a GPU would wait for one."""


class ViewDataset(CropDataset):
    """Cells of a grader, each cropped at one of its `choices` of rows (N, K), `NOWHERE` where there are fewer.

    A training set (one with a seed) chooses anew in each epoch, and takes the view a slice off now and then; otherwise
    the first choice is taken, as a `look` says.
    """

    def __init__(
        self,
        crops: Crops,
        choices: NDArray[np.integer],
        config: GraderConfig,
        views: Sequence[ViewConfig],
        seed: int | None = None,
        look: Look = STRAIGHT,
    ) -> None:
        self.choices, self.config, self.views = choices.reshape(len(choices), -1), config, views
        whole = look.transform(config.image_size)
        changed = whole if seed is None else cut_centre(config.image_size, strong_changes(config.augmentation))
        super().__init__(crops, self.choices[:, 0], whole, changed, seed)
        self.facts = {} if config.slices_as == "channels" else _read_facts(crops, views)
        weighted = "label_weight" in crops.index
        self.weights = crops.index["label_weight"].to_numpy(dtype=np.float32)[self.rows] if weighted else None
        self.marked = _read_marked(crops) if config.slice_loss else None

    def read(self, picked: Any) -> NDArray[np.uint8]:
        """The slices that the grader sees."""
        row, slices = picked
        return np.asarray(self.pixels[row])[slices]

    def describe(self, number: int, picked: Any) -> dict[str, Any]:
        """The level, the weight of the label, and of a sequence which slices are there, how far from the point, and
        which one was marked."""
        row, slices = picked
        said = super().describe(number, picked)
        said |= {name: torch.from_numpy(values[row][slices]) for name, values in self.facts.items()}
        if self.weights is not None:
            said["weight"] = float(self.weights[number])
        if self.marked is not None:
            marked = np.flatnonzero(slices == self.views[0].stored_slices // 2)
            said["marked"] = int(marked[0]) if self.marked[row] and len(marked) else UNMARKED
        return said

    def pick(self, number: int, epoch: int) -> tuple[int, NDArray[np.int64]]:
        """The row of an example in an epoch, and which of its stored slices are seen."""
        if self.seed is None:
            return int(self.choices[number, 0]), window(self.views, [0] * len(self.views))
        rng = np.random.default_rng([self.seed, epoch, int(self.rows[number]), 1])
        possible = self.choices[number][self.choices[number] != NOWHERE]
        off = [int(rng.choice((-1, 1))) if rng.random() < self.config.slice_shift else 0 for _ in self.views]
        return int(rng.choice(possible)), window(self.views, off)


def _read_marked(crops: Crops) -> NDArray[np.bool_]:
    """Whether a crop's middle slice is one that an annotator has marked (N,): not the detector's choice."""
    return crops.index["is_own"].to_numpy(dtype=bool) & ~found_rows(crops.index)


def _read_facts(crops: Crops, views: Sequence[ViewConfig]) -> dict[str, NDArray[Any]]:
    """Whether each stored slice (N, slices) is there, and its mm from the point."""
    real, distance = read_slice_facts(crops.index, sum(view.stored_slices for view in views))
    return {"present": real > 0, "distance": distance.astype(np.float32)}


def window(views: Sequence[ViewConfig], off: Sequence[int]) -> NDArray[np.int64]:
    """The numbers of the stored slices that are seen, of views behind each other that are so many slices off."""
    starts = np.cumsum([0, *(view.stored_slices for view in views)])[:-1]
    places = zip(views, starts, off, strict=True)
    return np.concatenate([start + view.spare + shift + np.arange(view.slices) for view, start, shift in places])
