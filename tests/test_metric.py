"""The metric, worked out by hand and against scikit-learn; and the weighted prior."""

from math import log

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from lumbar.data.competition import read_predictions
from lumbar.data.priors import fit_prior, nested_prior, predict_prior
from lumbar.data.tables import integer, read_table
from lumbar.labels import CELLS, GRADE_WEIGHTS, GRADES, LEVELS, group_of, row_id
from lumbar.metric import (
    ANY_SEVERE_SPINAL,
    bootstrap_scores,
    fill_missing,
    interval,
    normalise,
    score,
    score_losses,
    study_losses,
)
from miniature import prediction_rows

CANAL, FORAMEN, RECESS = "spinal_canal_stenosis", "left_neural_foraminal_narrowing", "right_subarticular_stenosis"


def label_rows(cells: list[tuple[int, str, str, int]]) -> pd.DataFrame:
    """Labels in long form from (study, condition, level, grade)."""
    table = pd.DataFrame(cells, columns=["study_id", "condition", "level", "grade"])
    ids = [row_id(study, condition, level) for study, condition, level, _ in cells]
    return table.assign(group=table["condition"].map(group_of), row_id=ids)


LABELS = label_rows(
    [
        (1, CANAL, "l1_l2", 0),
        (1, CANAL, "l4_l5", 2),
        (2, CANAL, "l1_l2", 1),
        (1, FORAMEN, "l1_l2", 1),
        (2, FORAMEN, "l1_l2", 0),
        (2, RECESS, "l5_s1", 2),
    ]
)
PREDICTIONS = prediction_rows(
    {
        f"2_{RECESS}_l5_s1": (0.25, 0.25, 0.5),
        f"1_{CANAL}_l1_l2": (0.5, 0.3, 0.2),
        f"1_{CANAL}_l4_l5": (0.25, 0.5, 0.25),
        f"2_{CANAL}_l1_l2": (0.6, 0.3, 0.1),
        f"2_{CANAL}_l2_l3": (0.0, 0.0, 1.0),  # has no label, so it must count nowhere
        f"1_{FORAMEN}_l1_l2": (0.2, 0.6, 0.2),
        f"2_{FORAMEN}_l1_l2": (0.8, 0.1, 0.1),
    }
)


def test_the_score_is_what_it_comes_to_by_hand():
    # Each row costs its grade's weight (1, 2 or 4) times -log of what its grade was given; over the sum of weights.
    spinal = -(1 * log(0.5) + 4 * log(0.25) + 2 * log(0.3)) / 7
    foraminal = -(2 * log(0.6) + 1 * log(0.8)) / 3
    subarticular = -log(0.5)
    # Study 1 is severe and was given max(.2, .25), at weight 4; study 2 is not and was given .1, at weight 2.
    any_severe = -(4 * log(0.25) + 2 * log(1 - 0.1)) / 6
    result = score(LABELS, PREDICTIONS)
    expected = {
        "spinal": spinal,
        "foraminal": foraminal,
        "subarticular": subarticular,
        ANY_SEVERE_SPINAL: any_severe,
    }
    assert result.components == pytest.approx(expected, abs=1e-12)
    assert result.score == pytest.approx((spinal + foraminal + subarticular + any_severe) / 4, abs=1e-12)
    assert not result.partial


def test_rows_are_matched_by_their_id_and_not_by_their_order():
    shuffled = PREDICTIONS.sample(frac=1, random_state=3)
    assert score(LABELS.iloc[::-1], shuffled).score == pytest.approx(score(LABELS, PREDICTIONS).score, abs=1e-12)


def test_the_score_agrees_with_scikit_learn_on_random_answers():
    rng = np.random.default_rng(5)
    cells = [
        (study, cell.condition, cell.level, int(rng.integers(3))) for study in range(40) for cell in CELLS.values()
    ]
    labels = label_rows([cell for cell in cells if rng.random() < 0.9])
    predictions = pd.DataFrame(rng.dirichlet([1, 1, 1], len(labels)), columns=list(GRADES)).assign(
        row_id=labels["row_id"]
    )
    assert score(labels, predictions).components == pytest.approx(sklearn_components(labels, predictions), abs=1e-12)


