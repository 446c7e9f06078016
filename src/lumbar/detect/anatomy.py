"""From loose candidates to one point for each level: sites in anatomical order, gaps filled from the neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lumbar.detect.detector import Candidate
from lumbar.labels import LEVELS
from lumbar.mri.geometry import DECIMALS

SITE_RADIUS_MM = 9.0
"""Candidates of neighbouring slices this near to each other within the sagittal plane are one place."""
BESIDE_MM = 12.0
"""A canal and the foramina of its level, moved onto each other by their usual offset, are this near: less than half the
smallest distance between levels."""
STEP_LIMITS_MM = (18.0, 50.0)
"""Least and greatest distance between the points of neighbouring levels: a disc and a small or a tall body, 30-42 mm
in most adults."""
STEEPEST_LEAN = np.deg2rad(60.0)
"""Greatest angle between a step to the next level and straight down: in all but two of the competition's 1,881 canals
that are annotated on one series every step leans by less than 56 degrees."""
LEVEL_STEP_MM = np.array([0.0, 0.0, -35.0])
"""The step to the next level where only one level was found."""
FORAMEN_OFFSET_MM = np.array([15.0, -4.0, 4.0])
"""From the canal at a disc to the left foramen: out by half the interpedicular distance, forward, and up."""
RECESS_OFFSET_MM = np.array([9.0, 0.0, 0.0])
"""From the canal at a disc to the left subarticular recess."""

Points = NDArray[np.float64]
"""A point for each level (5, 3) in patient mm; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Site:
    """A place where candidates gather: its point (3,), and for each level (5,) the confidence that it is this level."""

    point: NDArray[np.float64]
    confidences: NDArray[np.float64]


def gather_sites(candidates: Sequence[Candidate], level_of: Mapping[int, int]) -> list[Site]:
    """Clusters candidates that lie at one place in the sagittal plane; `level_of` maps classes to level indices.

    The most confident candidate founds a site, and the others within `SITE_RADIUS_MM` join it. Its point is the mean
    weighted by confidence, so that it lies in the middle of the slices on which the landmark is seen.
    """
    remaining = sorted(
        (candidate for candidate in candidates if candidate.landmark in level_of),
        key=lambda candidate: -candidate.confidence,
    )
    sites = []
    while remaining:
        centre = remaining[0].point
        near = [_apart(candidate.point, centre) <= SITE_RADIUS_MM for candidate in remaining]
        sites.append(_site([candidate for candidate, joins in zip(remaining, near, strict=True) if joins], level_of))
        remaining = [candidate for candidate, joins in zip(remaining, near, strict=True) if not joins]
    return sites


def _site(members: Sequence[Candidate], level_of: Mapping[int, int]) -> Site:
    weights = np.array([candidate.confidence for candidate in members]) ** 2  # the sharpest slices count most
    point = weights @ np.array([candidate.point for candidate in members]) / weights.sum()
    confidences = np.zeros(len(LEVELS))
    for candidate in members:
        confidences[level_of[candidate.landmark]] = max(confidences[level_of[candidate.landmark]], candidate.confidence)
    return Site(point, confidences)


def order_together(sites: Sequence[Site], others: Sequence[Sequence[Site]]) -> tuple[Points, NDArray[np.float64]]:
    """`order_levels`, where other kinds of landmark have a say: what a site's picture leaves open, theirs may tell.

    `others` are moved to where the sites should be. Each site's evidence is its own and that of the nearest of each
    kind, if it lies within `BESIDE_MM`; the points and the confidences that are returned are its own.
    """
    helped = [Site(site.point, site.confidences + _evidence_at(site.point, others)) for site in sites]
    points, _ = order_levels(helped)
    own = {tuple(site.point): float(site.confidences.max()) for site in sites}
    return points, np.array([own.get(tuple(point), 0.0) for point in points])


def _evidence_at(point: NDArray[np.float64], kinds: Sequence[Sequence[Site]]) -> NDArray[np.float64]:
    evidence = np.zeros(len(LEVELS))
    for sites in kinds:
        near = min(sites, key=lambda site: _apart(site.point, point), default=None)
        if near is not None and _apart(near.point, point) <= BESIDE_MM:
            evidence += near.confidences
    return evidence


def _apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Millimetres in the sagittal plane, to `DECIMALS`."""
    return round(float(np.hypot(*(first - second)[1:])), DECIMALS)


def order_levels(sites: Sequence[Site]) -> tuple[Points, NDArray[np.float64]]:
    """Chooses at most one site for each level, from head to foot, with the greatest sum of confidences.

    Neighbouring levels must lie `STEP_LIMITS_MM` apart for each level between them, and not beside each other. Returns
    points (5, 3) and confidences (5,), NaN and 0 where a level has no site.
    """
    ordered = sorted(sites, key=lambda site: -site.point[2])
    best: dict[tuple[int, int], tuple[float, tuple[tuple[int, int], ...]]] = {}
    for index, site in enumerate(ordered):
        for level in np.flatnonzero(site.confidences):
            before = [
                chain
                for (other, upper), chain in best.items()
                if upper < level and _fits(ordered[other], site, int(level) - upper)
            ]
            total, path = max(before, key=lambda chain: chain[0], default=(0.0, ()))
            best[index, int(level)] = (total + float(site.confidences[level]), (*path, (index, int(level))))
    points, confidences = np.full((len(LEVELS), 3), np.nan), np.zeros(len(LEVELS))
    _, path = max(best.values(), key=lambda chain: chain[0], default=(0.0, ()))
    for index, level in path:
        points[level], confidences[level] = ordered[index].point, ordered[index].confidences[level]
    return points, confidences


def _fits(upper: Site, lower: Site, levels: int) -> bool:
    step = (lower.point - upper.point)[1:]
    distance = float(np.linalg.norm(step))
    is_down = -step[1] >= np.cos(STEEPEST_LEAN) * distance
    return bool(is_down) and STEP_LIMITS_MM[0] * levels <= distance <= STEP_LIMITS_MM[1] * levels


def fill_levels(points: Points) -> Points:
    """Fills levels from their neighbours: between two on the line, beyond the last by the step next to it."""
    known = np.flatnonzero(np.isfinite(points[:, 0]))
    if not len(known):
        return points
    levels = np.arange(len(LEVELS))
    filled = np.stack([np.interp(levels, known, points[known, axis]) for axis in range(3)], axis=1)
    first, last = known[0], known[-1]
    head = (filled[first + 1] - filled[first]) if last > first else LEVEL_STEP_MM
    foot = (filled[last] - filled[last - 1]) if last > first else LEVEL_STEP_MM
    above, below = levels < first, levels > last
    filled[above] = filled[first] + (levels[above] - first)[:, None] * head
    filled[below] = filled[last] + (levels[below] - last)[:, None] * foot
    return filled


def fill_beside(points: Points, canal: Points, offset: NDArray[np.float64]) -> Points:
    """Fills levels beside the canal: by the mean offset of the levels that were found, or the typical `offset` (3,)."""
    found = np.isfinite(points[:, 0]) & np.isfinite(canal[:, 0])
    if found.any():
        offset = (points[found] - canal[found]).mean(axis=0)
    return np.where(np.isfinite(points), points, canal + offset)
