"""A study's points: what the detector sees on its series, put in anatomical order.

The sagittal series come first. Their points, in patient space, say which axial slice shows which level.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.data.competition import Competition
from lumbar.data.points import NO_FOLD, NO_SLICE, Point
from lumbar.data.problems import Problem, Problems
from lumbar.data.studies import Study, collect_points, map_studies
from lumbar.detect.anatomy import (
    FORAMEN_OFFSET_MM,
    RECESS_OFFSET_MM,
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
from lumbar.labels import GROUPS, LEVELS, SIDES, condition_of
from lumbar.mri.geometry import DECIMALS
from lumbar.mri.series import Series, Slice, nearest_slice

TOWARDS_SIDE = {"left": np.array([1.0, 1.0, 1.0]), "right": np.array([-1.0, 1.0, 1.0])}
"""Turns an offset to the left into one to the side."""
MARK_BESIDE_MM = 6.0
"""So far the mark of the canal may lie beside the middle between the recesses: sagittal slices are 4.5 mm apart, and in
two real studies the annotated one lies up to 6 mm off. Which side a recess is of, the pair on the axial slice tells."""
LEAST_PAIR_MM = 4.0
"""A level's recesses lie farther apart: in all 5,459 annotated pairs on one slice, at least 10 pixels."""
NOWHERE: Points = np.full((len(LEVELS), 3), np.nan)
"""The points of levels that are not known."""
Found = tuple[Points, NDArray[np.float64]]
"""Points (5, 3) and their confidences (5,)."""
TRIED = 3
"""Every so many slices are looked at to choose a scale: a landmark is seen on several."""
UNKNOWN = 0
"""The study of a point before it is told."""


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
    is_shared = _are_placed(canal_series) and _are_placed(foramen_series)
    canal_sites = _find_canal(detector, canal_series)
    foramen_sites = _find_foramina(detector, foramen_series, order_levels(canal_sites)[0] if is_shared else NOWHERE)
    (canal, canal_confidence), foramina = _order(canal_sites, foramen_sites, is_shared)
    middle = _middle([points for points, _ in foramina.values()])
    canals = _first_known((canal, True), (middle, is_shared))
    located = _place("spinal", None, canal_series, canals, canal_confidence)
    for side, (points, confidence) in foramina.items():
        anchors = _first_known((canal, is_shared), (middle, True))
        filled = fill_beside(points, anchors, FORAMEN_OFFSET_MM * TOWARDS_SIDE[side])
        located += _place("foraminal", side, foramen_series, filled, confidence)
    anchors = _first_known((canal, _are_placed(canal_series)), (middle, _are_placed(foramen_series)))
    placed = [series for series in axial_series if series.is_placed]
    return located + _locate_axial(detector, placed, anchors)


def _usable(series: Sequence[Series], plane: str) -> Sequence[Series]:
    """The series that lie in their plane; of stacks without positions only one, and only where there is no other."""
    fitting = [stack for stack in series if stack.slices[0].anatomical_plane == plane]
    return [stack for stack in fitting if stack.is_placed] or fitting[:1]


def _are_placed(series: Sequence[Series]) -> bool:
    return all(stack.is_placed for stack in series)


def _first_known(*choices: tuple[Points, bool]) -> Points:
    """The first points, filled, that are found and may be used."""
    return next((fill_levels(points) for points, may in choices if may and np.isfinite(points).any()), NOWHERE)


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
) -> tuple[Found, dict[str, Found]]:
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


def _place(
    group: str, side: str | None, series: Sequence[Series], points: Points, confidence: NDArray[np.float64]
) -> list[Point]:
    """Puts points onto the nearest slice that shows them, or onto none."""
    located = []
    for level, point, sure in zip(LEVELS, points, confidence, strict=True):
        shown = nearest_slice(series, point)
        if shown:
            located.append(_point(*shown, condition_of(group, side), level, point, float(sure)))
        elif np.isfinite(point).all() and _are_placed(series):
            located.append(_point_on_no_slice(condition_of(group, side), level, point))
    return located


