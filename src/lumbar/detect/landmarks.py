"""The detector's classes: canal and foramen by level, subarticular recess by side."""

from dataclasses import dataclass

from lumbar.labels import CONDITIONS, GROUPS, LEVELS, SIDES


@dataclass(frozen=True)
class Landmark:
    """One class. A sagittal landmark is told apart by level, the axial one by side; the rest comes from geometry."""

    group: str
    level: str | None
    side: str | None

    @property
    def name(self) -> str:
        """Such as `canal_l1_l2` or `subarticular_left`."""
        return f"{GROUPS[self.group].landmark}_{self.level or self.side}"


LANDMARKS = (
    *(Landmark("spinal", level, None) for level in LEVELS),
    *(Landmark("foraminal", level, None) for level in LEVELS),
    *(Landmark("subarticular", None, side) for side in SIDES),
)
CLASS_NAMES = tuple(landmark.name for landmark in LANDMARKS)


def class_of(condition: str, level: str) -> int:
    """The class of a cell's landmark."""
    group, side = CONDITIONS[condition].group, CONDITIONS[condition].side
    wanted = Landmark(group, None, side) if group == "subarticular" else Landmark(group, level, None)
    return LANDMARKS.index(wanted)
