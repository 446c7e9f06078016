"""Pools: worked out by hand, and fitted to members of known weights, temperature and biases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbar.ensemble.members import look, places_between
from lumbar.ensemble.pool import fit_pool, pool_members, weigh_cases, weighted_loss
from lumbar.labels import CELLS, GRADE_WEIGHTS, LEVELS
from simulated import draw_by_weights

CELL_NAMES = list(CELLS)
LEVEL_OF_CELL = np.array([LEVELS.index(cell.level) for cell in CELLS.values()])


def draw_members(rng: np.random.Generator, members: int, cells: int) -> np.ndarray:
    """Log-probabilities (members, cells, 3) of members that see the same thing, each with its own noise."""
    seen = rng.normal(0, 1.5, (cells, 3))
    logits = seen + rng.normal(0, 0.7, (members, cells, 3))
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def test_a_pool_of_probabilities_is_their_weighted_mean():
    members = np.array([[[0.6, 0.3, 0.1]], [[0.2, 0.2, 0.6]]])
    pooled = np.exp(pool_members(members, np.array([0.75, 0.25]), exponent=1))
    np.testing.assert_allclose(pooled, [[0.5, 0.275, 0.225]], rtol=1e-12)


def test_a_pool_of_logarithms_is_their_geometric_mean_scaled_to_sum_to_one():
    members = np.array([[[0.64, 0.32, 0.04]], [[0.04, 0.32, 0.64]]])
    # Square roots of the products: .16, .32, .16, which sum to .64.
    pooled = np.exp(pool_members(members, np.array([0.5, 0.5]), exponent=0))
    np.testing.assert_allclose(pooled, [[0.25, 0.5, 0.25]], rtol=1e-12)


def test_a_cell_is_pooled_over_the_members_that_predict_it():
    nothing = [np.nan] * 3
    members = np.array([[[0.6, 0.3, 0.1], nothing, nothing], [[0.2, 0.2, 0.6], [0.2, 0.2, 0.6], nothing]])
    pooled = np.exp(pool_members(members, np.array([1.0, 0.0]), exponent=1))
    np.testing.assert_allclose(pooled[0], [0.6, 0.3, 0.1], atol=2e-4)
    np.testing.assert_allclose(pooled[1], [0.2, 0.2, 0.6], rtol=1e-12)
    assert np.isnan(pooled[2]).all()


def test_a_grade_that_a_member_rules_out_stays_possible():
    certain = np.array([[[1.0, 0.0, 0.0]]])
    for exponent in (0, 0.5, 1):
        assert np.exp(pool_members(certain, np.ones(1), exponent)).min() == pytest.approx(1e-5, rel=0.01)


@pytest.mark.parametrize("exponent", [0, 1])
def test_the_weights_that_made_the_labels_are_recovered(exponent):
    rng = np.random.default_rng(1)
    said, weights = draw_members(rng, 3, 60_000), np.array([0.6, 0.3, 0.1])
    grades = draw_by_weights(rng, pool_members(np.exp(said), weights, exponent))
    fit = fit_pool(np.exp(said), rng.integers(5, size=60_000), grades, exponent)
    np.testing.assert_allclose(fit.weights, weights, atol=0.03)
    assert fit.temperature == pytest.approx(1, abs=0.03)
    assert np.abs(fit.bias).max() < 0.05


@pytest.mark.parametrize("temperature", [0.6, 1.7])
def test_the_temperature_of_members_that_are_too_sure_or_not_sure_enough_is_recovered(temperature):
    rng = np.random.default_rng(2)
    said = draw_members(rng, 2, 40_000)
    grades = draw_by_weights(rng, said.mean(axis=0) / temperature)
    fit = fit_pool(np.exp(said), rng.integers(5, size=40_000), grades, exponent=0)
    assert fit.temperature == pytest.approx(temperature, rel=0.03)


def test_a_bias_of_one_level_is_recovered_at_that_level():
    rng = np.random.default_rng(3)
    said, levels = draw_members(rng, 1, 60_000), rng.integers(5, size=60_000)
    bias = np.where(levels[:, None] == 3, [-0.5, 0.0, 0.5], 0.0)
    fit = fit_pool(np.exp(said), levels, draw_by_weights(rng, said[0] + bias), exponent=0)
    assert fit.bias[3, 2] - fit.bias[3, 0] == pytest.approx(1, abs=0.12)
    assert np.abs(fit.bias[[0, 1, 2, 4], 2] - fit.bias[[0, 1, 2, 4], 0]).max() < 0.12


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
def test_a_useless_member_gets_no_weight(exponent):
    rng = np.random.default_rng(4)
    said = draw_members(rng, 2, 15_000)
    grades = draw_by_weights(rng, said.mean(axis=0))
    useless = draw_members(np.random.default_rng(5), 1, 15_000)  # of other cells
    fit = fit_pool(np.exp(np.concatenate([said, useless])), rng.integers(5, size=15_000), grades, exponent)
    assert fit.weights[2] < 0.02
    assert fit.weights[:2].min() > 0.4


def test_with_few_cells_the_weights_stay_nearly_equal():
    rng = np.random.default_rng(6)
    said = draw_members(rng, 2, 40)
    grades = draw_by_weights(rng, said[0])
    fit = fit_pool(np.exp(said), rng.integers(5, size=40), grades, exponent=0)
    np.testing.assert_allclose(fit.weights, 0.5, atol=0.1)


@given(st.integers(0, 1000))
def test_the_gradient_of_the_weighted_loss_is_that_of_its_differences(seed):
    rng = np.random.default_rng(seed)
    logits, cases = rng.normal(size=(3, 4)), weigh_cases(rng.integers(3, size=4))
    nudge = rng.normal(size=(3, 4)) * 1e-6
    loss, gradient = weighted_loss(logits, cases)
    assert weighted_loss(logits + nudge, cases)[0] - loss == pytest.approx((gradient * nudge).sum(), abs=1e-9)


def test_a_case_costs_its_grades_weight():
    even = np.zeros((3, 3))
    loss, _ = weighted_loss(even, weigh_cases(np.array([0, 1, 2])))
    assert loss == pytest.approx(sum(GRADE_WEIGHTS) * np.log(3))


def cell_of(condition: str, level: str) -> int:
    return CELL_NAMES.index(f"{condition}_{level}")


def test_a_cell_looks_at_its_neighbours_and_at_the_other_side():
    values = np.arange(25.0)[None]
    at_left_l2_l3 = (0, 0, 1)
    left, right = "left_subarticular_stenosis", "right_subarticular_stenosis"
    seen = {place: look(values, "subarticular", "subarticular", place) for place in ("above", "below", "other_side")}
    assert seen["above"][at_left_l2_l3] == cell_of(left, "l1_l2")
    assert seen["below"][at_left_l2_l3] == cell_of(left, "l3_l4")
    assert seen["other_side"][at_left_l2_l3] == cell_of(right, "l2_l3")
    assert seen["above"][0, 1, 0] == cell_of(right, "l1_l2"), "nothing lies above the first level but itself"


def test_a_canal_looks_at_the_larger_and_the_smaller_of_two_sides():
    values = np.full((1, 25), np.nan)
    values[0, cell_of("left_subarticular_stenosis", "l4_l5")] = 0.2
    values[0, cell_of("right_subarticular_stenosis", "l4_l5")] = 0.7
    values[0, cell_of("right_subarticular_stenosis", "l5_s1")] = 0.4
    larger, smaller = (look(values, "spinal", "subarticular", place)[0, 0] for place in ("larger_side", "smaller_side"))
    np.testing.assert_array_equal(larger[3:], [0.7, 0.4])
    np.testing.assert_array_equal(smaller[3:], [0.2, 0.4])
    assert np.isnan(larger[:3]).all()


def test_mirroring_a_study_mirrors_what_is_seen_of_it():
    values = np.random.default_rng(0).random((2, 25))
    mirror = [
        CELL_NAMES.index(name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right"))
        for name in CELL_NAMES
    ]
    for target, source in (("foraminal", "subarticular"), ("subarticular", "subarticular"), ("foraminal", "spinal")):
        for place in places_between(target, source):
            seen, mirrored = (look(table, target, source, place) for table in (values, values[:, mirror]))
            np.testing.assert_array_equal(mirrored, seen[:, ::-1])
