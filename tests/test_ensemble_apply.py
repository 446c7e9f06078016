"""Applying an ensemble: by hand, cell by cell, and a study's rows from that study alone."""

import json

import numpy as np
import pandas as pd
import pytest

from lumbar.data.competition import split_row_ids
from lumbar.ensemble.any_severe import fit_lift, lift_largest
from lumbar.ensemble.apply import apply_ensemble
from lumbar.ensemble.fit import fit_ensemble
from lumbar.ensemble.methods import METHODS, fit_method, members_by_group
from lumbar.ensemble.model import EnsembleModel, EnsembleModelError, read_model
from lumbar.labels import CELLS, GRADES, GROUPS, LEVELS
from lumbar.records import write_record
from simulated import Maker, Simulation, simulate

CANALS = [f"spinal_canal_stenosis_{level}" for level in LEVELS]


def stacked(simulation: Simulation) -> EnsembleModel:
    """The stacker, fitted to a simulation's studies whatever cross-validation would choose."""
    groups = members_by_group(simulation.members)
    parts = fit_method(METHODS["stacker"], simulation.members, simulation.truth.grades, groups)
    return EnsembleModel(
        version=1,
        grades=GRADES,
        method="stacker",
        strength=1,
        any_severe_lift=1.2,
        groups=parts,
        trained={"studies": len(simulation.members.study_ids), "folds": (0, 1), "commit": "unknown"},
    )


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    """Two members of all groups, one of the canal alone."""
    makers = {"a": Maker(0.5), "b": Maker(0.9, temperature=0.7), "c": Maker(0.7, group="spinal")}
    return simulate(makers, studies=60, folds=3, seed=1)


@pytest.fixture(scope="module")
def model(simulation) -> EnsembleModel:
    return stacked(simulation)


def by_hand(**changes: object) -> EnsembleModel:
    """An ensemble of one member that changes nothing but what is said."""
    part = {
        "exponent": 1,
        "weights": {"a": 1.0},
        "temperature": 1,
        "bias": dict.fromkeys(LEVELS, (0.0, 0.0, 0.0)),
        "terms": (),
    }
    lift = changes.pop("any_severe_lift", 1.0)
    return EnsembleModel(
        version=1,
        grades=GRADES,
        method="mean",
        strength=0,
        any_severe_lift=lift,
        groups={"spinal": {**part, **changes}},
        trained={"studies": 0, "folds": (), "commit": "unknown"},
    )


def canal_table(*rows: tuple[float, float, float]) -> pd.DataFrame:
    """A study's canals from the head down."""
    table = pd.DataFrame(rows, columns=list(GRADES))
    return table.assign(row_id=[f"3_{canal}" for canal in CANALS[: len(rows)]])[["row_id", *GRADES]]


def test_temperature_and_bias_are_those_of_the_formula():
    model = by_hand(temperature=0.5, bias={**dict.fromkeys(LEVELS, (0, 0, 0)), "l2_l3": (0, 0, np.log(2))})
    table = apply_ensemble(model, {"a": canal_table((0.6, 0.2, 0.2), (0.6, 0.2, 0.2))})
    # Squares .36, .04, .04; then the last one doubled.
    expected = np.array([[0.36, 0.04, 0.04], [0.36, 0.04, 0.08]])
    np.testing.assert_allclose(table[list(GRADES)], expected / expected.sum(axis=1, keepdims=True), rtol=1e-12)


def test_a_term_adds_its_coefficients_times_what_it_sees():
    source = {"member": "pool", "group": "spinal", "place": "below", "measure": "expected_grade"}
    term = {"source": source, "centre": 0.5, "coefficients": (-1.0, 0.0, 1.0)}
    table = apply_ensemble(by_hand(terms=(term,)), {"a": canal_table((0.5, 0.3, 0.2), (0.2, 0.5, 0.3))})
    # Below the first level the expected grade is .5 + 2 x .3 = 1.1; the cell below the second is missing: no change.
    expected = np.array([0.5 * np.exp(-0.6), 0.3, 0.2 * np.exp(0.6)])
    np.testing.assert_allclose(table[list(GRADES)].iloc[0], expected / expected.sum(), rtol=1e-12)
    np.testing.assert_allclose(table[list(GRADES)].iloc[1], [0.2, 0.5, 0.3], rtol=1e-12)


