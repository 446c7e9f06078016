"""What a published system tells apart, and the best answer to the metric that it makes of that."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lumbar.baselines.net import SystemNet, severe_shares
from lumbar.baselines.samplers import NO_CONDITION, UNANNOTATED, true_classes
from lumbar.baselines.targets import TARGETS, Cells, answer
from lumbar.config import Config, GradeConfig, PublishedConfig
from lumbar.data.priors import fit_prior

ANYWHERE = Cells(torch.tensor([0]), torch.tensor([0]), torch.full((5, 5), 0.2))
"""A cell in which one of five affected is severe."""


def answered(target: str, probabilities, trained) -> list[float]:
    """The best answer of one case, as numbers."""
    row = torch.tensor([probabilities], dtype=torch.float64)
    return answer(target, row, torch.tensor(trained, dtype=torch.float64), ANYWHERE)[0].tolist()


def test_an_unweighted_posterior_is_answered_with_the_metrics_weights():
    # .6 × 1, .3 × 2, .1 × 4 of a sum of 1.6.
    np.testing.assert_allclose(answered("grades", [0.6, 0.3, 0.1], [1, 1, 1]), [0.375, 0.375, 0.25])


def test_outputs_trained_with_the_metrics_weights_are_the_answer_already():
    np.testing.assert_allclose(answered("grades", [0.6, 0.3, 0.1], [1, 2, 4]), [0.6, 0.3, 0.1])


def test_affected_is_split_as_moderate_and_severe_are_in_the_cell():
    # Affected weighed threefold: .5 and .5 / 3 are .75 and .25; .25 is .2 and .05; times 1, 2, 4 of a sum of 1.35.
    expected = np.array([0.75, 0.4, 0.2]) / 1.35
    np.testing.assert_allclose(answered("affected", [0.5, 0.5], [1, 3]), expected)


def test_a_condition_is_weighed_against_healthy_alone():
    # .2 of .2 + .6 is a quarter affected: .75, .2, .05 as above; what the other conditions have does not count.
    expected = np.array([0.75, 0.4, 0.2]) / 1.35
    np.testing.assert_allclose(answered("condition_and_level", [0.2, 0.1, 0.1, 0, 0, 0.6], [1] * 6), expected)


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_the_answer_does_not_depend_on_the_weights_that_a_net_was_trained_with(shares, weights):
    posterior, trained = np.array(shares) / sum(shares), np.array(weights)
    outputs = posterior * trained / (posterior * trained).sum()
    best = posterior * (1, 2, 4) / (posterior * (1, 2, 4)).sum()
    np.testing.assert_allclose(answered("grades", outputs.tolist(), weights), best, rtol=1e-6)


def test_raw_outputs_are_left_as_they_are_when_asked():
    for kind, expected in {"raw": [0.6, 0.3, 0.1], "weighted": [0.375, 0.375, 0.25]}.items():
        published = PublishedConfig.model_validate({"fit": {"class_weights": "none"}, "answer": kind})
        grader = SystemNet(Config(name="x", grade=GradeConfig(backbone="test_resnet"), published=published), slices=1)
        grades = grader.grades(torch.log(torch.tensor([[0.6, 0.3, 0.1]])), ANYWHERE.conditions, ANYWHERE.levels)
        np.testing.assert_allclose(grades[0], expected, rtol=1e-6)


def test_the_share_of_severe_counts_cases_and_not_their_weights():
    cells = [(study, "spinal_canal_stenosis", "l1_l2", grade) for study, grade in enumerate([0] * 6 + [1] * 3 + [2])]
    labels = pd.DataFrame(cells, columns=["study_id", "condition", "level", "grade"])
    shares = severe_shares(fit_prior(labels))
    # Three moderate, one severe, and a little of the prior's smoothing.
    assert shares[0, 0] == pytest.approx(0.25, abs=1e-3)


def test_the_classes_of_the_targets():
    grades, conditions = np.array([0, 1, 2, 0]), np.array([0, 2, 4, 3])
    assert TARGETS["grades"].truth(grades, conditions).tolist() == [0, 1, 2, 0]
    assert TARGETS["affected"].truth(grades, conditions).tolist() == [0, 1, 1, 0]
    assert TARGETS["affected_condition_and_level"].truth(grades, conditions).tolist() == [5, 2, 4, 5]
    assert TARGETS["condition_and_level"].truth(grades, conditions).tolist() == [0, 2, 4, 3]


def test_healthy_is_a_slice_without_an_annotation_and_no_annotated_one():
    index = pd.DataFrame(
        {
            "condition": "spinal_canal_stenosis",
            "grade": [0, 2, np.nan],
            "source": ["annotated", "annotated", UNANNOTATED],
        }
    )
    target = TARGETS["condition_and_level"]
    classes = [target.classes[number] for number in true_classes(index, target)]
    assert classes == ["spinal_canal_stenosis", "spinal_canal_stenosis", "healthy"]


def test_a_slice_without_an_annotation_teaches_no_level():
    target, outputs = TARGETS["condition_and_level"], torch.zeros(2, 11, requires_grad=True)
    loss = target.loss(outputs, torch.tensor([NO_CONDITION, 0]), {"level": torch.tensor([0, 4])}, torch.ones(6))
    assert loss.item() == pytest.approx(np.log(6) + np.log(5), rel=1e-6)
    loss.backward()
    assert not outputs.grad[0, 6:].any()
    assert outputs.grad[1, 6:].all()
    alone = target.loss(outputs[:1], torch.tensor([NO_CONDITION]), {"level": torch.tensor([0])}, torch.ones(6))
    assert alone.item() == pytest.approx(np.log(6), rel=1e-6)


def test_both_heads_are_trained():
    outputs = torch.zeros(2, 11, requires_grad=True)
    target = TARGETS["affected_condition_and_level"]
    loss = target.loss(outputs, torch.tensor([5, 0]), {"level": torch.tensor([0, 4])}, torch.ones(6))
    assert loss.item() == pytest.approx(np.log(6) + np.log(5), rel=1e-6)
    loss.backward()
    assert outputs.grad.abs().min() > 0


def test_the_binary_loss_is_a_weighted_mean():
    outputs, truth = torch.tensor([[0.0], [2.0]]), torch.tensor([1, 0])
    each = np.array([np.log(2), np.log1p(np.exp(2))])
    loss = TARGETS["affected"].loss(outputs, truth, {}, torch.tensor([1.0, 3.0]))
    assert float(loss) == pytest.approx((3 * each[0] + each[1]) / 4, rel=1e-6)
