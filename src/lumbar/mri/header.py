"""A header's tags as numbers and text: None, or nothing, where they make no sense."""

from math import isfinite

import numpy as np
import pydicom
from pydicom.multival import MultiValue

from lumbar.mri.geometry import Array


def numbers(
    header: pydicom.Dataset, name: str, count: int, limits: tuple[float, float] = (-np.inf, np.inf)
) -> Array | None:
    """A tag's values, or None when it is missing, empty or not `count` finite numbers within the limits."""
    try:
        found = header.get(name)
        values = [float(value) for value in (found if isinstance(found, MultiValue) else [found])]
    except (TypeError, ValueError, OverflowError):
        return None
    sane = len(values) == count and all(isfinite(value) and limits[0] <= value <= limits[1] for value in values)
    return np.array(values) if sane else None


def whole_number(header: pydicom.Dataset, name: str) -> int | None:
    """A tag's value where it is a whole number that is not negative and fits DICOM's integer strings."""
    values = numbers(header, name, 1, (0.0, 2.0**31))
    return int(values[0]) if values is not None and values[0].is_integer() else None


def text(header: pydicom.Dataset, name: str) -> str:
    """A tag's value as text, empty where there is none."""
    try:
        return str(header.get(name) or "")
    except (TypeError, ValueError):
        return ""


def orientation(header: pydicom.Dataset) -> Array | None:
    """ImageOrientationPatient, or None when its directions do not span a plane."""
    values = numbers(header, "ImageOrientationPatient", 6, (-100.0, 100.0))
    if values is None:
        return None
    (across, dot), (_, down) = _products(values)
    spans = min(across, down) > 1e-4 and dot**2 < 0.99 * across * down
    return values if spans else None


def is_orthonormal(orientation: Array) -> bool:
    """Whether an orientation (6,) is two unit vectors at right angles, but for rounding."""
    return bool(np.abs(_products(orientation) - np.eye(2)).max() < 0.02)


def _products(orientation: Array) -> Array:
    """The products (2, 2) of the two directions with themselves and each other."""
    axes = orientation.reshape(2, 3)
    return axes @ axes.T
