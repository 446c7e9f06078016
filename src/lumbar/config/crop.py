"""The crop stage's section."""

from pydantic import Field, field_validator

from lumbar.labels import GROUPS
from lumbar.records import Record


class ViewConfig(Record):
    """How a crop is sampled around a point."""

    size: int = Field(256, ge=16)
    """Side of the stored crop in pixels."""
    mm_per_pixel: float = Field(0.35, gt=0)
    """Scale of the crop."""
    anterior_mm: float = 0.0
    """How far in front of the point the crop's centre lies: a disc is in front of its canal."""
    slices: int = Field(5, ge=1)
    """Neighbouring slices, the point's own in the middle."""

    @field_validator("slices")
    @classmethod
    def _is_odd(cls, slices: int) -> int:
        if slices % 2 == 0:
            raise ValueError("expected an odd number, so that the point's own slice is the middle one")
        return slices


class CropConfig(Record):
    """The views of the three condition groups, around the detector's out-of-fold points."""

    spinal: ViewConfig = ViewConfig()
    """Sagittal T2 around the canal."""
    foraminal: ViewConfig = ViewConfig()
    """Sagittal T1 around the foramen."""
    subarticular: ViewConfig = ViewConfig()
    """Axial T2 around the subarticular recess."""

    def view(self, group: str) -> ViewConfig:
        """The view of a condition group."""
        return {name: getattr(self, name) for name in GROUPS}[group]
