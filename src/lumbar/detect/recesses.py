"""The subarticular recesses: on the axial slice that shows a level, beside where its canal must be."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lumbar.data.points import Point
from lumbar.detect.anatomy import RECESS_OFFSET_MM, Points
from lumbar.detect.canvas import draw_canvas
from lumbar.detect.detector import Candidate, Detector
from lumbar.detect.landmarks import LANDMARKS
from lumbar.detect.placing import TOWARDS_SIDE, point_on_no_slice, point_on_slice
from lumbar.labels import LEVELS, SIDES, condition_of
from lumbar.mri.series import Series, Slice, nearest_slice

MARK_BESIDE_MM = 6.0
"""So far the mark of the canal may lie beside the middle between the recesses: sagittal slices are 4.5 mm apart, and in
two real studies the annotated one lies up to 6 mm off. Which side a recess is of, the pair on the axial slice tells."""
LEAST_PAIR_MM = 4.0
"""A level's recesses lie farther apart: in all 5,459 annotated pairs on one slice, at least 10 pixels."""


def locate_recesses(detector: Detector, series: Sequence[Series], anchors: Points) -> list[Point]:
    """The points of both sides at each level, whose canal lies at the `anchors`; `series` are axial, with positions."""
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
                located.append(point_on_no_slice(condition_of("subarticular", side), level, beside))
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
        return point_on_slice(stack, image, condition, level, box.point, box.confidence)
    stack, image = min(chosen, key=lambda pair: pair[1].distance(anchor))
    return point_on_slice(stack, image, condition, level, anchor + RECESS_OFFSET_MM * TOWARDS_SIDE[side], 0.0)
