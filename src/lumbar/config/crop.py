"""The crop stage's section."""

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lumbar.labels import GROUPS
from lumbar.records import Record

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What views and graders may be called: their files bear the name."""
TAKEN = {"detector": "the detector's files bear it", "pool": "it is what an ensemble calls all its members together"}
"""Names that no view or grader may have, and why."""


class ViewConfig(Record):
    """How a cell is looked at: where the crop lies, on which series, and how it is sampled."""

    group: Literal["spinal", "foraminal", "subarticular"]
    """Whose points it is centred on: the canal, the foramen or the subarticular recess of a level. A view that bears
    a group's name need not say it."""
    series: Literal["Sagittal T2/STIR", "Sagittal T1", "Axial T2"] | None = None
    """The series that is looked at; null is the one that the group's points are found on."""
    size: int = Field(256, ge=16)
    """Side of the stored crop in pixels."""
    mm_per_pixel: float = Field(0.35, gt=0)
    """Scale of the crop."""
    anterior_mm: float = 0.0
    """How far in front of the point the crop's centre lies: a disc is in front of its canal."""
    slices: int = Field(5, ge=1)
    """Neighbouring slices that a grader sees, the point's own, or the nearest one, in the middle."""
    spare: int = Field(0, ge=0)
    """Slices that are stored beyond these on either side, for training to shift into."""
    tolerance_mm: float = Field(8.0, gt=0)
    """On another series than the point's own: no slice farther than this from the point is taken for the middle one."""

    @field_validator("slices")
    @classmethod
    def _is_odd(cls, slices: int) -> int:
        if slices % 2 == 0:
            raise ValueError("expected an odd number, so that the point's own slice is the middle one")
        return slices

    @model_validator(mode="after")
    def _is_not_its_own_series(self) -> Self:
        if self.group in GROUPS and self.series == GROUPS[self.group].series_description:
            raise ValueError(f"series {self.series} is the {self.group} points' own, for which series is left out")
        return self

    @property
    def stored_slices(self) -> int:
        """Slices of a stored crop."""
        return self.slices + 2 * self.spare

    @property
    def series_description(self) -> str:
        """The type of the series that is looked at."""
        return self.series or GROUPS[self.group].series_description


def _views() -> dict[str, ViewConfig]:
    return {group: ViewConfig(group=group) for group in GROUPS}


class CropConfig(Record):
    """The views, around the detector's out-of-fold points and the annotated ones."""

    views: dict[str, ViewConfig] = Field(default_factory=_views)
    """By name; without any, each condition group has one, which bears its name."""

    @field_validator("views", mode="before")
    @classmethod
    def _know_their_groups(cls, views: Any) -> Any:
        """A view that bears a group's name is of that group."""
        if not isinstance(views, dict):
            return views
        return {
            name: {"group": name, **view} if isinstance(view, dict) and name in GROUPS else view
            for name, view in views.items()
        }

    @field_validator("views")
    @classmethod
    def _have_names(cls, views: dict[str, ViewConfig]) -> dict[str, ViewConfig]:
        refuse_names(views)
        return views

    def own_view(self, group: str) -> str | None:
        """The name of the first view of a condition group on the series that its points are found on."""
        return next((name for name, view in self.views.items() if view.group == group and view.series is None), None)


def refuse_names(named: dict[str, Any]) -> None:
    """ValueError where a view or a grader has a name that no file should have, or none has any."""
    if not named:
        raise ValueError("expected at least one name")
    for name in named:
        if not NAME.fullmatch(name) or "_fold" in name:
            raise ValueError(f"expected a name of lower-case letters, digits and _, without _fold, got {name!r}")
        if name in TAKEN:
            raise ValueError(f"no view or grader may be called {name}: {TAKEN[name]}")
