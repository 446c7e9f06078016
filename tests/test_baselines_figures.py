"""The papers' figures, each worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from lumbar.baselines.cases import describe
from lumbar.baselines.figures import measure, measure_as_published
from lumbar.labels import CONDITIONS


def cases_of(truth: list[str], predicted: list[str], probabilities: list[list[float]], classes) -> pd.DataFrame:
    """A table of cases, one study each."""
    table = pd.DataFrame(probabilities, columns=list(classes))
    return table.assign(truth=truth, predicted=predicted, study_id=range(len(truth)))


def test_the_figures_are_those_worked_out_by_hand():
    classes = ("a", "b")
    cases = cases_of(list("aabb"), list("abbb"), [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.45, 0.55]], classes)
    figures = measure(cases, classes, ordered=True, seed=0)
    assert figures["confusion_matrix"] == [[1, 1], [0, 2]]
    assert figures["accuracy"] == figures["recall"] == 0.75
    assert figures["precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["f1"] == pytest.approx((2 / 3 + 0.8) / 2)
    # F2 is 5 PR / (4 P + R): of a 5 × .5 / 4.5, of b 5 × 2/3 / (8/3 + 1).
    assert figures["f_beta"] == pytest.approx((2.5 / 4.5 + (10 / 3) / (11 / 3)) / 2)
    assert figures["rmse"] == pytest.approx(0.5)
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.7, 0.55]).mean())
    # Of the four pairs of an a and a b, three are in order (.4 of an a lies below .45 of a b).
    assert figures["roc_auc"] == pytest.approx(0.75)
    # One case is .1 away in both classes, and so on: the squares' mean over both.
    assert figures["rmse_as_published"] == pytest.approx(np.sqrt(np.mean(np.square([0.1, 0.6, 0.3, 0.45]))))
    assert figures["precision_as_published"] == figures["recall_as_published"] == figures["f1_as_published"] == 0.75
    assert figures["most_frequent_class"] == 0.5
    low, high = figures["accuracy_ci95"]
    assert 0 <= low < 0.75 < high <= 1


def test_precision_and_recall_as_published_ask_for_half_of_the_probability():
    # Of three cases the first is said rightly, the second wrongly, and of the third no class has half.
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.4, 0.2, 0.4]])
    figures = measure_as_published(np.array([0, 2, 2]), probabilities)
    assert figures["precision_as_published"] == pytest.approx(1 / 2)
    assert figures["recall_as_published"] == pytest.approx(1 / 3)
    assert figures["f1_as_published"] == pytest.approx(0.4)
    assert figures["f_beta_as_published"] == pytest.approx(5 * (1 / 6) / (4 / 2 + 1 / 3))
    squares = [0.4, 0.3, 0.1, 0.2, 0.7, 0.9, 0.4, 0.2, 0.6]
    assert figures["rmse_as_published"] == pytest.approx(np.sqrt(np.mean(np.square(squares))))
    # Of the true ones' .6, .1 and .4, above the six others (.3, .1, .2, .7, .4, .2) lie 5, 1/2 and 4 1/2.
    assert figures["roc_auc_as_published"] == pytest.approx(10 / 18)


def test_a_class_without_a_case_is_left_out_of_the_means():
    classes = ("a", "b", "c")
    probabilities = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]
    figures = measure(cases_of(["a", "b"], ["a", "b"], probabilities, classes), classes, ordered=False, seed=0)
    assert figures["recall"] == figures["f1"] == figures["roc_auc"] == figures["pr_auc"] == 1
    assert figures["rmse"] is None


def test_one_class_alone_has_no_area_under_a_curve():
    figures = measure(cases_of(["a"], ["a"], [[0.8, 0.2]], ("a", "b")), ("a", "b"), ordered=True, seed=0)
    assert figures["roc_auc"] is figures["pr_auc"] is None


def test_every_condition_can_be_named_as_a_finding():
    for condition in CONDITIONS:
        assert describe(condition, "spinal_canal_stenosis", "l1_l2").startswith("moderate or severe ")
    seen = describe("left_subarticular_stenosis", "spinal_canal_stenosis", "l1_l2", graded=False)
    assert seen == "left subarticular stenosis at L1/L2"
    assert describe("healthy", "spinal_canal_stenosis", "l1_l2") == "normal or mild spinal canal stenosis at L1/L2"
    assert describe("moderate_or_severe", "spinal_canal_stenosis", "l1_l2").startswith("moderate or severe spinal")
