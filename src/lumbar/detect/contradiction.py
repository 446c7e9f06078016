"""Whether a study's images agree on where the spine lies.

Each series of a real study has a FrameOfReferenceUID of its own although their coordinates agree, so it tells nothing;
only what the images show does.
"""

from collections.abc import Mapping, Sequence

from lumbar.data.points import NO_SLICE, Point
from lumbar.data.problems import Problems
from lumbar.labels import CONDITIONS, GROUPS
from lumbar.mri.series import Series

AXIAL = "subarticular"
"""The group of the conditions that axial slices show."""
SURE = 0.5
"""The confidence that a detector has of a level of a spine like those it was trained on. One that is not sure may be
wrong, and the images right."""


def note_contradiction(
    study_id: int, study: Mapping[str, Sequence[Series]], points: Sequence[Point], problems: Problems
) -> None:
    """Notes it where sagittal images show levels of which no axial one with a position shows any."""
    axial = [stack for stack in study.get(GROUPS[AXIAL].series_description, []) if stack.is_placed]
    is_shown = any(point.series_id != NO_SLICE and CONDITIONS[point.condition].group == AXIAL for point in points)
    is_sure = any(point.confidence >= SURE for point in points)
    if not axial or is_shown or not is_sure:
        return
    slices = sum(len(stack.slices) for stack in axial)
    message = (
        f"none of the {slices} axial images passes a level that the sagittal ones show: their positions contradict"
        " each other, or they show another part of the spine"
    )
    problems.note(study_id, "read", message, "the levels have no axial image")
