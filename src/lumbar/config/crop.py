"""The crop stage's section."""

from typing import Literal

from pydantic import Field, field_validator

from lumbar.config.section import Section
from lumbar.labels import GROUPS


class ViewConfig(Section):
    """How a crop is sampled around a point."""

    size: int = Field(96, ge=16)
    """Side of the stored crop in pixels."""
    mm_per_pixel: float = Field(0.75, gt=0)
    """Scale of the crop."""
    anterior_mm: float = 0.0
    """How far in front of the point the crop's centre lies: a disc is in front of its canal."""
    slices: int = Field(5, ge=1)
    """Neighbouring slices, the point's own in the middle."""
    whole_slice: bool = False
    """The whole slice, its longer side fitted to the crop's, in place of a window of `mm_per_pixel` on the point."""
    mirror: bool = True
    """Mirror the right side onto the left; a net that has to tell the sides apart needs them as they are."""
    equalise: bool = False
    """Equalise the histogram of each slice."""
    denoise: bool = False
    """Smooth each slice with a small Gaussian."""

    @field_validator("slices")
    @classmethod
    def _is_odd(cls, slices: int) -> int:
        if slices % 2 == 0:
            raise ValueError("expected an odd number, so that the point's own slice is the middle one")
        return slices


class CropConfig(Section):
    """The views of the three condition groups, and the points that they are cut at."""

    points: Literal["detected", "annotated", "clustered"] = "detected"
    """Where training studies are cropped: at the out-of-fold points of the detector, at the annotated points, or, for
    the canal, at every axial slice, its level guessed by K-means of the slices' heights. Test studies, which are never
    annotated, are cropped at detected points instead of annotated ones."""

    spinal: ViewConfig = ViewConfig()
    """Sagittal T2 around the canal."""
    foraminal: ViewConfig = ViewConfig()
    """Sagittal T1 around the foramen."""
    subarticular: ViewConfig = ViewConfig()
    """Axial T2 around the subarticular recess."""

    def view(self, group: str) -> ViewConfig:
        """The view of a condition group."""
        return {name: getattr(self, name) for name in GROUPS}[group]
