"""Where the images of a series lie: what one file does not say is taken from the others, or assumed; both are noted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

import numpy as np

from lumbar.mri.geometry import DISPLAY_AXES, SAME_PLACE_MM, Array, Plane, anatomical_plane, location_axis
from lumbar.mri.image import NO_NUMBER, NO_ORIENTATION, NO_POSITION, NO_SPACING, Image
from lumbar.mri.notes import Note

FALLBACK_FIELD_OF_VIEW_MM = 260.0
"""The width assumed for an image without PixelSpacing: the middle of the usual 180-340 mm."""
FALLBACK_SLICE_STEP_MM = 4.4
"""The step assumed between slices without positions: the usual thickness of 4 mm and a 10 % gap."""
SURE_ORDER = "SliceLocation"
"""The tag that says on which side a slice without a position lies; instance numbers do not."""
LONGEST_NUMBER = 9
"""Digits of a file name that are taken for an instance number: more are part of an identifier."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A plane for each image. `is_known` is False where the files give no positions, so that the stack fits no other
    series of the study."""

    planes: list[Plane]
    is_known: bool
    notes: list[Note]


def leave_out_copies(images: Sequence[Image]) -> tuple[list[Image], list[Note]]:
    """The images without those that repeat an earlier one: number, place and pixels."""
    kept: list[Image] = []
    copies: list[str] = []
    by_number: dict[int | None, list[Image]] = {}
    for image in images:
        namesakes = by_number.setdefault(image.instance_number, [])
        if any(_is_copy(image, other) for other in namesakes):
            copies.append(image.name)
        else:
            namesakes.append(image)
            kept.append(image)
    return kept, [Note("a copy of another image", tuple(copies), "left out")] if copies else []


def _is_copy(image: Image, other: Image) -> bool:
    is_same_place = np.array_equal(_or_nan(image.position), _or_nan(other.position), equal_nan=True)
    return is_same_place and np.array_equal(image.pixels, other.pixels)


def _or_nan(position: Array | None) -> Array:
    return np.full(3, np.nan) if position is None else position


def number_images(images: Sequence[Image]) -> tuple[list[int], list[Note]]:
    """An instance number for each image and no number twice: the file's own, that in its name, or one above them."""
    said = [_number_in_name(image.name) if image.instance_number is None else image.instance_number for image in images]
    numbers: dict[int, str] = {}
    repeated = []
    spare = count(max(said) + 1)
    for image, number in zip(images, said, strict=True):
        if number in numbers:
            repeated.append(image.name)
        numbers[next(spare) if number in numbers else number] = image.name
    notes = [_lack(images, NO_NUMBER, "the number in the file's name is taken")]
    notes += [Note("an InstanceNumber that another file has", tuple(repeated), "numbered anew, after the others")]
    return list(numbers), [note for note in notes if note.files]


def _number_in_name(path: str) -> int:
    name = PurePosixPath(path).name  # a folder's number is a series' or a study's
    stem, _, suffix = name.rpartition(".")
    digits = "".join(
        character for character in (name if suffix.isdecimal() or not stem else stem) if character.isdecimal()
    )
    return int(digits[-LONGEST_NUMBER:] or 0)


def _lack(images: Sequence[Image], oddity: str, done: str) -> Note:
    return Note(oddity, tuple(image.name for image in images if oddity in image.oddities), done)


def place_images(images: Sequence[Image], numbers: Sequence[int], expected_plane: str) -> Placement:
    """Gives every image a plane; `numbers` are their instance numbers, each once.

    `expected_plane` stands in for an orientation that no file gives.
    """
    orientations, spacings = _orientations(images, np.concatenate(DISPLAY_AXES[expected_plane])), _spacings(images)
    at_origin = [Plane.of(np.zeros(3), *tags) for tags in zip(orientations, spacings, strict=True)]
    positions, notes = _positions(images, numbers, at_origin)
    notes += [
        _lack(images, NO_ORIENTATION, _source(images, "orientation", f"that of a straight {expected_plane} image")),
        _lack(images, NO_SPACING, _source(images, "spacing", f"a width of {FALLBACK_FIELD_OF_VIEW_MM:.0f} mm")),
    ]
    planes = [Plane.of(*tags) for tags in zip(positions, orientations, spacings, strict=True)]
    return Placement(planes, _differ(images), [note for note in notes if note.files])


