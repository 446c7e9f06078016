"""The label space of the competition, derived in one place: conditions, sides, levels, grades, cells and row ids.

A *cell* is one condition at one level (25 a study). A *condition group* is a condition without its side (3): a grader
grades one, a component of the metric scores one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

GRADES = ("normal_mild", "moderate", "severe")
GRADE_WEIGHTS = (1.0, 2.0, 4.0)
"""The metric's sample weight of each grade."""
SEVERE = GRADES.index("severe")

SIDES = ("left", "right")
LEVELS = tuple(f"{upper}_{lower}" for upper, lower in pairwise(("l1", "l2", "l3", "l4", "l5", "s1")))
"""Disc levels from head to foot, `l1_l2` ... `l5_s1`."""


def plane_of(series_description: str) -> str:
    """The anatomical plane of a series type: `sagittal` or `axial`."""
    return series_description.split()[0].lower()


def sequence_of(series_description: str) -> str:
    """What a series type's files say of themselves: `T1`, or `T2`, also where they are STIR."""
    return "T1" if "T1" in series_description else "T2"


@dataclass(frozen=True)
class Group:
    """A condition without its side, and where it is seen."""

    name: str
    condition: str
    landmark: str
    series_description: str
    has_sides: bool

    @property
    def plane(self) -> str:
        """`sagittal` or `axial`."""
        return plane_of(self.series_description)


GROUPS = {
    group.name: group
    for group in (
        Group("spinal", "spinal_canal_stenosis", "canal", "Sagittal T2/STIR", has_sides=False),
        Group("foraminal", "neural_foraminal_narrowing", "foramen", "Sagittal T1", has_sides=True),
        Group("subarticular", "subarticular_stenosis", "subarticular", "Axial T2", has_sides=True),
    )
}
SERIES_DESCRIPTIONS = tuple(group.series_description for group in GROUPS.values())


@dataclass(frozen=True)
class Condition:
    """One of the competition's five conditions; `side` is None for the canal."""

    group: str
    side: str | None

    @property
    def name(self) -> str:
        """The name in column names and row ids, such as `left_subarticular_stenosis`."""
        base = GROUPS[self.group].condition
        return f"{self.side}_{base}" if self.side else base


CONDITIONS = {
    condition.name: condition
    for group in GROUPS.values()
    for condition in (Condition(group.name, side) for side in (SIDES if group.has_sides else (None,)))
}


@dataclass(frozen=True)
class Cell:
    """One condition at one level."""

    condition: str
    level: str

    @property
    def column(self) -> str:
        """The column of `train.csv`, and the part of a row id behind the study."""
        return f"{self.condition}_{self.level}"


CELLS = {cell.column: cell for condition in CONDITIONS for level in LEVELS for cell in (Cell(condition, level),)}


def row_id(study_id: int, condition: str, level: str) -> str:
    """The submission's row id of a cell, such as `4003253_spinal_canal_stenosis_l1_l2`."""
    return f"{study_id}_{condition}_{level}"


def row_ids(study_ids: Iterable[int]) -> list[str]:
    """The row ids of all cells of some studies, study by study in the order of `CELLS`."""
    return [f"{study_id}_{column}" for study_id in study_ids for column in CELLS]


def group_of(condition: str) -> str:
    """The name of the group that a condition belongs to."""
    return CONDITIONS[condition].group


def condition_of(group: str, side: str | None) -> str:
    """The condition that a group is on a side (None for the canal)."""
    return Condition(group, side).name


def spell(text: str) -> str:
    """The one spelling of a condition, level or grade: `Left Subarticular Stenosis`, `L1/L2` and `Normal/Mild` become
    `left_subarticular_stenosis`, `l1_l2` and `normal_mild`."""
    return text.strip().lower().replace(" ", "_").replace("/", "_")


def title(name: str) -> str:
    """The spelling of `train_label_coordinates.csv` for a condition (`Spinal Canal Stenosis`)."""
    return name.replace("_", " ").title()


def level_title(level: str) -> str:
    """The spelling of `train_label_coordinates.csv` for a level (`L1/L2`)."""
    return level.upper().replace("_", "/")


def finding(condition: str, level: str, grade: str) -> str:
    """A cell's grade as a sentence would name it: "severe left subarticular stenosis at L4/L5".

    `grade` may also be several joined by `_or_`.
    """
    words = grade.replace("normal_mild", "normal_or_mild").replace("_", " ")
    return f"{words} {condition.replace('_', ' ')} at {level_title(level)}"


def grade_title(grade: str) -> str:
    """The spelling of `train.csv` for a grade (`Normal/Mild`)."""
    return grade.replace("_", "/").title()
