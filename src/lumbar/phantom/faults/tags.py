"""Ways to break what the headers of a series say: geometry, numbers and values that are missing or senseless."""

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from scipy.spatial.transform import Rotation

from lumbar.mri.geometry import BACK, DISPLAY_AXES, HEAD, LEFT, Array, Plane
from lumbar.phantom.faults.damage import (
    Damage,
    Rng,
    edit_tags,
    few_files,
    files_of,
    in_order,
    one_block,
    some_files,
)

OFFSET = 5000
"""What a scanner that counts through the day adds to instance numbers; one real series ends at 5049."""
TILT_DEGREES = 20.0
"""Degrees by which a block of slices is turned: axial blocks follow discs that are tilted so much."""
STEEP_DEGREES = (45.0, 60.0)
"""Degrees from the head of a block at the L5/S1 of a hollow back; from 45 on it is nearer to coronal than to axial."""
STEP_MM = 4.0
"""Between the images of a series that is planned anew."""


def remove(name: str) -> Damage:
    """Makes a fault: takes a tag out of files, or its value."""

    def damage(folder: Path, rng: Rng) -> str:
        is_kept = rng.random() < 0.3

        def change(dataset: Dataset) -> None:
            if is_kept:
                setattr(dataset, name, None)
            elif name in dataset:
                del dataset[name]

        return f"{'empty' if is_kept else 'no'} {name} in {edit_tags(some_files(folder, rng), change)}"

    return damage


def remove_rescale(folder: Path, rng: Rng) -> str:
    """Leaves the rescale tags in some files only; a series without them gets some first."""

    def give(dataset: Dataset) -> None:
        dataset.RescaleIntercept, dataset.RescaleSlope = "0", dataset.get("RescaleSlope", "2.5")

    def take(dataset: Dataset) -> None:
        del dataset.RescaleIntercept, dataset.RescaleSlope

    edit_tags(files_of(folder), give)
    return edit_tags(few_files(folder, rng), take)


def put(name: str, *values: str) -> Damage:
    """Makes a fault: writes one of several texts into a number's tag, past pydicom's check that it is a number."""
    tag = Tag(name)

    def damage(folder: Path, rng: Rng) -> str:
        text = values[int(rng.integers(len(values)))]
        value = (text + " " * (len(text) % 2)).encode()

        def change(dataset: Dataset) -> None:
            dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)

        return f"{name} {text} in {edit_tags(some_files(folder, rng), change)}"

    return damage


def stretch_orientation(folder: Path, rng: Rng) -> str:
    """Gives the directions a length other than 1."""
    length = float(rng.choice([0.5, 2.0, 10.0]))

    def change(dataset: Dataset) -> None:
        dataset.ImageOrientationPatient = [
            round(length * float(cosine), 6) for cosine in dataset.ImageOrientationPatient
        ]

    return edit_tags(some_files(folder, rng), change)