def sklearn_components(labels: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, float]:
    """The components by scikit-learn's log loss, from FIELD's rules."""
    rows = labels.merge(predictions, on="row_id")
    rows["weight"] = np.array(GRADE_WEIGHTS)[rows["grade"]]
    shares = rows[list(GRADES)].div(rows[list(GRADES)].sum(axis=1), axis=0)
    components = {
        group: log_loss(part["grade"], shares.loc[part.index], sample_weight=part["weight"], labels=[0, 1, 2])
        for group, part in rows.groupby("group")
    }
    studies = rows[rows["group"] == "spinal"].groupby("study_id")[["grade", "severe", "weight"]].max()
    severe = studies["grade"] == 2
    components[ANY_SEVERE_SPINAL] = log_loss(severe, studies["severe"], sample_weight=studies["weight"], labels=[0, 1])
    return components


def test_a_grade_ruled_out_costs_no_more_than_machine_precision_allows():
    labels = label_rows([(1, FORAMEN, "l1_l2", 2)])
    result = score(labels, prediction_rows({f"1_{FORAMEN}_l1_l2": (1.0, 0.0, 0.0)}))
    assert result.components["foraminal"] == pytest.approx(-log(np.finfo(float).eps))


def test_the_grades_are_normalised_but_any_severe_takes_severe_as_submitted():
    labels = label_rows([(1, CANAL, "l1_l2", 2)])
    result = score(labels, prediction_rows({f"1_{CANAL}_l1_l2": (0.2, 0.0, 0.2)}))
    assert result.components["spinal"] == pytest.approx(-log(0.5))
    assert result.components[ANY_SEVERE_SPINAL] == pytest.approx(-log(0.2))


def test_a_component_without_a_label_is_left_out_of_the_mean_and_said_so():
    labels = label_rows([(1, RECESS, "l1_l2", 0)])
    result = score(labels, prediction_rows({f"1_{RECESS}_l1_l2": (0.5, 0.25, 0.25)}))
    assert result.partial
    assert result.components["spinal"] is None
    assert result.score == pytest.approx(log(2))
    assert result.as_dict()["partial"] is True


def test_a_labelled_row_without_a_prediction_is_refused():
    with pytest.raises(ValueError, match="1 labelled rows have no prediction, the first: 2_right_subarticular"):
        score(LABELS, PREDICTIONS.iloc[1:])


def test_a_row_predicted_twice_is_refused():
    with pytest.raises(ValueError, match=f"row '1_{CANAL}_l1_l2' is predicted more than once"):
        score(LABELS, pd.concat([PREDICTIONS, PREDICTIONS.iloc[[1]]]))


@pytest.mark.parametrize("values", [(np.nan, 0.5, 0.5), (-0.1, 0.6, 0.5), (0.0, 0.0, 0.0)])
def test_what_is_no_probability_is_refused_and_never_scored(values):
    broken = PREDICTIONS.copy()
    broken.loc[1, list(GRADES)] = values
    with pytest.raises(ValueError, match=f"row '1_{CANAL}_l1_l2'"):
        score(LABELS, broken)


def test_a_missing_row_counts_as_a_uniform_answer():
    filled = fill_missing(LABELS, PREDICTIONS.iloc[1:])
    assert score(LABELS, filled).components["subarticular"] == pytest.approx(log(3))
    assert len(filled) == len(PREDICTIONS)


def test_normalising_keeps_single_precision_from_leaking_into_the_sum():
    rows = normalise(np.array([[0.1, 0.2, 0.3], [1, 1, 1]], dtype=np.float32))
    assert rows.dtype == np.float64
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=0, atol=1e-15)


def test_the_losses_of_some_studies_score_those_studies():
    losses = study_losses(LABELS, PREDICTIONS)
    alone = score(LABELS[LABELS["study_id"] == 2], PREDICTIONS)
    assert score_losses(losses.loc[[2]]).components == pytest.approx(alone.components)


