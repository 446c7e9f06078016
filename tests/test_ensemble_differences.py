"""Differences between ensembles: paired over studies, with an interval, and a word on whether there is one."""

import numpy as np
import pytest

from lumbar.ensemble.members import score_cells
from lumbar.metric import (
    Difference,
    bootstrap_scores,
    paired_difference,
    paired_error,
    score_losses,
    study_losses,
)
from simulated import Maker, simulate


@pytest.fixture(scope="module")
def simulation():
    return simulate({"better": Maker(0.5), "twin": Maker(0.5), "worse": Maker(0.9)}, studies=150, folds=3, seed=2)


@pytest.fixture(scope="module")
def losses(simulation):
    pairs = zip(simulation.members.names, simulation.members.probabilities, strict=True)
    return {name: score_cells(simulation.truth, values) for name, values in pairs}


def test_the_grids_losses_are_those_of_the_tables(simulation, losses):
    for name, table in simulation.tables.items():
        expected = study_losses(simulation.labels, table)
        np.testing.assert_allclose(losses[name].to_numpy(), expected.to_numpy(), rtol=1e-12)
        assert losses[name].index.equals(expected.index)


def test_a_plain_difference_has_its_sign_and_an_interval_without_zero(losses):
    difference = paired_difference(losses["worse"], losses["better"])
    assert difference.value == pytest.approx(score_losses(losses["worse"]).score - score_losses(losses["better"]).score)
    assert 0 < difference.low < difference.value < difference.high
    assert not difference.is_none
    assert str(difference).endswith("worse")
    assert str(paired_difference(losses["better"], losses["worse"])).endswith("better")


def test_two_members_of_the_same_quality_differ_by_nothing(losses):
    difference = paired_difference(losses["better"], losses["twin"])
    assert difference.is_none
    assert str(difference).endswith("none, the interval contains 0")
    assert str(Difference(0.0012, -0.001, 0.0031)) == "+0.0012 (-0.0010 to +0.0031): none, the interval contains 0"


def test_the_standard_error_is_that_of_the_bootstrap(losses):
    draws = bootstrap_scores(losses["worse"], seed=1) - bootstrap_scores(losses["better"], seed=1)
    assert paired_error(losses["worse"], losses["better"]) == pytest.approx(draws.std(), rel=0.1)
    assert paired_error(losses["worse"], losses["worse"]) == 0


def test_predictions_of_other_studies_cannot_be_paired(losses):
    for compare in (paired_difference, paired_error):
        with pytest.raises(ValueError, match="of other studies, their difference cannot be paired"):
            compare(losses["worse"], losses["better"].iloc[1:])