def test_the_lift_multiplies_the_odds_of_the_largest_severe_alone():
    table = apply_ensemble(by_hand(any_severe_lift=2.0), {"a": canal_table((0.5, 0.3, 0.2), (0.2, 0.3, 0.5))})
    np.testing.assert_allclose(table[list(GRADES)].iloc[0], [0.5, 0.3, 0.2], rtol=1e-12)
    np.testing.assert_allclose(table[list(GRADES)].iloc[1], np.array([0.2, 0.3, 1.0]) / 1.5, rtol=1e-12)


def test_every_row_sums_to_one_and_they_stand_in_the_order_of_the_cells(model, simulation):
    table = apply_ensemble(model, simulation.tables)
    np.testing.assert_allclose(table[list(GRADES)].sum(axis=1), 1, rtol=0, atol=1e-12)
    assert table["row_id"].tolist() == [f"{study}_{cell}" for study in range(1, 61) for cell in CELLS]


def test_a_study_alone_gets_the_rows_that_it_gets_among_others_to_the_byte(model, simulation):
    together = apply_ensemble(model, simulation.tables)
    studies = split_row_ids(together["row_id"])["study_id"]
    for study in (1, 17, 60):
        own = {name: table[table["row_id"].str.startswith(f"{study}_")] for name, table in simulation.tables.items()}
        alone = apply_ensemble(model, own)
        assert alone.to_csv(index=False) == together[studies == study].to_csv(index=False)


def test_another_studys_predictions_change_nothing(model, simulation):
    tables = simulation.tables
    changed = {name: table.copy() for name, table in tables.items()}
    for table in changed.values():
        table.loc[table["row_id"].str.startswith("2_"), list(GRADES)] = [0.1, 0.1, 0.8]
    before, after = apply_ensemble(model, tables), apply_ensemble(model, changed)
    others = ~before["row_id"].str.startswith("2_")
    assert (before[~others] != after[~others]).any(axis=None)
    pd.testing.assert_frame_equal(before[others], after[others], check_exact=True)


def test_the_order_of_members_and_of_rows_changes_nothing(model, simulation):
    shuffled = {name: table.sample(frac=1, random_state=5) for name, table in reversed(simulation.tables.items())}
    pd.testing.assert_frame_equal(
        apply_ensemble(model, shuffled), apply_ensemble(model, simulation.tables), check_exact=True
    )


def test_a_missing_member_is_done_without_and_all_its_cells_are_still_predicted(model, simulation):
    tables = simulation.tables
    without = apply_ensemble(model, {"b": tables["b"], "c": tables["c"]})
    assert len(without) == 60 * 25
    assert np.isfinite(without[list(GRADES)].to_numpy()).all()


def test_cells_that_no_member_predicts_stay_missing_and_cost_the_others_nothing(model, simulation):
    lost = {f"5_{canal}" for canal in CANALS[:2]}
    tables = {name: table[~table["row_id"].isin(lost)] for name, table in simulation.tables.items()}
    table = apply_ensemble(model, tables)
    assert set(apply_ensemble(model, simulation.tables)["row_id"]) - set(table["row_id"]) == lost


def test_a_member_that_the_ensemble_does_not_know_is_left_out(model, simulation, caplog):
    table = apply_ensemble(model, {**simulation.tables, "stranger": simulation.tables["a"]})
    pd.testing.assert_frame_equal(table, apply_ensemble(model, simulation.tables), check_exact=True)
    assert "stranger" in caplog.text


def test_no_member_at_all_gives_no_rows(model):
    assert apply_ensemble(model, {}).empty


