"""Detection: the classes, and the order of the levels."""

import numpy as np
import pytest

from lumbar.detect.anatomy import fill_beside, fill_levels, gather_sites, order_levels
from lumbar.detect.detector import Candidate
from lumbar.detect.landmarks import CLASS_NAMES, class_of
from lumbar.labels import CELLS, LEVELS

SPINE = np.array([[0.0, 3 * level, 70.0 - 35 * level] for level in range(5)])
"""A canal's point at each level."""
CANAL = {index: index for index in range(5)}


def candidate(landmark: int, point, confidence: float, instance: int = 1) -> Candidate:
    """A box of one class."""
    return Candidate(landmark, confidence, np.asarray(point, dtype=np.float64), 1, instance)


def test_the_classes_are_ten_levels_and_two_sides():
    assert CLASS_NAMES[:5] == tuple(f"canal_{level}" for level in LEVELS)
    assert CLASS_NAMES[5:10] == tuple(f"foramen_{level}" for level in LEVELS)
    assert CLASS_NAMES[10:] == ("subarticular_left", "subarticular_right")


def test_every_cell_has_the_class_of_its_landmark():
    named = {cell.column: CLASS_NAMES[class_of(cell.condition, cell.level)] for cell in CELLS.values()}
    assert named["spinal_canal_stenosis_l3_l4"] == "canal_l3_l4"
    assert named["left_neural_foraminal_narrowing_l1_l2"] == "foramen_l1_l2"
    assert named["right_neural_foraminal_narrowing_l1_l2"] == "foramen_l1_l2"
    assert named["left_subarticular_stenosis_l5_s1"] == "subarticular_left"
    assert named["right_subarticular_stenosis_l5_s1"] == "subarticular_right"
    assert set(named.values()) == set(CLASS_NAMES)


def test_candidates_of_neighbouring_slices_gather_in_the_middle_of_them():
    seen = [candidate(2, [x, 10, 20 + x / 4], confidence) for x, confidence in ((-4, 0.5), (0, 0.9), (4, 0.5))]
    (site,) = gather_sites(seen, CANAL)
    np.testing.assert_allclose(site.point, [0, 10, 20])
    np.testing.assert_allclose(site.confidences, [0, 0, 0.9, 0, 0])


def test_candidates_of_other_landmarks_and_places_stay_apart():
    seen = [candidate(0, [0, 0, 0], 0.9), candidate(1, [0, 0, -30], 0.8), candidate(7, [0, 0, 0], 0.9)]
    assert [np.flatnonzero(site.confidences).tolist() for site in gather_sites(seen, CANAL)] == [[0], [1]]


def test_a_spine_seen_clearly_is_ordered_as_it_is():
    seen = [candidate(level, SPINE[level], 0.5 + level / 10) for level in (3, 0, 4, 2, 1)]
    points, confidences = order_levels(gather_sites(seen, CANAL))
    np.testing.assert_allclose(points, SPINE)
    np.testing.assert_allclose(confidences, [0.5, 0.6, 0.7, 0.8, 0.9])


def test_a_level_that_two_places_claim_goes_where_the_order_puts_it():
    # The disc at L3/L4 looks a little more like L4/L5; its neighbours know better.
    seen = [candidate(level, SPINE[level], 0.8) for level in (0, 1, 2, 4)]
    seen += [candidate(4, SPINE[3], 0.85), candidate(3, SPINE[3], 0.4)]
    points, confidences = order_levels(gather_sites(seen, CANAL))
    np.testing.assert_allclose(points, SPINE)
    assert confidences[3] == pytest.approx(0.4)


def test_a_level_below_its_lower_neighbour_is_not_believed():
    seen = [candidate(level, SPINE[level], 0.9) for level in (1, 2, 3)]
    seen.append(candidate(0, SPINE[4], 0.95))
    points, _ = order_levels(gather_sites(seen, CANAL))
    assert np.isnan(points[0]).all()
    np.testing.assert_allclose(points[1:4], SPINE[1:4])


@pytest.mark.parametrize("gap", [8.0, 90.0])
def test_neighbouring_levels_lie_a_vertebra_apart(gap):
    seen = [candidate(1, [0, 0, 0], 0.9), candidate(2, [0, 12, -gap], 0.5)]
    points, _ = order_levels(gather_sites(seen, CANAL))
    assert np.isfinite(points[1]).all()
    assert np.isnan(points[2]).all()


@pytest.mark.parametrize(("lean", "is_believed"), [(-35, True), (35, True), (70, False), (-80, False)])
def test_the_next_level_lies_below_and_not_beside(lean, is_believed):
    step = 35 * np.array([0, np.sin(np.deg2rad(lean)), -np.cos(np.deg2rad(lean))])
    points, _ = order_levels(gather_sites([candidate(3, [0, 0, 0], 0.9), candidate(4, step, 0.5)], CANAL))
    assert np.isfinite(points[3]).all()
    assert np.isfinite(points[4]).all() == is_believed


def test_where_nothing_is_seen_there_is_no_point():
    points, confidences = order_levels([])
    assert np.isnan(points).all()
    assert not confidences.any()
    assert np.isnan(fill_levels(points)).all()


@pytest.mark.parametrize("missing", [[2], [0], [4], [0, 1], [3, 4], [0, 2, 4], [1, 2, 3]])
def test_missing_levels_of_a_straight_spine_are_filled_where_they_were(missing):
    seen = SPINE.copy()
    seen[missing] = np.nan
    np.testing.assert_allclose(fill_levels(seen), SPINE)


def test_from_one_level_the_others_follow_at_the_usual_distance():
    seen = np.full((5, 3), np.nan)
    seen[2] = [1, 2, 3]
    np.testing.assert_allclose(fill_levels(seen)[:, 2], [73, 38, 3, -32, -67])


def test_beside_the_canal_the_others_follow_those_that_were_found():
    offset = np.array([16.0, -3, 5])
    seen = SPINE + offset
    seen[[0, 3]] = np.nan
    np.testing.assert_allclose(fill_beside(seen, SPINE, np.zeros(3)), SPINE + offset)
    nothing = np.full((5, 3), np.nan)
    np.testing.assert_allclose(fill_beside(nothing, SPINE, offset), SPINE + offset)
