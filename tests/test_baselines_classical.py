"""Classifiers without a net: what they measure, by hand, and that their kept arrays say what scikit-learn says."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

from graded_crops import draw_crops, keep_grader
from lumbar.baselines.net import SystemNet
from lumbar.baselines.predict import load_system, predict_system
from lumbar.baselines.train import train_system
from lumbar.config import Config, GradeConfig, PublishedConfig
from lumbar.errors import InputError
from lumbar.grade.fitted import FITTED, SMALLEST_LEAF, TREES, Forest, SupportVectors, couple
from lumbar.grade.texture import SIDE, count_neighbours, describe_neighbours, edge_density, gradients, stretch
from lumbar.labels import GRADES

TWO_GREYS = np.array([[0, 0, 255], [0, 255, 255]], dtype=np.uint8)

# What is measured


def test_what_lies_beside_what_is_counted_in_either_order():
    # To the right lie dark by dark, dark by bright, dark by bright, bright by bright.
    expected = np.zeros((8, 8))
    expected[[0, 0, 7, 7], [0, 7, 0, 7]] = 0.25
    np.testing.assert_array_equal(count_neighbours(TWO_GREYS, 0, 1), expected)
    # Down and to the left: dark by dark, and bright by bright.
    expected = np.zeros((8, 8))
    expected[[0, 7], [0, 7]] = 0.5
    np.testing.assert_array_equal(count_neighbours(TWO_GREYS, 1, -1), expected)


def test_the_textures_figures_are_those_worked_out_by_hand():
    contrast, homogeneity, energy, correlation = describe_neighbours(count_neighbours(TWO_GREYS, 0, 1))
    assert contrast == pytest.approx(49 / 2)
    assert homogeneity == pytest.approx(1 / 2 + 1 / 2 / 50)
    assert energy == pytest.approx(1 / 2)
    assert correlation == pytest.approx(0)
    assert describe_neighbours(count_neighbours(TWO_GREYS, 1, -1))[3] == pytest.approx(1)


def test_an_image_of_one_grey_has_a_texture_and_no_edge():
    flat = stretch(np.full((40, 40), 0.3, dtype=np.float32))
    assert describe_neighbours(count_neighbours(flat, 0, 1)).tolist() == [0, 1, 1, 1]
    assert edge_density(flat) == 0


def test_greys_that_rise_to_the_right_have_gradients_in_one_direction():
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8) * 3, (SIDE, 1))
    middle = gradients(ramp).reshape(3, 3, 4, 9)[1, 1]
    # No degrees lie halfway between the first direction and the last; four equal cells in two of them have length 1.
    np.testing.assert_allclose(middle[:, [0, 8]], 1 / np.sqrt(8), atol=1e-3)
    np.testing.assert_allclose(middle[:, 1:8], 0, atol=1e-6)


def test_one_straight_edge_is_one_pixel_wide():
    halves = np.zeros((SIDE, SIDE), dtype=np.uint8)
    halves[:, SIDE // 2 :] = 200
    assert edge_density(halves) == pytest.approx(1 / SIDE)


def test_the_brightness_of_an_image_does_not_count():
    image = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    np.testing.assert_array_equal(stretch(image), stretch(image * np.float32(0.5)))


# What is kept of a fit


def blobs(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of so many overlapping classes."""
    rng = np.random.default_rng(1)
    truth = np.arange(60 * classes) % classes
    return (rng.normal(size=(len(truth), 5)) + truth[:, None]).astype(np.float32), truth


def shares_of(head: torch.nn.Module, features: np.ndarray) -> np.ndarray:
    """The probabilities of a fitted head."""
    return torch.exp(head(torch.from_numpy(features)).double()).numpy()


@pytest.mark.parametrize("classes", [2, 3])
def test_kept_support_vectors_say_what_scikit_learns_do(classes):
    features, truth = blobs(classes)
    head = SupportVectors(classes)
    head.fit(features, truth, np.ones(len(truth)), seed=3)
    scaled = (features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)) / features.std(
        axis=0, dtype=np.float64
    )
    expected = SVC(gamma=1 / 5, probability=True, random_state=3).fit(scaled, truth).predict_proba(scaled)
    # libsvm couples the pairs step by step, and stops where no step is longer than a two hundredth.
    np.testing.assert_allclose(shares_of(head, features), expected, atol=5e-3)


def test_a_kept_forest_says_what_scikit_learns_does():
    features, truth = blobs(3)
    head = Forest(3)
    head.fit(features, truth, np.ones(len(truth)), seed=3)
    forest = RandomForestClassifier(TREES, min_samples_leaf=SMALLEST_LEAF, random_state=3).fit(features, truth)
    np.testing.assert_allclose(shares_of(head, features), forest.predict_proba(features), atol=2e-7)


def test_pairs_that_agree_are_coupled_to_what_they_come_from():
    shares = np.array([0.5, 0.3, 0.2])
    pairs = [shares[first] / (shares[first] + shares[second]) for first, second in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(couple(torch.tensor([pairs]), 3)[0], shares, rtol=1e-6)


@pytest.mark.parametrize("kind", FITTED)
def test_a_grade_that_no_crop_has_gets_next_to_nothing(kind):
    features, truth = blobs(2)
    head = FITTED[kind](3)
    head.fit(features, truth * 2, np.ones(len(truth)), seed=0)
    shares = shares_of(head, features)
    assert shares[:, 1].max() < 1e-6
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_one_grade_alone_cannot_be_told_apart():
    features, truth = blobs(2)
    with pytest.raises(InputError, match="support vectors need crops of two grades"):
        SupportVectors(3).fit(features, truth * 0, np.ones(len(truth)), seed=0)


# In the pipeline


@pytest.mark.parametrize("kind", FITTED)
def test_a_fitted_system_learns_and_answers_the_same_from_its_checkpoint(kind, tmp_path):
    crops = draw_crops()
    rows = np.arange(len(crops.index))
    published = {"head": {"kind": kind, "level_bias": False}, "fit": {"class_weights": "none"}}
    config = Config(
        name="x",
        grade=GradeConfig(backbone="texture", image_size=32, batch_size=8),
        published=PublishedConfig.model_validate(published),
    )
    net = SystemNet(config, slices=3)
    state, curves = train_system(net, crops, rows, rows, tmp_path, 1, "test")
    assert curves["accuracy"][0] > 0.6, "of three grades"
    stem = tmp_path / "spinal_fold0"
    said = {
        "grade": config.grade,
        "view": config.crop.views["spinal"].model_copy(update={"slices": 3}),
        "published": config.published,
    }
    keep_grader(stem, state, {name: part.model_dump(mode="json") for name, part in said.items()})
    answers = [predict_system(each, crops, rows)[list(GRADES)] for each in (net, load_system(stem))]
    np.testing.assert_array_equal(*answers)
