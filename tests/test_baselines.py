"""What the published systems are made of: their configs, grades and augmentation, each a named option."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from lumbar.baselines.data import SystemDataset, changes_of
from lumbar.baselines.net import SystemNet
from lumbar.baselines.predict import predict_system
from lumbar.baselines.samplers import Examples, balance
from lumbar.baselines.targets import TARGETS
from lumbar.config import AugmentationConfig, Config, GradeConfig, PublishedConfig, read_config
from lumbar.crop.crops import Crops
from lumbar.data.competition import split_row_ids
from lumbar.grade.data import cut_centre, reseed
from lumbar.labels import CONDITIONS, GRADES, LEVELS, finding
from scans import bright_centre

SEEDS_FOLDER = Path(__file__).parents[1] / "configs" / "published"
SEEDS = sorted(SEEDS_FOLDER.glob("*.yaml"))


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