def test_a_model_read_back_predicts_the_same_bytes(model, simulation, tmp_path):
    write_record(model, tmp_path / "ensemble.json")
    again = read_model(tmp_path / "ensemble.json")
    assert again == model
    first, second = (apply_ensemble(one, simulation.tables).to_csv(index=False) for one in (model, again))
    assert first == second


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, "version: Input should be 1"),
        ("grades", ["severe", "moderate", "normal_mild"], "grades: Value error, expected the order normal_mild"),
        ("surprise", 1, "surprise: Extra inputs are not permitted"),
        ("any_severe_lift", 0, "any_severe_lift: Input should be greater than 0"),
        ("any_severe_lift", "Infinity", "any_severe_lift: Input should be a finite number"),
    ],
)
def test_a_model_of_another_form_is_refused_with_its_file_and_key(model, tmp_path, key, value, message):
    path = tmp_path / "ensemble.json"
    path.write_text(json.dumps({**json.loads(model.model_dump_json()), key: value}))
    with pytest.raises(EnsembleModelError) as refused:
        read_model(path)
    assert str(refused.value).startswith(f"{path}: {message}")


def test_a_model_with_another_order_of_levels_is_refused(model, tmp_path):
    content = json.loads(model.model_dump_json())
    bias = content["groups"]["spinal"]["bias"]
    content["groups"]["spinal"]["bias"] = dict(reversed(bias.items()))
    (tmp_path / "ensemble.json").write_text(json.dumps(content))
    with pytest.raises(EnsembleModelError, match=r"groups\.spinal\.bias: Value error, expected the levels l1_l2"):
        read_model(tmp_path / "ensemble.json")


def test_a_model_whose_parts_do_not_fit_together_is_refused(model, tmp_path):
    content = json.loads(model.model_dump_json())
    content["groups"]["spinal"]["weights"]["a"] += 0.1
    (tmp_path / "ensemble.json").write_text(json.dumps(content))
    with pytest.raises(EnsembleModelError, match="expected the weights of spinal to sum to 1"):
        read_model(tmp_path / "ensemble.json")
    content = json.loads(model.model_dump_json())
    del content["groups"]["foraminal"]
    (tmp_path / "ensemble.json").write_text(json.dumps(content))
    with pytest.raises(EnsembleModelError, match="looks at pool of foraminal: it is not there"):
        read_model(tmp_path / "ensemble.json")


def test_a_file_that_is_not_there_or_no_json_is_refused(tmp_path):
    with pytest.raises(EnsembleModelError, match="there is no such ensemble"):
        read_model(tmp_path / "ensemble.json")
    (tmp_path / "ensemble.json").write_text("{")
    with pytest.raises(EnsembleModelError, match=r"ensemble\.json: Invalid JSON"):
        read_model(tmp_path / "ensemble.json")


def test_a_model_is_small(model):
    assert len(model.model_dump_json(indent=1)) < 40_000


def test_the_lift_makes_the_largest_severe_right_on_average():
    rng = np.random.default_rng(0)
    canals = np.tile([[0.7, 0.2, 0.1]], (400, 5, 1))
    canals[:, 3] = [0.5, 0.2, 0.3]
    probabilities = np.full((400, 25, 3), np.nan)
    probabilities[:, [list(CELLS).index(canal) for canal in CANALS]] = canals
    severe = np.zeros((400, 25), dtype=int)
    severe[rng.random(400) < 0.4, list(CELLS).index(CANALS[3])] = 2
    lift = fit_lift(probabilities, severe)
    # 40 % severe count four times: odds of 4 x .4 to .6 (2.7) against the .3 to .7 given, held back by the prior.
    assert 2 < lift < np.e
    assert fit_lift(probabilities, np.full((400, 25), -1)) == 1
    lifted = lift_largest(probabilities, lift)
    assert np.isnan(lifted).sum() == np.isnan(probabilities).sum()


def test_groups_without_a_member_are_left_out_of_the_ensemble():
    only = simulate({"a": Maker(0.5, group="foraminal"), "b": Maker(0.6, group="foraminal")}, 24, 3, seed=2)
    ensemble = fit_ensemble(only.tables, only.labels, only.folds)
    assert set(ensemble.model.groups) == {"foraminal"}
    assert set(split_row_ids(ensemble.out_of_fold["row_id"])["group"]) == {"foraminal"}
    assert set(GROUPS) == {"spinal", "foraminal", "subarticular"}