def _point_on_no_slice(condition: str, level: str, patient: NDArray[np.float64]) -> Point:
    return Point(
        study_id=UNKNOWN,
        condition=condition,
        level=level,
        patient=patient,
        series_id=NO_SLICE,
        instance_number=NO_SLICE,
        pixel=np.zeros(2),
        normal=np.zeros(3),
        confidence=0.0,
        source="interpolated",
    )


def _point(
    series: Series, image: Slice, condition: str, level: str, patient: NDArray[np.float64], confidence: float
) -> Point:
    """The point of a cell on the slice below a patient point (3,); the study and the fold come on top."""
    return Point(
        study_id=UNKNOWN,
        condition=condition,
        level=level,
        patient=patient,
        series_id=series.series_id,
        instance_number=image.instance_number,
        pixel=image.plane.to_pixels(patient),
        normal=image.plane.normal,
        confidence=confidence,
        source="detected" if confidence > 0 else "interpolated",
    )


def _locate_axial(detector: Detector, series: Sequence[Series], anchors: Points) -> list[Point]:
    located = []
    for level, anchor in zip(LEVELS, anchors, strict=True):
        chosen = _closest_slices(series, anchor, detector.config.axial_tolerance_mm)
        candidates = detector.look([draw_canvas(stack, image, detector.config) for stack, image in chosen])
        boxes = _pair_recesses(candidates, float(anchor[0]))
        for side in SIDES:
            if chosen:
                located.append(_recess(side, level, anchor, chosen, boxes.get(side)))
            elif np.isfinite(anchor).all():
                beside = anchor + RECESS_OFFSET_MM * TOWARDS_SIDE[side]
                located.append(_point_on_no_slice(condition_of("subarticular", side), level, beside))
    return located


def _closest_slices(
    series: Sequence[Series], anchor: NDArray[np.float64], tolerance: float
) -> list[tuple[Series, Slice]]:
    """The slice of each axial series that lies closest to a level, if it shows it within the tolerance."""
    shown = (nearest_slice([stack], anchor) for stack in series)
    return [pair for pair in shown if pair and pair[1].distance(anchor) <= tolerance]


def _pair_recesses(candidates: Sequence[Candidate], canal_x: float) -> dict[str, Candidate]:
    """The surest box of each side, of those that may lie there: the left one to the left of the right one."""
    of_side = {side: _recess_boxes(candidates, side, canal_x) for side in SIDES}
    pairs = [
        (left, right)
        for left, right in product(of_side["left"], of_side["right"])
        if left.point[0] - right.point[0] >= LEAST_PAIR_MM
    ]
    if pairs:
        best = max(pairs, key=lambda pair: pair[0].confidence + pair[1].confidence)
        return dict(zip(SIDES, best, strict=True))
    surest = max((box for boxes in of_side.values() for box in boxes), key=lambda box: box.confidence, default=None)
    return {} if surest is None else {side: surest for side, boxes in of_side.items() if surest in boxes}


def _recess_boxes(candidates: Sequence[Candidate], side: str, canal_x: float) -> list[Candidate]:
    """The boxes of a side's recess that lie on its side of the canal's mark, or not far over it."""
    landmark = next(index for index, known in enumerate(LANDMARKS) if known.side == side)
    towards = TOWARDS_SIDE[side][0]
    return [
        box for box in candidates if box.landmark == landmark and towards * (box.point[0] - canal_x) > -MARK_BESIDE_MM
    ]


def _recess(
    side: str,
    level: str,
    anchor: NDArray[np.float64],
    chosen: Sequence[tuple[Series, Slice]],
    box: Candidate | None,
) -> Point:
    """The side's box, or a typical place beside the canal."""
    condition = condition_of("subarticular", side)
    if box is not None:
        stack, image = next(pair for pair in chosen if pair[0].series_id == box.series_id)
        return _point(stack, image, condition, level, box.point, box.confidence)
    stack, image = min(chosen, key=lambda pair: pair[1].distance(anchor))
    return _point(stack, image, condition, level, anchor + RECESS_OFFSET_MM * TOWARDS_SIDE[side], 0.0)
