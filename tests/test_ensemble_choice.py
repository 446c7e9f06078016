"""What is fitted and chosen inside the folds: nothing of a fold reaches its own rows, and few studies get the mean."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbar.ensemble.apply import apply_ensemble, predict
from lumbar.ensemble.checks import check_folds
from lumbar.ensemble.fit import fit_ensemble
from lumbar.ensemble.members import Members, gather_truth, score_cells
from lumbar.ensemble.methods import MEAN, METHODS, fit_method, members_by_group, shrink
from lumbar.ensemble.nested import STRENGTHS, choose_method, fit_nested, split_folds, weigh_evidence
from lumbar.errors import InputError
from lumbar.labels import GRADES
from lumbar.metric import score_losses
from simulated import Maker, Simulation, label_table, simulate

MIXED = {"a": Maker(0.5), "b": Maker(0.9, temperature=0.6), "useless": Maker(np.inf)}
CANAL = {"a": Maker(0.5, temperature=1.5, group="spinal"), "useless": Maker(np.inf, group="spinal")}
"""Plainly better than their mean, and quick."""


@pytest.fixture(scope="module")
def large() -> Simulation:
    """Enough studies for the stacker to be sure of itself."""
    return simulate(MIXED, studies=240, folds=4, seed=1)


@pytest.fixture(scope="module")
def fitted(large):
    return fit_ensemble(large.tables, large.labels, large.folds)


@pytest.fixture(scope="module")
def canal() -> Simulation:
    return simulate(CANAL, studies=180, folds=3, seed=1)


def score(simulation: Simulation, probabilities: np.ndarray) -> float:
    return score_losses(score_cells(simulation.truth, probabilities)).score


def plain_mean(simulation: Simulation) -> np.ndarray:
    groups = members_by_group(simulation.members)
    return predict(fit_method(MEAN, simulation.members, simulation.truth.grades, groups), simulation.members)


def test_the_plain_mean_is_the_mean_of_the_members_that_predict_a_cell(large):
    probabilities = large.members.probabilities.copy()
    probabilities[0, 0, 0] = np.nan
    members = Members(large.members.names, large.members.study_ids, probabilities)
    groups = members_by_group(members)
    mean = predict(fit_method(MEAN, members, large.truth.grades, groups), members)
    np.testing.assert_allclose(mean, np.nanmean(probabilities, axis=0), atol=1e-4)


def test_with_many_studies_the_stacker_is_chosen_and_beats_the_mean(large, fitted):
    assert fitted.model.method == "stacker"
    scores = {name: row["score"] for name, row in fitted.report["scores"].items()}
    assert scores["ensemble"] < scores["mean"] - 0.02
    nested = fit_nested(large.members, large.truth)
    assert scores["ensemble"] == pytest.approx(score(large, nested.chosen))


def test_a_better_member_weighs_more_and_a_useless_one_least(fitted):
    for part in fitted.model.groups.values():
        assert part.weights["a"] > part.weights["b"] > part.weights["useless"]
        assert part.weights["useless"] < 0.2
        assert sum(part.weights.values()) == pytest.approx(1)


def test_a_folds_own_labels_change_nothing_of_its_rows(canal):
    grades = canal.truth.grades.copy()
    own = canal.truth.folds == 2
    grades[own] = 2 - grades[own]
    other = gather_truth(label_table(grades, canal.members.study_ids), canal.folds, canal.members.study_ids)
    before, after = fit_nested(canal.members, canal.truth), fit_nested(canal.members, other)
    assert before.by_fold[2].choice.strength > 0
    np.testing.assert_array_equal(after.chosen[own], before.chosen[own])
    assert (after.chosen[~own] != before.chosen[~own]).any()


def test_the_order_of_members_rows_labels_and_folds_changes_nothing(canal):
    first = fit_ensemble(canal.tables, canal.labels, canal.folds)
    tables = {name: table.sample(frac=1, random_state=7) for name, table in reversed(canal.tables.items())}
    labels, folds = (table.sample(frac=1, random_state=8) for table in (canal.labels, canal.folds))
    again = fit_ensemble(tables, labels, folds)
    assert first.model.strength > 0
    assert again.model == first.model
    pd.testing.assert_frame_equal(again.out_of_fold, first.out_of_fold, check_exact=True)
    assert again.report == first.report


def test_the_final_model_applied_to_new_studies_beats_the_mean_there(fitted):
    new = simulate(MIXED, studies=200, folds=2, seed=9)
    applied = apply_ensemble(fitted.model, new.tables)
    values = applied[list(GRADES)].to_numpy().reshape(200, 25, 3)
    assert score(new, values) < score(new, plain_mean(new)) - 0.02


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_with_two_dozen_studies_the_ensemble_is_the_plain_mean(folds):
    simulation = simulate(MIXED, studies=24, folds=folds, seed=folds)
    nested = fit_nested(simulation.members, simulation.truth)
    assert nested.final.choice.method == "mean"
    np.testing.assert_allclose(nested.chosen, plain_mean(simulation), rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("studies", [24, 60, 120, 180])
def test_the_ensemble_never_scores_a_thousandth_worse_than_the_mean(noise, studies):
    simulation = simulate({"only": Maker(noise, group="spinal")}, studies, folds=3, seed=studies)
    nested = fit_nested(simulation.members, simulation.truth)
    assert score(simulation, nested.chosen) < score(simulation, nested.by_method["mean"]) + 0.001


def test_the_way_from_the_mean_to_a_method_begins_and_ends_at_them(large):
    groups = members_by_group(large.members)
    fitted, plain = (
        fit_method(METHODS[name], large.members, large.truth.grades, groups) for name in ("stacker", "mean")
    )
    np.testing.assert_allclose(
        predict(shrink(fitted, 0.0), large.members), predict(plain, large.members), rtol=0, atol=1e-12
    )
    assert shrink(fitted, 1.0)["spinal"].temperature == pytest.approx(fitted["spinal"].temperature)
    np.testing.assert_allclose(
        predict(shrink(fitted, 1.0), large.members), predict(fitted, large.members), rtol=0, atol=1e-12
    )


def way_towards(simulation: Simulation, far: float) -> dict[float, np.ndarray]:
    """From the plain mean towards the truth, but for one cell in ten away from it, so far in the logarithms."""
    mean, grades = plain_mean(simulation), np.maximum(simulation.truth.grades, 0)
    sign = np.where(np.random.default_rng(0).random(grades.shape) < 0.1, -1.0, 1.0)
    step = far * sign[..., None] * np.eye(3)[grades]
    values = {strength: mean * np.exp(strength * step) for strength in (0.0, *STRENGTHS)}
    return {strength: value / value.sum(axis=-1, keepdims=True) for strength, value in values.items()}


@pytest.mark.parametrize(("far", "lowest"), [(1.0, 1.0), (8.0, 0.5)])
def test_a_way_is_followed_to_its_lowest_point_and_no_farther(canal, far, lowest):
    way = way_towards(canal, far)
    scores = {strength: score(canal, values) for strength, values in way.items()}
    assert min(scores, key=lambda strength: scores[strength]) == lowest
    choice = choose_method(canal.truth, {"mean": {1.0: way.pop(0.0)}, "stacker": way})
    assert choice.method == "stacker"
    assert 0.8 * lowest < choice.strength < lowest


def test_a_way_that_leads_upwards_is_not_followed(canal):
    way = way_towards(canal, -1.0)
    choice = choose_method(canal.truth, {"mean": {1.0: way.pop(0.0)}, "stacker": way})
    assert (choice.method, choice.strength) == ("mean", 0.0)


@given(st.floats(-5, 30), st.integers(1, 3000))
def test_more_evidence_gives_more_strength_and_few_studies_give_less(deviations, studies):
    strength = weigh_evidence(deviations, studies)
    assert 0 <= strength < 1
    assert weigh_evidence(deviations + 1, studies) >= strength
    assert weigh_evidence(deviations, studies + 100) >= strength


def test_three_standard_errors_are_much_for_five_hundred_studies_and_nothing_for_fifty():
    assert weigh_evidence(3, 500) == pytest.approx(1 - (1.04 / 3) ** 2)
    assert weigh_evidence(3, 50) == 0


def test_twins_are_no_reason_to_leave_the_mean():
    twin = simulate({"a": Maker(0.6)}, studies=150, folds=3, seed=4).tables["a"]
    simulation = simulate({"a": Maker(0.6)}, studies=150, folds=3, seed=4)
    ensemble = fit_ensemble({"a": twin, "b": twin}, simulation.labels, simulation.folds)
    weights = ensemble.model.groups["spinal"].weights
    assert weights["a"] == pytest.approx(weights["b"], abs=1e-6)


def test_a_member_that_knows_one_folds_labels_is_exposed():
    honest = simulate({"a": Maker(0.6), "b": Maker(0.9), "c": Maker(0.8)}, studies=200, folds=5, seed=3)
    assert not any(check.is_suspicious for check in check_folds(honest.members, honest.truth))
    probabilities, own = honest.members.probabilities.copy(), honest.truth.folds == 1
    probabilities[2, own] = 0.9 * np.eye(3)[honest.truth.grades[own]] + 0.1 / 3
    leaking = Members(honest.members.names, honest.members.study_ids, probabilities)
    accused = [check for check in check_folds(leaking, honest.truth) if check.is_suspicious]
    assert {(check.member, check.fold) for check in accused} == {("c", 1)}
    assert {check.group for check in accused} == {"spinal", "foraminal", "subarticular"}
    assert "does it know that fold's labels?" in str(accused[0])


def test_a_member_whose_model_of_one_fold_is_broken_is_exposed():
    honest = simulate({"a": Maker(0.6), "b": Maker(0.7)}, studies=200, folds=4, seed=5)
    probabilities, own = honest.members.probabilities.copy(), honest.truth.folds == 0
    probabilities[0, own] = probabilities[0, own][:, :, ::-1]
    broken = Members(honest.members.names, honest.members.study_ids, probabilities)
    accused = [check for check in check_folds(broken, honest.truth) if check.is_suspicious]
    assert {(check.member, check.fold) for check in accused} == {("a", 0)}
    assert "is its model of that fold broken?" in str(accused[0])


def test_the_leak_is_said_in_the_report():
    simulation = simulate({"a": Maker(0.6), "b": Maker(0.7)}, studies=80, folds=4, seed=6)
    tables, folds = simulation.tables, simulation.truth.folds
    own = np.repeat(folds == 3, 25)
    tables["a"].loc[own, list(GRADES)] = 0.98 * np.eye(3)[simulation.truth.grades[folds == 3]].reshape(-1, 3) + 0.02 / 3
    report = fit_ensemble(tables, simulation.labels, simulation.folds).report
    assert any(line.startswith("member 'a'") and "in fold 3" in line for line in report["suspicious"])


def test_leaving_a_member_out_costs_what_it_is_worth(fitted):
    cost = {row["member"]: row["difference"] for row in fitted.report["without_member"]}
    assert cost["a"] > 0.02
    assert cost["a"] > cost["b"] > cost["useless"]
    assert cost["useless"] < 0.002


def test_the_report_compares_every_two_ensembles_and_says_which_differ(fitted):
    rows = {(row["of"], row["from"]): row for row in fitted.report["differences"]}
    assert len(rows) == 10, "every pair of the four methods and the ensemble"
    assert not rows["stacker", "mean"]["is_none"]
    for row in rows.values():
        low, high = row["ci95"]
        assert low <= row["difference"] <= high
        assert row["is_none"] == (low <= 0 <= high)


def test_folds_that_are_few_are_split_for_the_choice_inside_them():
    folds = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    parts = split_folds(folds)
    assert len(np.unique(parts[folds == 0])) == 3
    assert not set(parts[folds == 0]) & set(parts[folds == 1])
    np.testing.assert_array_equal(split_folds(np.arange(8) % 4), np.arange(8) % 4)


def test_labels_that_are_missing_are_done_without():
    simulation = simulate({"a": Maker(0.6), "b": Maker(0.7)}, studies=40, folds=2, seed=7)
    few = simulation.labels[simulation.labels["group"] == "foraminal"]
    assert fit_ensemble(simulation.tables, few, simulation.folds).report["scores"]["ensemble"]["partial"]
    with pytest.raises(InputError, match="none of the studies that have a fold has any"):
        fit_ensemble(simulation.tables, simulation.labels.iloc[:0], simulation.folds)


def test_an_ensemble_without_a_member_or_with_a_single_fold_is_refused(large):
    with pytest.raises(InputError, match="at least one member"):
        fit_ensemble({}, large.labels, large.folds)
    with pytest.raises(InputError, match="at least two folds"):
        fit_ensemble(large.tables, large.labels, large.folds.assign(fold=0))
