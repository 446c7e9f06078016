"""A study's points: what the detector sees on its series, put in anatomical order.

The sagittal series come first. Their points, in patient space, say which axial slice shows which level.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.data.competition import Competition
from lumbar.data.points import NO_FOLD, Point
from lumbar.data.problems import Problem, Problems
from lumbar.data.studies import Study, collect_points, map_studies
from lumbar.detect.anatomy import (
    FORAMEN_OFFSET_MM,
    Points,
    Site,
    fill_beside,
    fill_levels,
    gather_sites,
    order_levels,
    order_together,
)
from lumbar.detect.canvas import draw_canvas
from lumbar.detect.contradiction import note_contradiction
from lumbar.detect.detector import Candidate, Detector
from lumbar.detect.landmarks import LANDMARKS
from lumbar.detect.placing import TOWARDS_SIDE, are_placed, place
from lumbar.detect.recesses import locate_recesses
from lumbar.labels import GROUPS, LEVELS, SIDES
from lumbar.mri.geometry import DECIMALS
from lumbar.mri.series import Series, Slice

UNKNOWN_LEVELS: Points = np.full((len(LEVELS), 3), np.nan)
"""The points of levels that are not known."""
Levels = tuple[Points, NDArray[np.float64]]
"""Points (5, 3) and their confidences (5,)."""
TRIED = 3
"""Every so many slices are looked at to choose a scale: a landmark is seen on several."""


def locate_study(
    detector: Detector, study: Mapping[str, Sequence[Series]], study_id: int, fold: int = NO_FOLD
) -> list[Point]:
    """The points of a study's cells; `study` holds its readable series by description, `fold` is the detector's.

    A group whose series are missing, show nothing or lie in another plane than expected has points on no slice, where
    the other series say where they must be, and the others do not suffer. A stack without positions has a space of its
    own: it is graded, and says nothing about the others.
    """
    return [replace(point, study_id=study_id, fold=fold) for point in _locate_cells(detector, study)]


def locate_studies(
    detector: Detector, competition: Competition, study_ids: Iterable[int], fold: int
) -> tuple[pd.DataFrame, list[Problem]]:
    """The points of training studies by the detector of their fold, as a table, and what could not be used."""

    def locate(study_id: int, study: Study, problems: Problems) -> list[Point]:
        points = locate_study(detector, study, study_id, fold)
        note_contradiction(study_id, study, points, problems)
        return points

    label = f"detect: points by fold {fold}"
    return collect_points(map_studies(competition, "train", study_ids, locate, label, stage=("detect", "the prior")))


def _locate_cells(detector: Detector, study: Mapping[str, Sequence[Series]]) -> list[Point]:
    canal_series, foramen_series, axial_series = (
        _usable(study.get(group.series_description, []), group.plane) for group in GROUPS.values()
    )
    is_shared = are_placed(canal_series) and are_placed(foramen_series)
    canal_sites = _find_canal(detector, canal_series)
    canal = order_levels(canal_sites)[0] if is_shared else UNKNOWN_LEVELS
    foramen_sites = _find_foramina(detector, foramen_series, canal)
    (canal, canal_confidence), foramina = _order(canal_sites, foramen_sites, is_shared)
    middle = _middle([points for points, _ in foramina.values()])
    canals = _first_known((canal, True), (middle, is_shared))
    located = place("spinal", None, canal_series, canals, canal_confidence)
    for side, (points, confidence) in foramina.items():
        anchors = _first_known((canal, is_shared), (middle, True))
        filled = fill_beside(points, anchors, FORAMEN_OFFSET_MM * TOWARDS_SIDE[side])
        located += place("foraminal", side, foramen_series, filled, confidence)
    anchors = _first_known((canal, are_placed(canal_series)), (middle, are_placed(foramen_series)))
    placed = [series for series in axial_series if series.is_placed]
    return located + locate_recesses(detector, placed, anchors)


def _usable(series: Sequence[Series], plane: str) -> Sequence[Series]:
    """The series that lie in their plane; of stacks without positions only one, and only where there is no other."""
    fitting = [stack for stack in series if stack.slices[0].anatomical_plane == plane]
    return [stack for stack in fitting if stack.is_placed] or fitting[:1]


def _first_known(*choices: tuple[Points, bool]) -> Points:
    """The first points, filled, that are found and may be used."""
    return next((fill_levels(points) for points, may in choices if may and np.isfinite(points).any()), UNKNOWN_LEVELS)


def _find_canal(detector: Detector, series: Sequence[Series]) -> list[Site]:
    """Where the canal's levels may be, at the config's scale that makes them surest."""

    def sites(candidates: Sequence[Candidate]) -> list[Site]:
        return gather_sites(candidates, _levels_of("spinal"))

    return sites(_look(detector, series, lambda candidates: _sureness(sites(candidates))))


def _find_foramina(detector: Detector, series: Sequence[Series], canal: Points) -> dict[str, list[Site]]:
    """The same of each side's foramina."""

    def sites(candidates: Sequence[Candidate]) -> dict[str, list[Site]]:
        return _part_sides(candidates, _stack_middle(series), canal)

    return sites(_look(detector, series, lambda candidates: sum(map(_sureness, sites(candidates).values()))))


