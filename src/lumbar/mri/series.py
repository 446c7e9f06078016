"""DICOM files read into a `Series`: slices in order along the stack, each with its own plane in patient space.

Nothing is taken from file names or from instance numbers but the identity of a slice: order and spacing come from
positions. A series may hold images of several sizes and orientations, so every slice keeps its own pixels and plane.
"""

import logging
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lumbar.errors import InputError
from lumbar.mri.files import list_files, part_dicom, read_bytes, zip_of
from lumbar.mri.geometry import BACK, DECIMALS, HEAD, LEFT, SAME_PLACE_MM, Plane, anatomical_plane, lies_in
from lumbar.mri.image import Image, read_images
from lumbar.mri.notes import Note, note_failures, note_oddities, note_refusals, note_sequence, note_stack
from lumbar.mri.pixels import LARGEST_SERIES
from lumbar.mri.stack import leave_out_copies, number_images, place_images

logger = logging.getLogger(__name__)

WINDOW_PERCENTILES = (1.0, 99.95)
"""Percentiles of a series' pixels that become black and white: the Window tags are missing or wrong too often. Where
fat is dark, only fluid is bright: at 99.5 the roots of a whole canal were drowned in white (LAB.md, 2026-11-30)."""
WINDOW_SAMPLE = 200_000
"""Pixels from which the percentiles are taken; more change them by less than two grey levels in 255."""


class SeriesError(InputError):
    """A series that cannot be used; the message names its directory."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One image: float32 `pixels` (rows, columns) after rescaling, and where they lie.

    `anatomical_plane` is the one by whose convention it is shown and sorted: its series', if it lies in that. `padding`
    (rows, columns) says which pixels show nothing.
    """

    instance_number: int
    pixels: NDArray[np.float32]
    plane: Plane
    anatomical_plane: str
    padding: NDArray[np.bool_] | None = None

    @cached_property
    def centre(self) -> NDArray[np.float64]:
        """The patient point (3,) in the middle of the image."""
        rows, columns = self.pixels.shape
        return self.plane.to_patient([(columns - 1) / 2, (rows - 1) / 2])

    def distance(self, point: Sequence[float] | NDArray[np.float64]) -> float:
        """Millimetres of a patient point (3,) from the plane, not signed."""
        return abs(float(self.plane.distance(point)))

    def shows(self, point: NDArray[np.float64]) -> bool:
        """Whether a patient point (3,), projected onto the plane, falls on the image; a point of NaN never does."""
        x, y = self.plane.to_pixels(point)
        rows, columns = self.pixels.shape
        return bool(0 <= x <= columns - 1 and 0 <= y <= rows - 1)


