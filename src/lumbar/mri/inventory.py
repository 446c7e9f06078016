"""What a bare folder of DICOM files holds: which files form a series, and what that shows, by their headers alone.

Nothing is expected of names, suffixes or nesting, and no table says which series is which.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom

from lumbar.labels import SERIES_DESCRIPTIONS, plane_of, sequence_of
from lumbar.mri.files import is_hidden, list_files, read_header
from lumbar.mri.frames import frame_headers
from lumbar.mri.geometry import Plane, anatomical_plane, lies_in
from lumbar.mri.header import numbers, text
from lumbar.mri.notes import note_refusals
from lumbar.mri.weighting import weighting_in

logger = logging.getLogger(__name__)

TAGS = [
    *("StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription", "ProtocolName", "SequenceName"),
    *("BodyPartExamined", "ImageType", "ImageOrientationPatient", "EchoTime", "RepetitionTime"),
    *("InversionTime", "Rows", "Modality", "NumberOfFrames"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
"""All that is read of a file here."""
OTHER_BODY_PARTS = re.compile(
    r"HEAD|BRAIN|SKULL|NECK|CHEST|HEART|BREAST|ABDOMEN|KNEE|HIP|SHOULDER|ANKLE|WRIST|C-?SPINE"
)
"""In BodyPartExamined: what is no lumbar spine. Most lumbar spines say LSPINE, SPINE or nothing."""
NAMES = ("SeriesDescription", "ProtocolName", "SequenceName")
"""The tags in which a series is called by a name, that of the series itself first: others may name the whole study."""
LOCALIZER = re.compile(r"LOCALI[SZ]ER|SCOUT|SURVEY|(?<![A-Z])LOC(?![A-Z])")
"""In a series' names or its ImageType: a few rough images from which the others were planned. Its times are those of a
true series."""
LONG_ECHO_MS, SHORT_REPETITION_MS = 60.0, 1200.0
"""A long echo makes a T2 image; without one, a short repetition makes a T1 image."""
INVERSION_MS = (80.0, 300.0)
"""Inversion times at which fat is dark: STIR, which stands for T2."""


@dataclass(frozen=True)
class FoundSeries:
    """A series in a folder: its files as paths in it, what its headers call it, and what that is in the competition's
    words, or why it is of no use."""

    files: tuple[str, ...]
    name: str
    description: str | None
    reason: str = ""
    study: str = ""
    """The StudyInstanceUID of its files."""

    @property
    def line(self) -> str:
        """The series in a line."""
        what = self.description or f"left out: {self.reason}"
        return f"{self.name or 'a series without a name'} ({len(self.files)} files): {what}"


def find_series(folder: Path) -> list[FoundSeries]:
    """The series of all images in a folder and below it, in the order of their names; files that are no image are
    passed over."""
    headers: dict[str, list[tuple[str, pydicom.Dataset]]] = {}
    for name, header in _read_headers(folder):
        series = str(header.get("SeriesInstanceUID") or Path(name).parent)
        headers.setdefault(series, []).append((name, header))
    return [
        replace(_describe(files), study=text(files[0][1], "StudyInstanceUID")) for _, files in sorted(headers.items())
    ]


def _read_headers(folder: Path) -> Iterator[tuple[str, pydicom.Dataset]]:
    names, refused = list_files(folder) if folder.is_dir() else ([], {})
    for note in note_refusals(refused):
        logger.warning(note.message(folder))
    for name in names:
        if is_hidden(name):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about a file is said when it is read
            try:
                header = read_header(folder, name, TAGS)
                is_image = "Rows" in header
            except Exception as error:  # of any kind: whatever lies in the folder may be no DICOM at all
                logger.debug("%s: no DICOM file: %s", folder / name, error)
                continue
        if is_image:
            yield name, header


def _describe(files: Sequence[tuple[str, pydicom.Dataset]]) -> FoundSeries:
    names, headers = tuple(name for name, _ in files), [frame for _, header in files for frame in _frames(header)]
    first = headers[0]
    name = text(first, "SeriesDescription") or text(first, "ProtocolName")
    body = text(first, "BodyPartExamined").upper()
    if OTHER_BODY_PARTS.search(body):
        return FoundSeries(names, name, None, f"its files say that it shows {body}")
    if "DIFFUSION" in text(first, "ImageType").upper():
        return FoundSeries(names, name, None, "its files say that it is a diffusion image")
    if _is_localizer(first):
        return FoundSeries(names, name, None, "its files say that it is a localizer")
    plane, weighting = _plane(headers), _weighting(first)
    if plane is None or weighting is None:
        unknown = " nor ".join(
            what for what, known in {"which plane it lies in": plane, "T1 or T2": weighting}.items() if known is None
        )
        return FoundSeries(names, name, None, f"its files do not say {unknown}")
    fitting = (kind for kind in SERIES_DESCRIPTIONS if (plane_of(kind), sequence_of(kind)) == (plane, weighting))
    description = next(fitting, None)
    return FoundSeries(names, name, description, "" if description else f"{plane} {weighting} images are not graded")


def _frames(header: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The header of each frame of Enhanced MR; of a file whose frames make no sense its own, which the reader refuses
    with the reason."""
    try:
        return frame_headers(header)
    except Exception:  # of any kind: pydicom reads the groups only now, and they may be damaged
        return [header]


def _is_localizer(header: pydicom.Dataset) -> bool:
    """Whether ImageType or a name says so, before another name says `T1` or `T2`."""
    for name in ("ImageType", *NAMES):
        said = text(header, name)
        if LOCALIZER.search(said.upper()):
            return True
        if weighting_in(said):
            return False
    return False


def _number(header: pydicom.Dataset, *names: str) -> float | None:
    """The first of some tags that is a number: Enhanced MR has other names for the times."""
    values = (numbers(header, name, 1) for name in names)
    return next((float(value[0]) for value in values if value is not None), None)


def _plane(headers: Sequence[pydicom.Dataset]) -> str | None:
    """The anatomical plane of most images, or None where none says one."""
    planes = []
    for header in headers:
        try:
            plane = Plane.of(np.zeros(3), header.ImageOrientationPatient, [1.0, 1.0])
        except (AttributeError, TypeError, ValueError):
            continue
        planes.append("axial" if lies_in(plane, "axial") else anatomical_plane(plane))
    return max(sorted(set(planes)), key=planes.count) if planes else None


def _weighting(header: pydicom.Dataset) -> str | None:
    """`T1` or `T2` (also STIR) by the first of its names that tells, else by its times; None where neither does."""
    called = (weighting_in(text(header, name)) for name in NAMES)
    if said := next(filter(None, called), None):
        return said
    echo, repetition = _number(header, "EchoTime", "EffectiveEchoTime"), _number(header, "RepetitionTime")
    inversion = _number(header, "InversionTime", "InversionTimes")
    if inversion is not None and INVERSION_MS[0] <= inversion <= INVERSION_MS[1]:
        return "T2"
    if echo is not None and echo >= LONG_ECHO_MS:
        return "T2"
    return "T1" if repetition is not None and repetition <= SHORT_REPETITION_MS else None
