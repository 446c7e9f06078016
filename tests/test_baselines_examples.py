"""What a published system is trained on, how often, and what is watched."""

from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.baselines.points import without_mark
from lumbar.baselines.samplers import (
    all_normal_studies,
    balance,
    choose_each,
    hold_out,
    is_graded,
    loss_weights,
    trained_with,
)
from lumbar.config import CellsConfig, ExamplesConfig, PublishedConfig, read_config
from lumbar.data.competition import read_coordinates
from lumbar.labels import CONDITIONS, LEVELS

SEEDS_FOLDER = Path(__file__).parents[1] / "configs" / "published"
CLASSES = np.array([0] * 6 + [1] * 3 + [2])
ROWS = np.arange(10) + 100


def test_balancing_fills_up_with_copies_after_every_crop_was_taken_once():
    examples = balance(ROWS, CLASSES, ExamplesConfig(balance="augment"), seed=0)
    classes = CLASSES[examples.rows - 100]
    assert np.bincount(classes).tolist() == [6, 6, 6]
    assert examples.copies[classes == 0].tolist() == [0] * 6
    assert sorted(examples.copies[classes == 1]) == [0, 0, 0, 1, 1, 1]
    assert sorted(examples.copies[classes == 2]) == [0, 1, 2, 3, 4, 5]


def test_balancing_to_a_number_leaves_out_what_is_above_it():
    examples = balance(ROWS, CLASSES, ExamplesConfig(balance="augment", balance_to=4), seed=0)
    assert np.bincount(CLASSES[examples.rows - 100]).tolist() == [4, 4, 4]
    assert len(set(zip(examples.rows, examples.copies, strict=True))) == 12


def test_training_on_copies_alone_shows_no_crop_as_it_is():
    examples = balance(ROWS, CLASSES, ExamplesConfig(balance="copies", balance_to=4), seed=0)
    classes = CLASSES[examples.rows - 100]
    assert np.bincount(classes).tolist() == [4, 4, 4]
    assert examples.copies[classes == 0].tolist() == [1] * 4
    assert sorted(examples.copies[classes == 2]) == [1, 2, 3, 4]


def test_as_many_of_each_class_are_chosen_and_no_more_than_the_rarest_has():
    classes = np.array([0] * 6 + [1] * 3 + [2] * 2)
    rows = np.arange(len(classes)) + 100
    for count, share, expected in ((1, 1.0, 1), (100, 1.0, 2), (100, 0.5, 1)):
        chosen = choose_each(rows, classes, count, share, seed=0)
        assert np.bincount(classes[chosen]).tolist() == [expected] * 3


def test_an_equal_training_set_has_as_many_of_each_as_of_the_rarest():
    examples = balance(ROWS, CLASSES, ExamplesConfig(balance="equal"), seed=0)
    assert np.bincount(CLASSES[examples.rows - 100]).tolist() == [1, 1, 1]
    assert not examples.copies.any()


def test_without_balancing_everything_is_taken_once():
    examples = balance(ROWS, CLASSES, ExamplesConfig(), seed=0)
    assert examples.rows.tolist() == ROWS.tolist()


def test_what_balancing_does_is_part_of_what_was_trained_with():
    # The second class is shown twice as often, and weighed threefold.
    weights = trained_with(np.array([0, 0, 1]), np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 5.0]))
    assert weights.tolist() == [1, 6, 1]


def test_balanced_weights_give_each_class_the_same_sum():
    weights = loss_weights(CLASSES, PublishedConfig.model_validate({"fit": {"class_weights": "balanced"}}))
    np.testing.assert_allclose(weights * np.bincount(CLASSES), [10 / 3] * 3)


def test_a_study_with_every_graded_cell_normal_is_dropped_and_one_with_an_empty_cell_is_not():
    cells = CellsConfig(conditions=("left_subarticular_stenosis",), levels=("l4_l5", "l5_s1"))
    rows = [(1, "l4_l5", 0), (1, "l5_s1", 0), (2, "l4_l5", 0), (3, "l4_l5", 0), (3, "l5_s1", 1), (1, "l1_l2", 2)]
    labels = pd.DataFrame(rows, columns=["study_id", "level", "grade"]).assign(condition="left_subarticular_stenosis")
    assert all_normal_studies(labels, cells).tolist() == [1]


def test_dropping_leaves_the_rows_that_the_paper_has(real_labels, rsna):
    cells = read_config(SEEDS_FOLDER / "cnn_coordinates.yaml").cells
    coordinates = read_coordinates(rsna / "train_label_coordinates.csv")
    left = real_labels[~real_labels["study_id"].isin(all_normal_studies(real_labels, cells))]
    left = left[is_graded(left, cells)].merge(coordinates, on=["study_id", "condition", "level"])
    assert np.bincount(left["grade"]).tolist() == [3701, 1834, 912]


def test_annotations_and_slices_without_one_are_the_papers_images(rsna):
    coordinates = read_coordinates(rsna / "train_label_coordinates.csv")
    healthy = without_mark(pd.read_csv(rsna / "image_inventory.csv.gz"), coordinates).sum()
    assert (len(coordinates), healthy, len(coordinates) + healthy) == (48_668, 122_677, 171_345)


def test_what_is_watched_is_never_torn_apart():
    units = np.repeat(np.arange(20), 5)
    watched = hold_out(units, 0.15, seed=1)
    assert set(units[watched]).isdisjoint(units[~watched])
    assert watched.sum() == 15


def test_only_the_cells_of_the_config_are_graded():
    index = pd.DataFrame([(name, level) for name in CONDITIONS for level in LEVELS], columns=["condition", "level"])
    cells = CellsConfig(conditions=("left_subarticular_stenosis",), levels=("l4_l5",))
    assert index[is_graded(index, cells)].to_numpy().tolist() == [["left_subarticular_stenosis", "l4_l5"]]


def test_the_rarer_classes_alone_get_copies_where_augmentation_is_for_balance():
    config = read_config(SEEDS_FOLDER / "cnn_lstm.yaml")
    examples = balance(ROWS, CLASSES, config.system.examples, seed=0)
    assert not examples.copies[CLASSES[examples.rows - 100] == 0].any()
    assert np.bincount(CLASSES[examples.rows - 100]).tolist() == [6, 6, 6]