@dataclass(frozen=True, eq=False)
class Series:
    """A series' slices, sorted along the stack's normal, each with an instance number of its own.

    `problems` says which files were left out and what was assumed in place of a tag, `remarks` what else is unusual and
    cost nothing; both name the directory. Unless `is_placed`, the files give no positions, and the stack lies neither
    among the study's other series nor the right way round for sure.
    """

    series_id: int
    slices: tuple[Slice, ...] = field(repr=False)
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    is_placed: bool = True

    @property
    def instance_numbers(self) -> list[int]:
        """InstanceNumber of each slice, in the order of the stack."""
        return [image.instance_number for image in self.slices]

    @property
    def spacing(self) -> float:
        """Median millimetres between neighbouring slices, from their positions; NaN where all lie in one place."""
        steps = np.abs(np.diff(self.offsets))
        apart = steps > SAME_PLACE_MM
        return float(np.median(steps[apart])) if apart.any() else float("nan")

    @property
    def offsets(self) -> NDArray[np.float64]:
        """Millimetres (S,) of each slice's centre along the stack's normal."""
        return np.array([image.centre for image in self.slices]) @ self.normal

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """The stack's unit direction (3,), towards the left, the head or the back."""
        return _stack_normal(self.slices)

    @cached_property
    def window(self) -> tuple[float, float]:
        """Pixel values of black and white, `WINDOW_PERCENTILES` of the whole series without its padding."""
        shown = [
            image.pixels.ravel() if image.padding is None else image.pixels[~image.padding] for image in self.slices
        ]
        step = max(1, sum(pixels.size for pixels in shown) // WINDOW_SAMPLE)
        sample = np.concatenate([pixels[::step] for pixels in shown])
        low, high = np.percentile(sample, WINDOW_PERCENTILES)
        return float(low), float(max(high, low + 1e-3))

    @cached_property
    def _windowed(self) -> dict[tuple[int, int], NDArray[np.uint8]]:
        """What `windowed` has made, by instance number and shrinking: each slice is sampled many times."""
        return {}

    def windowed(self, image: Slice, shrink: int = 1) -> NDArray[np.uint8]:
        """A slice's pixels (rows, columns) as 0-255 between the series' black and white, or the means of blocks of
        `shrink` x `shrink` of them. Not to be written to: it is kept."""
        key = image.instance_number, shrink
        if key not in self._windowed:
            self._windowed[key] = self._window(image) if shrink == 1 else _block_means(self.windowed(image), shrink)
        return self._windowed[key]

    def _window(self, image: Slice) -> NDArray[np.uint8]:
        low, high = self.window
        grey = (np.clip((image.pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        return grey if image.padding is None else np.where(image.padding, np.uint8(0), grey)

    def by_instance_number(self, instance_number: int) -> Slice:
        """The slice of an instance number; KeyError when there is none."""
        for image in self.slices:
            if image.instance_number == instance_number:
                return image
        raise KeyError(f"series {self.series_id} has no instance {instance_number}")

    def distances(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Millimetres (S,) of a patient point from each slice's plane, not signed."""
        return np.abs(self.signed_distances(point))

    def signed_distances(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Millimetres (S,) of a patient point from each slice's plane, positive along the stack's normal, however the
        images are stored."""
        planes = [image.plane for image in self.slices]
        # Not sign, which is 0 for a scout across the stack: every point would lie on it.
        turns = np.copysign(1.0, [plane.normal @ self.normal for plane in planes])
        return turns * [float(plane.distance(point)) for plane in planes]


def _block_means(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The mean of each whole block of pixels, rounded."""
    rows, columns = (length // side for length in pixels.shape)
    blocks = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def nearest_slice(stacks: Iterable[Series], point: NDArray[np.float64]) -> tuple[Series, Slice] | None:
    """Of the slices that show a patient point (3,) the one nearest to it, with its stack; None where none does.

    Of two that are equally near the first one, whatever the last digits of a distance say.
    """
    shown = [(stack, image) for stack in stacks for image in stack.slices if image.shows(point)]
    return min(shown, key=lambda pair: round(pair[1].distance(point), DECIMALS), default=None)


def read_series(directory: Path | str, expected_plane: str | None = None, expected_sequence: str = "") -> Series:
    """Reads every DICOM file of a directory and below it, known by its suffix (`.dcm`) or its content, also in a zip.

    A file that cannot be read is left out with a warning that names it. `expected_plane` stands in for an orientation
    that no file gives (without it, sagittal), and where some images lie in it the others are left out. That none does,
    or that the files say another sequence (`T1`, `T2`) than `expected_sequence`, is a problem to be told. Raises
    SeriesError when nothing readable is left.
    """
    directory = Path(directory)
    if not directory.name:  # as that of `.`
        directory = directory.absolute()
    series_id = int(directory.name) if directory.name.isdecimal() else 0
    directory = zip_of(directory)
    names, others = _list_files(directory)
    return read_files(directory, names, series_id, expected_plane, expected_sequence, others)


def read_files(
    directory: Path,
    names: Sequence[str],
    series_id: int = 0,
    expected_plane: str | None = None,
    expected_sequence: str = "",
    others: Sequence[Note] = (),
) -> Series:
    """Reads the files of a series, given by their names or paths in a directory; see `read_series`.

    `others` are notes of what else lies there.
    """
    images, failures = _read_files(directory, names)
    for note in failures:
        logger.warning(note.message(directory))
    if not images:
        what = "has no readable file" if names else "has no DICOM file"
        raise SeriesError(": ".join([f"{directory}: the series {what}", *map(str, (*failures, *others))]))
    slices, is_placed, notes = _stack(images, expected_plane, expected_sequence)
    notes = [*failures, *notes, *others]
    return Series(
        series_id=series_id,
        slices=_sort(slices),
        problems=tuple(note.message(directory) for note in notes if not note.is_harmless),
        remarks=tuple(note.message(directory) for note in notes if note.is_harmless),
        is_placed=is_placed,
    )


def _list_files(directory: Path) -> tuple[list[str], list[Note]]:
    """The names of a directory's DICOM files, and a note of what else is in it."""
    try:
        names, refused = list_files(directory)
    except (FileNotFoundError, NotADirectoryError):
        raise SeriesError(f"{directory}: the series does not exist") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise SeriesError(f"{directory}: the series cannot be listed: {error}") from error
    files, others = part_dicom(directory, names)
    below = tuple(name for name in files if "/" in name)
    notes = [
        *note_refusals(refused),
        Note("in a folder below, or in a zip,", below, "read", is_harmless=True),
        Note("no DICOM file", tuple(others), "not read", is_harmless=True),
    ]
    return files, [note for note in notes if note.files]


def _read_files(directory: Path, names: Sequence[str]) -> tuple[list[Image], list[Note]]:
    """The images of the readable files, and notes of the others."""
    images: list[Image] = []
    failures: list[tuple[str, BaseException]] = []
    pixels = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, file by file; the notes say it once for each series
        for name in names:
            try:
                if pixels > LARGEST_SERIES:
                    raise ValueError(f"the files before it hold more than {LARGEST_SERIES} pixels")
                found = read_images(name, read_bytes(directory, name))
                images += found
                pixels += sum(image.pixels.size for image in found)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                # pydicom and its decoders raise almost anything on a damaged file, one in Rust even what is no
                # Exception; but one file must not cost the series.
                failures.append((name, error))
    return images, note_failures(failures)


def _stack(
    images: Sequence[Image], expected_plane: str | None, expected_sequence: str
) -> tuple[list[Slice], bool, list[Note]]:
    """The slices, not sorted, whether the files say where they lie, and what is odd about them."""
    images, copies = leave_out_copies(images)
    numbers, renumbered = number_images(images)
    placement = place_images(images, numbers, expected_plane or "sagittal")
    fits, misfits = _choose_plane(images, placement.planes, expected_plane)
    kept = list(compress(images, fits))
    names = _name_planes(placement.planes, expected_plane)
    slices = [
        Slice(number, image.pixels, plane, name, image.padding)
        for image, number, plane, name in compress(zip(images, numbers, placement.planes, names, strict=True), fits)
    ]
    notes = [*copies, *renumbered, *placement.notes, *misfits, *note_sequence(kept, expected_sequence)]
    notes += note_oddities(kept) + note_stack(
        kept, [image.instance_number for image in slices], [image.plane for image in slices]
    )
    return slices, placement.is_known, notes


def _choose_plane(
    images: Sequence[Image], planes: Sequence[Plane], expected: str | None
) -> tuple[list[bool], list[Note]]:
    """Which images to keep: those that lie in the expected plane, or all where none does."""
    fits = [expected is None or lies_in(plane, expected) for plane in planes]
    if all(fits):
        return fits, []
    if not any(fits):
        what = f"expected {expected} images, got {anatomical_plane(planes[0])} ones"
        return [True] * len(fits), [Note(what, (), "kept as they are")]
    others = tuple(image.name for image, is_fitting in zip(images, fits, strict=True) if not is_fitting)
    return fits, [Note(f"an image that is not {expected}", others, "left out")]


def _name_planes(planes: Sequence[Plane], expected: str | None) -> list[str]:
    """The anatomical plane of each: the expected one, or that of most, where it lies in that, else the nearest."""
    nearest = [anatomical_plane(plane) for plane in planes]
    name = expected or max(set(nearest), key=lambda kind: (nearest.count(kind), kind))
    return [name if lies_in(plane, name) else own for plane, own in zip(planes, nearest, strict=True)]


def _sort(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    normal = _stack_normal(slices)
    return tuple(sorted(slices, key=lambda image: (float(image.centre @ normal), image.instance_number)))


def _stack_normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """The normal of most of the stack, turned towards the head, the left or the back, so that its sign is fixed."""
    kinds = [image.anatomical_plane for image in slices]
    kind = max(set(kinds), key=lambda name: (kinds.count(name), name))
    towards = {"sagittal": LEFT, "coronal": BACK, "axial": HEAD}[kind]
    normals = [image.plane.normal for image, of in zip(slices, kinds, strict=True) if of == kind]
    mean = np.sum([normal * np.sign(normal @ towards) for normal in normals], axis=0)
    return mean / np.linalg.norm(mean)
