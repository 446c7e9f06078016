"""What the published systems are made of: their targets, examples and augmentation, each a named option."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lumbar.baselines.data import SystemDataset, changes_of
from lumbar.baselines.net import SystemNet, severe_shares
from lumbar.baselines.points import without_mark
from lumbar.baselines.predict import predict_system
from lumbar.baselines.samplers import (
    NO_CONDITION,
    UNANNOTATED,
    Examples,
    all_normal_studies,
    balance,
    choose_each,
    hold_out,
    is_graded,
    loss_weights,
    trained_with,
    true_classes,
)
from lumbar.baselines.targets import TARGETS, Cells, answer
from lumbar.config import (
    AugmentationConfig,
    CellsConfig,
    Config,
    ExamplesConfig,
    GradeConfig,
    PublishedConfig,
    read_config,
)
from lumbar.crop.crops import Crops
from lumbar.data.competition import read_coordinates, split_row_ids
from lumbar.data.priors import fit_prior
from lumbar.grade.data import cut_centre, reseed
from lumbar.labels import CONDITIONS, GRADES, LEVELS, finding
from scans import bright_centre

SEEDS_FOLDER = Path(__file__).parents[1] / "configs" / "published"
SEEDS = sorted(SEEDS_FOLDER.glob("*.yaml"))
ANYWHERE = Cells(torch.tensor([0]), torch.tensor([0]), torch.full((5, 5), 0.2))
"""A cell in which one of five affected is severe."""


def answered(target: str, probabilities, trained) -> list[float]:
    """The best answer of one case, as numbers."""
    row = torch.tensor([probabilities], dtype=torch.float64)
    return answer(target, row, torch.tensor(trained, dtype=torch.float64), ANYWHERE)[0].tolist()


# The systems' configs


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_every_published_system_is_a_config_of_the_pipeline(path):
    config = read_config(path)
    assert config.name == path.stem
    assert config.title
    assert (config.published.own_split is None) == path.stem.startswith("classical_")
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_there_are_five_published_systems_and_two_classical_ones():
    names = {"cnn_coordinates", "cnn_lstm", "five_block_cnn", "inception_two_head", "vgg16_frozen"}
    assert {path.stem for path in SEEDS} == names | {"classical_svm", "classical_forest"}


def test_the_configs_say_what_the_papers_do():
    configs = {path.stem: read_config(path) for path in SEEDS}
    systems = {name: config.published for name, config in configs.items()}
    changes = {name: system.examples.augmentation for name, system in systems.items()}
    assert systems["cnn_lstm"].examples.balance == "augment"
    assert changes["cnn_lstm"].rotate and changes["cnn_lstm"].zoom and changes["cnn_lstm"].flip
    assert systems["cnn_coordinates"].examples.drop_all_normal
    assert (configs["vgg16_frozen"].grade.epochs, configs["vgg16_frozen"].grade.batch_size) == (10, 8)
    assert systems["inception_two_head"].target == "condition_and_level"
    assert systems["inception_two_head"].fit.watch == "training_accuracy"
    assert changes["inception_two_head"].zoom > 0
    assert systems["five_block_cnn"].examples.balance == "copies"
    assert systems["five_block_cnn"].own_split.tested_each == 100
    assert changes["five_block_cnn"].rotate == 0


def test_two_heads_are_split_as_the_papers_text_says():
    system = read_config(SEEDS_FOLDER / "inception_two_head.yaml").system
    watched = (1 - system.own_split.share) * system.fit.watched_share
    assert (system.own_split.share, round(watched, 2)) == (0.1, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"cells": {"conditions": ["left_stenosis"]}},
            r"cells\.conditions.*one or more of spinal_canal_stenosis, left_",
        ),
        ({"cells": {"levels": []}}, r"cells\.levels.*one or more of l1_l2, l2_l3"),
        ({"own_split": {"tested_each": 5, "repeats": 2}}, r"tested_each has one test part, expected repeats 1"),
        ({"head": {"kind": "forest"}}, r"head\.kind forest needs target grades, and head\.level_bias and input\.coord"),
        (
            {"target": "affected"},
            r"target affected needs fit\.class_weights other than metric, and head\.level_bias false",
        ),
    ],
)
def test_a_system_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValidationError, match=rf"(?s){message}"):
        PublishedConfig.model_validate(settings)


def test_crops_of_different_sizes_cannot_be_pooled():
    with pytest.raises(ValidationError, match="needs views of one size and number of slices"):
        Config.model_validate(
            {
                "name": "x",
                "published": {"cells": {"pooled": True}},
                "grade": {"image_size": 64},
                "crop": {"views": {"spinal": {"size": 64}, "foraminal": {}, "subarticular": {}}},
            }
        )


def test_a_finding_reads_like_a_sentence():
    assert finding("left_subarticular_stenosis", "l4_l5", "severe") == "severe left subarticular stenosis at L4/L5"
    assert finding("spinal_canal_stenosis", "l5_s1", "normal_mild") == "normal or mild spinal canal stenosis at L5/S1"


# Targets and answers


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


# Examples

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


def crops_of(conditions: list[str], studies: int = 4, slices: int = 1, size: int = 40) -> Crops:
    """Crops of noise for every level of some conditions."""
    cells = [(study, name, level) for study in range(studies) for name in conditions for level in LEVELS]
    index = pd.DataFrame(cells, columns=["study_id", "condition", "level"]).assign(
        fold=0, source="detected", place_x=0.5, place_y=0.5, grade=np.arange(len(cells)) % 3
    )
    index["row_id"] = [f"{study}_{name}_{level}" for study, name, level in cells]
    pixels = np.random.default_rng(0).integers(0, 255, (len(cells), slices, size, size), dtype=np.uint8)
    return Crops(pixels, index)


TINY = {"fit": {"class_weights": "none"}, "head": {"level_bias": False}}


def tiny(**published) -> Config:
    """A small system's config."""
    grade = GradeConfig(backbone="test_resnet", image_size=32)
    return Config(name="x", grade=grade, published=PublishedConfig.model_validate(TINY | published))