def turn_block(folder: Path, rng: Rng) -> str:
    """Tilts some slices about their rows, as blocks angled to each disc are."""

    def change(dataset: Dataset) -> None:
        axes = np.array(dataset.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        tilt = Rotation.from_rotvec(np.deg2rad(TILT_DEGREES) * axes[0])
        dataset.ImageOrientationPatient = tilt.apply(axes).round(6).ravel().tolist()

    return edit_tags(few_files(folder, rng), change)


def add_scout(folder: Path, rng: Rng) -> str:
    """Makes one image a scout in another anatomical plane."""

    def change(dataset: Dataset) -> None:
        axes = np.array(dataset.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        is_sagittal = abs(np.cross(*axes)[0]) > 0.7
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if is_sagittal else [0, 1, 0, 0, 0, -1]

    return edit_tags(few_files(folder, rng)[:1], change)


def steepen_block(folder: Path, rng: Rng) -> str:
    """Turns some axial slices that follow each other as steep as a disc can be."""
    degrees = float(rng.uniform(*STEEP_DEGREES))
    angle = np.deg2rad(degrees)
    axes = np.array([LEFT, np.cos(angle) * BACK + np.sin(angle) * HEAD])
    return f"{degrees:.0f} degrees in {edit_tags(one_block(folder, rng), lambda dataset: _turn(dataset, axes))}"


def add_coronal_scout(folder: Path, rng: Rng) -> str:
    """Makes one image a coronal scout through the middle of what it showed."""
    axes = np.array(DISPLAY_AXES["coronal"])
    return edit_tags(few_files(folder, rng)[:1], lambda dataset: _turn(dataset, axes))


def make_coronal(folder: Path, rng: Rng) -> str:
    """Makes it a coronal series, from front to back."""
    files = in_order(files_of(folder))
    middle = _plane(dcmread(files[0], stop_before_pixels=True)).position
    for place, path in enumerate(files):

        def lay(dataset: Dataset, step: float = place * STEP_MM) -> None:
            dataset.ImageOrientationPatient = _decimals(np.ravel(DISPLAY_AXES["coronal"]))
            dataset.ImagePositionPatient = _decimals(middle + step * BACK)

        edit_tags([path], lay)
    return "all files"


def _turn(dataset: Dataset, axes: Array) -> None:
    """Gives an image other directions (2, 3) of columns and rows about its middle."""
    plane = _plane(dataset)
    last = np.array([dataset.Columns - 1, dataset.Rows - 1])
    across, down = last * (plane.x_spacing, plane.y_spacing)
    corner = plane.to_patient(last / 2) - (across * axes[0] + down * axes[1]) / 2
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = _decimals(axes.ravel()), _decimals(corner)


def _plane(dataset: Dataset) -> Plane:
    return Plane.of(dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing)


def _decimals(values: Array) -> list[float]:
    return [round(float(value), 6) for value in values]


def remove_everywhere(*names: str) -> Damage:
    """Makes a fault: takes tags out of all files."""

    def change(dataset: Dataset) -> None:
        for name in names:
            dataset.pop(name, None)

    def damage(folder: Path, rng: Rng) -> str:
        edit_tags(files_of(folder), change)
        return f"no {' and no '.join(names)}"

    return damage


def repeat_positions(folder: Path, rng: Rng) -> str:
    """Gives some images the place of another one."""
    files = files_of(folder)
    source, *others = (files[index] for index in rng.permutation(len(files))[: int(rng.integers(2, 4))])
    place = dcmread(source, stop_before_pixels=True).ImagePositionPatient

    def change(dataset: Dataset) -> None:
        dataset.ImagePositionPatient = place

    return f"that of {source.name} in {edit_tags(others, change)}"


def give_one_position(folder: Path, rng: Rng) -> str:
    """Gives all images one place."""

    def change(dataset: Dataset) -> None:
        dataset.ImagePositionPatient, dataset.SliceLocation = [0, 0, 0], 0

    return edit_tags(files_of(folder), change)


def offset_numbers(folder: Path, rng: Rng) -> str:
    """Counts instances, and their files, from 5,001."""

    def change(dataset: Dataset) -> None:
        dataset.InstanceNumber = int(dataset.InstanceNumber) + OFFSET

    files = files_of(folder)
    edit_tags(files, change)
    for path in files:
        path.rename(path.with_name(f"{int(path.stem) + OFFSET}.dcm"))
    return f"by {OFFSET}"


def repeat_number(folder: Path, rng: Rng) -> str:
    """Gives two files one instance number."""
    files = files_of(folder)
    first, second = (files[index] for index in sorted(rng.choice(len(files), 2, replace=False)))
    number = dcmread(first, stop_before_pixels=True).InstanceNumber

    def change(dataset: Dataset) -> None:
        dataset.InstanceNumber = number

    return f"{first.name} and {edit_tags([second], change)}"