def _sureness(sites: Sequence[Site]) -> float:
    return float(order_levels(sites)[1].sum())


def _part_sides(candidates: Sequence[Candidate], stack_middle: float, canal: Points) -> dict[str, list[Site]]:
    """Left and right told apart by patient x: beside the canal, or beside the stack's middle where there is none."""
    sides: dict[str, list[Candidate]] = {side: [] for side in SIDES}
    for candidate in candidates:
        middle = _canal_x(canal, float(candidate.point[2]), otherwise=stack_middle)
        # Both may be of the same slice.
        sides["left" if round(candidate.point[0] - middle, DECIMALS) > 0 else "right"].append(candidate)
    return {side: gather_sites(found, _levels_of("foraminal")) for side, found in sides.items()}


def _order(
    canal: Sequence[Site], foramina: Mapping[str, Sequence[Site]], is_shared: bool
) -> tuple[Levels, dict[str, Levels]]:
    """The points and confidences of the canal and of each side's foramina: the levels are decided together, where
    both are seen and share a space, and otherwise each by itself."""
    if not is_shared:
        return order_levels(canal), {side: order_levels(sites) for side, sites in foramina.items()}
    offsets = {side: FORAMEN_OFFSET_MM * TOWARDS_SIDE[side] for side in foramina}
    beside = {side: _move(sites, -offsets[side]) for side, sites in foramina.items()}
    ordered = {}
    for side, sites in foramina.items():
        others = [canal, *(moved for other, moved in beside.items() if other != side)]
        ordered[side] = order_together(sites, [_move(other, offsets[side]) for other in others])
    return order_together(canal, list(beside.values())), ordered


def _move(sites: Sequence[Site], offset: NDArray[np.float64]) -> list[Site]:
    return [replace(site, point=site.point + offset) for site in sites]


def _canal_x(canal: Points, height: float, otherwise: float) -> float:
    """The canal's patient x at a patient z, since a bent spine drifts sideways; `otherwise` where no canal is known."""
    known = canal[np.isfinite(canal[:, 0])][::-1]  # from foot to head, so that z grows
    return float(np.interp(height, known[:, 2], known[:, 0])) if len(known) else otherwise


def _look(
    detector: Detector, series: Sequence[Series], sureness: Callable[[Sequence[Candidate]], float]
) -> list[Candidate]:
    """What is seen on every slice at one of the config's scales: of several, the one at which some of the slices make
    sure of most."""
    slices = [(stack, image) for stack in series for image in stack.slices]
    scales = detector.config.scales
    if len(scales) == 1:
        return _look_at(detector, slices, scales[0])
    first = (len(slices) - 1) % TRIED // 2  # so that as much is left out at either end
    tried = slices[first::TRIED]
    others = [pair for number, pair in enumerate(slices) if number % TRIED != first]
    seen = {scale: _look_at(detector, tried, scale) for scale in scales}
    surest = max(scales, key=lambda scale: sureness(seen[scale]))
    return [*seen[surest], *_look_at(detector, others, surest)]


def _look_at(detector: Detector, slices: Sequence[tuple[Series, Slice]], scale: float) -> list[Candidate]:
    return detector.look([draw_canvas(stack, image, detector.config, scale) for stack, image in slices])


def _levels_of(group: str) -> dict[int, int]:
    return {
        index: LEVELS.index(landmark.level)
        for index, landmark in enumerate(LANDMARKS)
        if landmark.group == group and landmark.level
    }


def _stack_middle(series: Sequence[Series]) -> float:
    centres = [image.centre[0] for stack in series for image in stack.slices]
    return (min(centres) + max(centres)) / 2 if centres else 0.0


def _middle(sides: Sequence[Points]) -> Points:
    """Halfway between left and right; where one side is missing, as far from the other as a foramen usually is."""
    left, right = (points - FORAMEN_OFFSET_MM * TOWARDS_SIDE[side] for side, points in zip(SIDES, sides, strict=True))
    return np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))