def _orientations(images: Sequence[Image], straight: Array) -> list[Array]:
    """The images' own orientations; else the first of the others', or the straight one."""
    spare = next((image.orientation for image in images if image.orientation is not None), straight)
    return [spare if image.orientation is None else image.orientation for image in images]


def _spacings(images: Sequence[Image]) -> list[Array]:
    """The images' own spacings; else that of the first image of the same size, or what gives the field of view of the
    first of any size, or the usual one."""
    known: dict[tuple[int, ...], Array] = {}
    for image in images:
        if image.spacing is not None:
            known.setdefault(image.pixels.shape, image.spacing)
    of_one_pixel = np.full(2, FALLBACK_FIELD_OF_VIEW_MM)
    shape, spacing = next(iter(known.items()), ((1, 1), of_one_pixel))

    def spare(wanted: tuple[int, ...]) -> Array:
        return known[wanted] if wanted in known else spacing * max(shape) / max(wanted)

    return [spare(image.pixels.shape) if image.spacing is None else image.spacing for image in images]


def _source(images: Sequence[Image], name: str, assumed: str) -> str:
    is_known = any(getattr(image, name) is not None for image in images)
    return "taken from the other files" if is_known else f"{assumed} is assumed"


def _positions(
    images: Sequence[Image], numbers: Sequence[int], at_origin: Sequence[Plane]
) -> tuple[list[Array], list[Note]]:
    """The images' own positions; else between the neighbours' by number; else one behind the other."""
    if _differ(images):
        done = "placed between its neighbours by instance number"
        return _interpolate(images, numbers), [_lack(images, NO_POSITION, done)]
    order, along = _offsets(images, numbers)
    done = f"stacked in the order of the {order}s"
    if order != SURE_ORDER and anatomical_plane(at_origin[0]) == "sagittal":
        done += ", so that left and right are a guess"
    notes = [_lack(images, NO_POSITION, done)]
    if not notes[0].files:
        notes = [Note("one ImagePositionPatient for all", tuple(image.name for image in images), done)]
    shared = next((image.position for image in images if image.position is not None), None)
    corners = [
        _centred(image, plane) if shared is None else shared for image, plane in zip(images, at_origin, strict=True)
    ]
    steps = zip(corners, at_origin, along, strict=True)
    return [corner + location_axis(plane) * offset for corner, plane, offset in steps], notes


def _differ(images: Sequence[Image]) -> bool:
    """Whether positions tell the images apart, or the only one has a position."""
    known = [image.position for image in images if image.position is not None]
    return bool(known) and (len(images) == 1 or bool(np.ptp(known, axis=0).max() > SAME_PLACE_MM))


def _interpolate(images: Sequence[Image], numbers: Sequence[int]) -> list[Array]:
    """Each image's own position, or the one on the line through the two that are next to it by number."""
    known = {
        number: image.position for number, image in zip(numbers, images, strict=True) if image.position is not None
    }
    sorted_numbers = sorted(known)

    def between(number: int) -> Array:
        end = int(np.clip(np.searchsorted(sorted_numbers, number), 1, len(known) - 1))
        lower, upper = sorted_numbers[end - 1], sorted_numbers[end]
        return known[lower] + (number - lower) / (upper - lower) * (known[upper] - known[lower])

    return [known[number] if number in known else between(number) for number in numbers]


def _offsets(images: Sequence[Image], numbers: Sequence[int]) -> tuple[str, list[float]]:
    """What orders the images, and the millimetres of each along the normal."""
    locations = [image.location for image in images if image.location is not None]
    if len(locations) == len(images) == len(set(locations)):
        return SURE_ORDER, locations
    ranks = np.argsort(np.argsort(numbers))
    return "instance number", ((ranks - (len(images) - 1) / 2) * FALLBACK_SLICE_STEP_MM).tolist()


def _centred(image: Image, plane: Plane) -> Array:
    """The corner that puts the image's middle on the patient's origin, near which scanners put what they show."""
    rows, columns = image.pixels.shape
    return -plane.to_patient([(columns - 1) / 2, (rows - 1) / 2])