def test_a_grader_leaves_the_cells_that_it_was_not_made_for_alone():
    crops = crops_of(["left_subarticular_stenosis", "right_subarticular_stenosis"])
    config = tiny(cells={"conditions": ["left_subarticular_stenosis"]})
    predicted = predict_system(SystemNet(config, 1).eval(), crops, np.arange(len(crops.index)))
    assert set(split_row_ids(predicted["row_id"])["condition"]) == {"left_subarticular_stenosis"}


def test_several_crops_of_one_cell_are_averaged():
    crops = crops_of(["spinal_canal_stenosis"], studies=1)
    grader = SystemNet(tiny(), 1).eval()
    each = predict_system(grader, crops, np.arange(5))
    one_cell = Crops(crops.pixels, crops.index.assign(row_id="1_spinal_canal_stenosis_l1_l2"))
    together = predict_system(grader, one_cell, np.arange(5))
    np.testing.assert_allclose(together[list(GRADES)].iloc[0], each[list(GRADES)].mean())


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_gives_grades_that_sum_to_one(target):
    crops = crops_of(list(CONDITIONS), studies=1)
    grader = SystemNet(tiny(target=target), 1).eval()
    predicted = predict_system(grader, crops, np.arange(len(crops.index)))
    np.testing.assert_allclose(predicted[list(GRADES)].sum(axis=1), 1, atol=1e-12)


# Augmentation


def changing(size: int, **settings):
    """The changes that a paper names, and then the centre of so many pixels."""
    return cut_centre(size, changes_of(AugmentationConfig(**settings)))


def drawn(dataset: SystemDataset, item: object) -> np.ndarray:
    """The pixels of an item."""
    return dataset[item]["crop"].numpy()


