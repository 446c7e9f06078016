"""Enhanced MR: a file of one or many frames, whose places stand in functional groups (PS3.3, C.7.6.16)."""

from collections.abc import Sequence

import pydicom
from pydicom.dataset import Dataset

MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRModifierSequence",
)
"""The groups that say where a frame lies, what its values mean (PS3.3, C.7.6.16.2) and at which times it was taken
(C.8.13.5)."""


def count_frames(dataset: Dataset) -> int:
    """The number of frames; ValueError where several do not have a place each, so that they are no MR volume."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    places = len(_items(dataset, "PerFrameFunctionalGroupsSequence"))
    if frames != 1 and frames != places:
        raise ValueError(
            f"a file of {frames} frames of which {places} have functional groups is no MR volume;"
            " expected one image, or Enhanced MR with a place for each frame"
        )
    return frames


def frame_headers(dataset: Dataset) -> list[Dataset]:
    """The header of each frame as if it were a file of its own: the frame's groups go before the shared ones, and
    these before the file's own tags."""
    shared, own = (_items(dataset, f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame"))
    if not shared and not own:
        return [dataset]
    plain = Dataset({tag: element for tag, element in dataset.items() if element.VR != "SQ"})
    return [_overlay(plain, [*shared[:1], *own[index : index + 1]]) for index in range(count_frames(dataset))]


def _overlay(plain: Dataset, groups: Sequence[Dataset]) -> Dataset:
    header = Dataset()
    header.update(plain)
    for group in groups:
        for name in MACROS:
            for item in _items(group, name)[:1]:
                header.update(item)
    return header


def _items(dataset: pydicom.Dataset, name: str) -> list[Dataset]:
    """The items of a sequence; a damaged one has none."""
    value = dataset.get(name)
    return list(value) if isinstance(value, pydicom.Sequence) else []
