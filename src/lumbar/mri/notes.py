"""What is odd about a series, in words: one message for each kind of oddity, however many files have it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar.errors import printable
from lumbar.mri.geometry import SAME_PLACE_MM, Plane
from lumbar.mri.image import MADE_UP_FOR, UNNEEDED_TAGS, Image
from lumbar.mri.pixels import BAD_PIXELS, BAD_RESCALE, PADDED
from lumbar.mri.weighting import weighting_in

NAMED = 5
"""File names in a message, before the rest is counted."""
USUAL_NUMBERS = 1000
"""Instance numbers up to here are not worth a remark: the longest real series has 192 images."""
TURNED = np.cos(np.deg2rad(2.0))
"""Cosine of the angle below which images are not said to be turned against each other."""


@dataclass(frozen=True)
class Note:
    """Something odd: what it is, in which files, and what was done about it. Nothing is lost by a harmless one."""

    what: str
    files: tuple[str, ...]
    done: str
    is_harmless: bool = False

    def __str__(self) -> str:
        more = f" and {len(self.files) - NAMED} more" if len(self.files) > NAMED else ""
        listed = ", ".join(printable(name) for name in self.files[:NAMED])
        return f"{self.what}{f' in {listed}{more}' if listed else ''}; {self.done}"

    def message(self, directory: Path) -> str:
        """The note with the path of the series, or of the only file."""
        if len(self.files) != 1:
            return f"{directory}: {self}"
        return f"{directory / printable(self.files[0])}: {self.what}; {self.done}"


def note_failures(failures: Iterable[tuple[str, BaseException]]) -> list[Note]:
    """One note for each kind of failure: error messages that differ in numbers are of one kind."""
    reasons = ((name, f"{type(error).__name__}: {error}") for name, error in failures)
    return [Note("cannot be read", names, f"left out: {reason}") for reason, names in _by_kind(reasons)]


def note_refusals(refusals: Mapping[str, Exception]) -> list[Note]:
    """One note for each reason for which it cannot be told what lies in a folder or a zip, or what a file is."""
    reasons = ((name, str(getattr(error, "strerror", None) or error)) for name, error in refusals.items())
    return [Note("cannot be looked at", names, f"left out: {reason}") for reason, names in _by_kind(reasons)]


def _by_kind(reasons: Iterable[tuple[str, str]]) -> list[tuple[str, tuple[str, ...]]]:
    """The files (or folders) of each kind of reason, with the first of its reasons."""
    kinds: dict[str, tuple[str, list[str]]] = {}
    for name, reason in reasons:
        shown = printable(reason)
        kinds.setdefault(re.sub(r"\d+", "#", shown), (shown, []))[1].append(name)
    return [(reason, tuple(names)) for reason, names in kinds.values()]


def note_oddities(images: Sequence[Image]) -> list[Note]:
    """What was put right, or taken as it is, within the files themselves."""
    mended = {BAD_RESCALE: "ignored", BAD_PIXELS: "set to 0"}
    harmless = {f"no {name}": "not needed" for name in UNNEEDED_TAGS} | {PADDED: "painted black"}
    having: dict[str, list[str]] = {}
    for image in images:
        for oddity in image.oddities:
            having.setdefault(oddity, []).append(image.name)
    return [
        Note(oddity, tuple(names), (mended | harmless).get(oddity, "does no harm"), oddity not in mended)
        for oddity, names in having.items()
        if oddity not in MADE_UP_FOR
    ]


def note_stack(images: Sequence[Image], numbers: Sequence[int], planes: Sequence[Plane]) -> list[Note]:
    """What is unusual about the images taken together."""
    notes = [
        *_note_series(images),
        *_note_sizes(images),
        *_note_turns(images, planes),
        *_note_places(images, planes),
        *_note_rescale(images),
    ]
    if len(images) == 1:
        notes.append(Note("one image only", (), "it has no neighbours", True))
    if max(numbers) > USUAL_NUMBERS:
        notes.append(Note(f"instance numbers from {min(numbers)} to {max(numbers)}", (), "does no harm", True))
    return notes


def note_sequence(images: Sequence[Image], expected: str) -> list[Note]:
    """Whether the files themselves say `T1` where `T2` is expected, or the reverse."""
    other = {"T1": "T2", "T2": "T1"}.get(expected)
    wrong = tuple(image.name for image in images if other and weighting_in(image.sequence) == other)
    return [Note(f"a SeriesDescription of {other} where {expected} is expected", wrong, "kept")] if wrong else []


def _note_series(images: Sequence[Image]) -> list[Note]:
    """Whether the files say that they are of several series, as those of a whole study do."""
    series = {image.series_uid for image in images} - {""}
    return [Note(f"files of {len(series)} series", (), "taken for one stack")] if len(series) > 1 else []


def _note_sizes(images: Sequence[Image]) -> list[Note]:
    sizes = Counter(image.pixels.shape for image in images)
    if len(sizes) == 1:
        return []
    listed = ", ".join(f"{count} of {rows} x {columns}" for (rows, columns), count in sizes.most_common(NAMED))
    return [Note(f"images of {len(sizes)} sizes", (), f"each keeps its own: {listed}", True)]


def _note_turns(images: Sequence[Image], planes: Sequence[Plane]) -> list[Note]:
    first = planes[0]
    turned = tuple(
        image.name
        for image, plane in zip(images, planes, strict=True)
        if min(plane.x_axis @ first.x_axis, plane.y_axis @ first.y_axis) < TURNED
    )
    return [Note("images of several orientations", turned, "each keeps its own", True)] if turned else []


def _note_rescale(images: Sequence[Image]) -> list[Note]:
    raw = tuple(image.name for image in images if not image.is_rescaled)
    if len(raw) in (0, len(images)):
        return []
    return [Note("no RescaleSlope, which other files have,", raw, "kept as stored")]


def _note_places(images: Sequence[Image], planes: Sequence[Plane]) -> list[Note]:
    places = np.round([plane.position / SAME_PLACE_MM for plane in planes])
    first = np.unique(places, axis=0, return_index=True)[1]
    repeated = tuple(images[index].name for index in sorted(set(range(len(images))) - set(first.tolist())))
    return [Note("an image where another one lies", repeated, "kept, ordered by number")] if repeated else []