def test_bootstrap_draws_are_paired_and_their_interval_holds_the_score():
    rng = np.random.default_rng(0)
    labels = label_rows(
        [(study, c, "l1_l2", int(rng.integers(3))) for study in range(60) for c in (CANAL, FORAMEN, RECESS)]
    )
    predictions = pd.DataFrame(rng.dirichlet([2, 2, 2], len(labels)), columns=list(GRADES)).assign(
        row_id=labels["row_id"]
    )
    losses = study_losses(labels, predictions)
    draws = bootstrap_scores(losses, seed=1, draws=400)
    np.testing.assert_array_equal(draws, bootstrap_scores(losses, seed=1, draws=400))
    low, high = interval(draws)
    assert low < score_losses(losses).score < high
    # A worse answer for every study is worse in every draw, which unpaired draws would not show.
    worse = losses.copy()
    worse.loc[:, (slice(None), "loss")] *= 1.01
    assert (bootstrap_scores(worse, seed=1, draws=400) > draws).all()


def test_the_prior_counts_each_case_with_its_weight():
    # Three normal (weight 1), one severe (4), and one pseudo case spread like the condition, 3/7 and 4/7.
    labels = label_rows([(study, CANAL, "l1_l2", grade) for study, grade in enumerate([0, 0, 0, 2])])
    prior = fit_prior(labels).set_index(["condition", "level"]).loc[(CANAL, "l1_l2")]
    assert prior["severe"] / prior["normal_mild"] == pytest.approx(4 / 3, rel=0.03)
    assert prior.sum() == pytest.approx(1)
    assert 0 < prior["moderate"] < 0.05


def test_the_prior_of_a_cell_without_a_label_is_its_conditions():
    labels = label_rows([(study, CANAL, "l1_l2", grade) for study, grade in enumerate([0] * 90 + [2] * 10)])
    prior = fit_prior(labels).set_index(["condition", "level"])
    assert prior.loc[(CANAL, "l5_s1"), "severe"] == pytest.approx(40 / 130, abs=0.01)
    assert (prior[list(GRADES)] > 0).all().all()


def test_without_any_label_the_prior_is_uniform():
    prior = fit_prior(LABELS.iloc[:0])
    np.testing.assert_allclose(prior[list(GRADES)], 1 / 3)
    assert len(prior) == 25


def test_no_constant_answer_beats_the_weighted_prior():
    labels = label_rows(
        [(study, RECESS, level, (study * 7 + i) % 3) for study in range(50) for i, level in enumerate(LEVELS)]
    )
    best = score(labels, predict_prior(fit_prior(labels), list(range(50)))).score
    for grade in range(3):
        nudged = predict_prior(fit_prior(labels), list(range(50)))
        nudged[GRADES[grade]] += 0.03
        assert score(labels, nudged).score > best


def test_a_nested_prior_never_sees_the_study_that_it_answers_for():
    labels = label_rows([(study, CANAL, "l1_l2", 2 if study == 0 else 0) for study in range(4)])
    folds = pd.DataFrame({"study_id": range(4), "fold": [0, 0, 1, 1]})
    severe = nested_prior(labels, folds).set_index("row_id")["severe"]
    assert severe[f"0_{CANAL}_l1_l2"] < 0.2 < severe[f"2_{CANAL}_l1_l2"]
    assert len(severe) == 4 * 25


def test_a_uniform_answer_scores_as_published_on_the_real_labels(real_labels):
    empty = PREDICTIONS.iloc[:0]
    assert score(real_labels, fill_missing(real_labels, empty)).score == pytest.approx(0.999410, abs=5e-7)


def test_real_out_of_fold_predictions_score_as_measured(shared, real_labels):
    names = ("axial_baseline", "sagittal1_baseline", "sagittal2_baseline")
    predictions = pd.concat([read_predictions(shared / "oof" / f"{name}.csv.gz") for name in names])
    folds = read_table(shared / "oof" / "folds.csv", [integer("study_id"), integer("fold")])
    labels = real_labels[real_labels["study_id"].isin(folds["study_id"])]
    result = score(labels, fill_missing(labels, predictions))
    measured = {"spinal": 0.294505, "foraminal": 0.484578, "subarticular": 0.547965, ANY_SEVERE_SPINAL: 0.273790}
    assert result.components == pytest.approx(measured, abs=5e-7)
    assert result.score == pytest.approx(sum(measured.values()) / 4, abs=5e-7)
    assert result.score == pytest.approx(0.400210, abs=5e-7)
    assert result.components == pytest.approx(sklearn_components(labels, fill_missing(labels, predictions)), abs=1e-9)