def test_a_training_crop_changes_with_the_epoch_and_a_watched_one_never():
    crops = crops_of(["spinal_canal_stenosis"])
    training, watching = (SystemDataset(crops, Examples.of(np.arange(5)), tiny(), seed) for seed in (7, None))
    assert not np.array_equal(drawn(training, (2, 0)), drawn(training, (2, 1)))
    np.testing.assert_array_equal(drawn(training, (2, 1)), drawn(training, (2, 1)))
    np.testing.assert_array_equal(drawn(watching, 2), crops.pixels[2, :, 4:36, 4:36] / np.float32(255))


def test_a_copy_is_changed_once_and_its_original_is_trained_on_as_it_is():
    balanced = {"examples": {"balance": "augment", "augmentation": {"shift": 0.1, "zoom": 0.1, "flip": True}}}
    crops, config = crops_of(["spinal_canal_stenosis"]), tiny(**balanced)
    examples = Examples(np.array([2, 2, 2]), np.array([0, 1, 2]))
    training, testing = (SystemDataset(crops, examples, config, seed) for seed in (7, None))
    np.testing.assert_array_equal(drawn(training, (0, 3)), crops.pixels[2, :, 4:36, 4:36] / np.float32(255))
    np.testing.assert_array_equal(drawn(training, (1, 3)), drawn(training, (1, 4)))
    np.testing.assert_array_equal(drawn(training, (1, 3)), drawn(testing, 1))
    assert not np.array_equal(drawn(training, (1, 3)), drawn(training, (2, 3)))


def test_the_rarer_classes_alone_get_copies_where_augmentation_is_for_balance():
    config = read_config(SEEDS_FOLDER / "cnn_lstm.yaml")
    examples = balance(ROWS, CLASSES, config.system.examples, seed=0)
    assert not examples.copies[CLASSES[examples.rows - 100] == 0].any()
    assert np.bincount(CLASSES[examples.rows - 100]).tolist() == [6, 6, 6]


def test_every_image_of_a_training_on_copies_is_changed():
    copies = {"examples": {"balance": "copies", "augmentation": {"shift": 0.1, "zoom": 0.1, "flip": True}}}
    crops, config = crops_of(["spinal_canal_stenosis"]), tiny(**copies)
    examples = balance(np.arange(20), np.arange(20) % 3, config.system.examples, seed=0)
    training, plain = (
        SystemDataset(crops, examples, config, 7),
        SystemDataset(crops, Examples.of(examples.rows), config),
    )
    for number in range(len(examples)):
        assert not np.array_equal(drawn(training, (number, 0)), drawn(plain, number))
        np.testing.assert_array_equal(drawn(training, (number, 0)), drawn(training, (number, 1)))


def test_nothing_named_changes_nothing():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 1), dtype=np.uint8)
    np.testing.assert_array_equal(changing(32)(image=image)["image"], image)


def test_a_named_flip_flips_half_of_the_crops():
    image = np.zeros((8, 8, 1), dtype=np.uint8)
    image[:, :4] = 200
    flipping, flipped = changing(8, flip=True), 0
    for number in range(200):
        reseed(flipping, number)
        flipped += int(flipping(image=image)["image"][0, -1, 0] == 200)
    assert 70 <= flipped <= 130


def test_one_change_says_nothing_of_another():
    # One seed for all changes would turn and brighten together.
    image = np.full((33, 33, 1), 100, dtype=np.uint8)
    image[0] = 0
    changes, turns, lights = changing(33, rotate=40, brightness=0.4), [], []
    for number in range(150):
        reseed(changes, number)
        changed = changes(image=image)["image"][..., 0].astype(float)
        lights.append(changed[16, 16])
        turns.append(bright_centre(changed.max() - changed)[0])
    assert abs(np.corrcoef(turns, lights)[0, 1]) < 0.25
