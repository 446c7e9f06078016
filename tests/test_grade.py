"""Graders: untrained they are the prior, trained they explain themselves, and an interruption costs no epoch."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils import parameters_to_vector

from graded_crops import CONDITION, TINY, FailingPixels, draw_crops, keep_grader
from lumbar.config import GraderConfig, ViewConfig
from lumbar.crop.crops import Crops
from lumbar.data.priors import fit_prior
from lumbar.grade.head import level_prior
from lumbar.grade.net import Grader
from lumbar.grade.predict import load_grader, looks_of, predict_grades
from lumbar.grade.train import HeldAverage, NetModule, moving_average, train_grader
from lumbar.labels import GRADES, LEVELS
from lumbar.run.checkpoint import Card, CheckpointError, save_checkpoint
from lumbar.run.loggers import open_logger


@pytest.fixture(scope="module")
def crops() -> Crops:
    """Five levels of a few studies."""
    return draw_crops()


@pytest.fixture(scope="module")
def rows(crops) -> np.ndarray:
    """Every row."""
    return np.arange(len(crops.index))


def prior_of(crops: Crops) -> np.ndarray:
    """The prior (5, 3) of the crops' grades."""
    return level_prior(fit_prior(crops.index.assign(group="spinal")), [CONDITION])


VIEW = ViewConfig(group="spinal", size=40, slices=3)


def grader_at_prior(crops: Crops, **settings) -> Grader:
    """An untrained grader that starts at the crops' prior."""
    config = GraderConfig(**TINY | {"epochs": 3, "views": "spinal"} | settings)
    torch.manual_seed(5)
    grader = Grader(config, [VIEW])
    grader.start_at_prior(prior_of(crops))
    return grader


def train(crops: Crops, rows: np.ndarray, folder: Path, seed: int = 1, **settings):
    """The weights and losses of a grader trained from the prior."""
    grader = grader_at_prior(crops, **settings)
    state, curves = train_grader(grader, crops, rows, folder, seed, "test")
    return state, curves["loss"]


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet", "test_convnext"])
def test_an_untrained_grader_predicts_the_prior(crops, rows, backbone):
    grader = grader_at_prior(crops, backbone=backbone)
    predicted = predict_grades(grader.eval(), crops, rows)
    expected = prior_of(crops)[[LEVELS.index(level) for level in crops.index["level"]]]
    np.testing.assert_allclose(predicted[list(GRADES)], expected, rtol=1e-6)


def test_a_logger_is_told_of_each_epoch_and_changes_nothing(crops, rows, tmp_path):
    state, losses = train(crops, rows, tmp_path / "alone")
    logger = open_logger("csv", "run", tmp_path, "spinal_fold0")
    logged, _ = train_grader(grader_at_prior(crops), crops, rows, tmp_path / "logged", 1, "test", logger)
    assert all(torch.equal(tensor, state[name]) for name, tensor in logged.items())
    told = pd.read_csv(tmp_path / "logs" / "spinal_fold0" / "version_0" / "metrics.csv")
    assert told["epoch"].tolist() == list(range(len(losses)))
    np.testing.assert_allclose(told["loss"], losses, atol=1e-4)


def test_the_levels_prior_takes_both_sides_together():
    sides = pd.DataFrame({"condition": ["left_x", "right_x", "other"]}).merge(pd.DataFrame({"level": LEVELS}), "cross")
    shares = {"left_x": (0.8, 0.1, 0.1), "right_x": (0.6, 0.3, 0.1), "other": (0.0, 0.0, 1.0)}
    sides[list(GRADES)] = [shares[name] for name in sides["condition"]]
    np.testing.assert_allclose(
        level_prior(sides.sample(frac=1, random_state=0), ["left_x", "right_x"]), [[0.7, 0.2, 0.1]] * 5
    )


def test_predictions_are_probabilities_with_their_row_and_fold(crops):
    grader = grader_at_prior(crops)
    some = np.array([7, 3, 11])
    predicted = predict_grades(grader.eval(), crops, some)
    assert list(predicted.columns) == ["row_id", *GRADES, "fold"]
    assert predicted["row_id"].tolist() == crops.index["row_id"].iloc[some].tolist()
    assert predicted["fold"].tolist() == crops.index["fold"].iloc[some].tolist()
    np.testing.assert_allclose(predicted[list(GRADES)].sum(axis=1), 1, rtol=0, atol=1e-12)
    assert predict_grades(grader, crops, np.array([], dtype=int)).empty


def test_a_crop_without_a_label_is_graded_without_complaint(crops):
    grader = grader_at_prior(crops)
    unlabelled = Crops(crops.pixels, crops.index.assign(grade=np.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(predict_grades(grader.eval(), unlabelled, np.array([0, 1]))) == 2


def test_training_beats_the_prior_on_what_can_be_seen(crops, rows, tmp_path):
    _, losses = train(crops, rows, tmp_path / "fold", epochs=6)
    assert len(losses) == 6
    assert losses[-1] < 0.7 * losses[0]


def test_the_same_seed_trains_the_same_weights_and_another_does_not(crops, rows, tmp_path):
    first, losses = train(crops, rows, tmp_path / "1", epochs=1)
    second, again = train(crops, rows, tmp_path / "2", epochs=1)
    other, _ = train(crops, rows, tmp_path / "3", epochs=1, seed=2)
    assert losses == again
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in first.items())


@pytest.mark.parametrize("crops_in_all", [8, 16, 40])
def test_a_training_of_few_steps_is_a_training(crops, rows, tmp_path, crops_in_all):
    # Two epochs of 8 crops a step: 2, 4 and 10 steps.
    _, losses = train(crops, rows[:crops_in_all], tmp_path / "fold", epochs=2)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_training_in_mixed_precision_can_be_asked_for_without_a_gpu(crops, rows, tmp_path, precision):
    _, losses = train(crops, rows, tmp_path / "fold", epochs=1, precision=precision)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_an_interrupted_training_goes_on_at_its_last_epoch(crops, rows, tmp_path, averaging):
    epochs, folder = 4, tmp_path / "fold"
    failing = FailingPixels(crops.pixels, limit=2.5 * len(rows))
    with pytest.raises(RuntimeError, match="the machine went down"):
        train(Crops(failing, crops.index), rows, folder, epochs=epochs, averaging=averaging)
    assert (folder / "last.ckpt").is_file()
    counting = FailingPixels(crops.pixels)
    state, losses = train(Crops(counting, crops.index), rows, folder, epochs=epochs, averaging=averaging)
    assert len(losses) == epochs
    assert counting.reads == 2 * len(rows), "two of the four epochs were done before"
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_a_training_whose_folder_is_moved_goes_on_at_the_newest_epoch_and_keeps_one_file(crops, rows, tmp_path):
    # Lightning names its file otherwise where the folder is not the one of the last call.
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder, moved_to, epochs_done in ((first, second, 2), (second, third, 4)):
        failing = FailingPixels(crops.pixels, limit=2.5 * len(rows))
        with pytest.raises(RuntimeError, match="the machine went down"):
            train(Crops(failing, crops.index), rows, folder, epochs=6)
        folder.rename(moved_to)
        (kept,) = moved_to.glob("*.ckpt")
        assert torch.load(kept, weights_only=True)["epoch"] + 1 == epochs_done
    counting = FailingPixels(crops.pixels)
    state, losses = train(Crops(counting, crops.index), rows, third, epochs=6)
    assert counting.reads == 2 * len(rows), "four of the six epochs were done before"
    assert len(list(third.glob("*.ckpt"))) == 1
    whole, of_whole = train(crops, rows, tmp_path / "whole", epochs=6)
    assert losses == of_whole
    assert all(torch.equal(tensor, whole[name]) for name, tensor in state.items())


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(crops, rows, tmp_path, averaging):
    settings = {"averaging": averaging, "epochs": 4, "dropout": 0.3, "mixup": 0.5}
    whole, losses = train(crops, rows, tmp_path / "whole", **settings)
    with pytest.raises(RuntimeError, match="the machine went down"):
        train(
            Crops(FailingPixels(crops.pixels, limit=2.5 * len(rows)), crops.index), rows, tmp_path / "cut", **settings
        )
    resumed, again = train(crops, rows, tmp_path / "cut", **settings)
    assert again == losses
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0, msg=name)


def test_averaged_weights_lag_behind_the_last_ones(crops, rows, tmp_path):
    start = grader_at_prior(crops)
    last, _ = train(crops, rows, tmp_path / "1", epochs=3)
    averaged, losses = train(crops, rows, tmp_path / "2", epochs=3, averaging=0.95)
    assert len(losses) == 3
    assert set(averaged) == set(last)

    def way(state: dict[str, torch.Tensor]) -> float:
        name = "head.level_bias.weight"
        return float((state[name] - start.state_dict()[name]).norm())

    assert 0 < way(averaged) < way(last)


def test_the_average_is_a_plain_mean_until_the_decay_is_slower_and_counts_are_taken_as_they_are():
    average, mean, count = moving_average(0.75), torch.tensor([1.0]), torch.tensor([5])
    for number, (now, expected) in enumerate([(3.0, 2.0), (8.0, 4.0), (0.0, 3.0), (7.0, 4.0)], start=1):
        average([mean], [torch.tensor([now])], torch.tensor(number))
        assert mean.item() == pytest.approx(expected, rel=1e-6)
    average([count], [torch.tensor([9])], torch.tensor(4))
    assert count.item() == 9


def test_the_average_lies_where_the_training_runs_and_not_where_the_module_is_before(crops):
    grader = grader_at_prior(crops)
    average = HeldAverage(multi_avg_fn=moving_average(0.9))
    # No GPU at hand: torch's device without memory stands for one.
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    average.setup(trainer, NetModule(grader, grader.config, steps=1, seed=0), "fit")
    held = {tensor.device.type for tensor in average._average_model.state_dict().values()}
    assert held == {"meta"}
    assert {tensor.device.type for tensor in grader.state_dict().values()} == {"cpu"}


@pytest.fixture
def saved(crops, rows, tmp_path) -> Path:
    """The stem of a trained and saved grader."""
    state, losses = train(crops, rows, tmp_path / "fold", epochs=1)
    grader = GraderConfig(**TINY, views="spinal").model_dump(mode="json")
    config = {"group": "spinal", "grader": grader, "views": {"spinal": VIEW.model_dump(mode="json")}}
    keep_grader(tmp_path / "spinal_fold0", state, config, loss_by_epoch=losses)
    return tmp_path / "spinal_fold0"


def test_a_saved_grader_is_rebuilt_from_its_card_alone(saved, crops, rows):
    grader = load_grader(saved)
    assert grader.config.backbone == TINY["backbone"]
    assert not grader.training
    once = predict_grades(grader, crops, rows)
    pd.testing.assert_frame_equal(once, predict_grades(load_grader(saved), crops, rows))
    assert not np.allclose(once[list(GRADES)].iloc[0], prior_of(crops)[0], atol=1e-3)


def test_a_saved_grader_is_asked_as_the_run_says_by_now(saved):
    trained = load_grader(saved).config
    turned = trained.model_copy(update={"turns": (-8.0, 0.0, 8.0), "epochs": 99})
    assert [look.turn for look in looks_of(load_grader(saved, turned))] == [-8, 0, 8]
    assert load_grader(saved, turned).config.epochs == trained.epochs


def test_a_detectors_checkpoint_is_no_grader(tmp_path):
    card = Card(
        kind="detector",
        classes=("canal",),
        fold=0,
        config={"scale": "p"},
        seed=0,
        fingerprint="x",
        training_studies=1,
        commit="unknown",
    )
    save_checkpoint(tmp_path / "detector_fold0", {"weight": torch.zeros(1)}, card)
    with pytest.raises(CheckpointError, match=r"detector_fold0\.json: expected a grader"):
        load_grader(tmp_path / "detector_fold0")


def test_a_missing_grader_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"spinal_fold7\.json: there is no card beside the weights"):
        load_grader(tmp_path / "spinal_fold7")


def pretrained(tmp_path: Path, classes: int) -> Path:
    """A backbone's weights for three channels, as a hub would give them."""
    torch.manual_seed(9)
    model = timm.create_model(TINY["backbone"], pretrained=False, in_chans=3, num_classes=classes)
    save_file(model.state_dict(), tmp_path / "backbone.safetensors")
    return tmp_path / "backbone.safetensors"


def features(backbone: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """The backbone's features of an image."""
    with torch.inference_mode():
        return backbone.eval().forward_features(image)


@pytest.mark.parametrize("slices", [3, 6])
def test_a_local_backbone_is_taken_over_and_sees_a_grey_image_as_before(tmp_path, slices):
    path = pretrained(tmp_path, classes=1000)
    original = timm.create_model(TINY["backbone"], pretrained=False, in_chans=3, num_classes=0)
    grader = Grader(GraderConfig(**TINY, views="spinal"), [VIEW.model_copy(update={"slices": slices})])
    grader.start_backbone_from(path)
    original.load_state_dict(
        {name: tensor for name, tensor in load_file(path).items() if name in original.state_dict()}, strict=True
    )
    grey = torch.rand(1, 1, 32, 32)
    mine = features(grader.encoder.backbone, grey.expand(-1, slices, -1, -1))
    torch.testing.assert_close(mine, features(original, grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_a_grader_can_start_where_another_ended(tmp_path):
    torch.manual_seed(1)
    ended, begun = (Grader(GraderConfig(**TINY, views="spinal"), [VIEW]) for _ in range(2))
    save_file(ended.state_dict(), tmp_path / "spinal_fold0.safetensors")
    begun.start_backbone_from(tmp_path / "spinal_fold0.safetensors")
    image = torch.rand(1, VIEW.slices, 32, 32)
    torch.testing.assert_close(features(begun.backbone, image), features(ended.backbone, image), rtol=0, atol=0)
    heads = (parameters_to_vector(grader.head.parameters()) for grader in (ended, begun))
    assert not torch.equal(*heads), "the other's answers are about other studies"


@pytest.mark.parametrize("classes", [1000, 3])
def test_a_backbones_classifier_is_never_taken_over(crops, tmp_path, classes):
    grader = grader_at_prior(crops)
    grader.start_backbone_from(pretrained(tmp_path, classes))
    predicted = predict_grades(grader.eval(), crops, np.array([0]))
    np.testing.assert_allclose(predicted[list(GRADES)].iloc[0].astype(float), prior_of(crops)[0], rtol=1e-6)


def test_weights_of_another_backbone_are_refused(tmp_path):
    grader = Grader(GraderConfig(**TINY | {"backbone": "test_resnet"}, views="spinal"), [VIEW])
    with pytest.raises(CheckpointError, match=r"backbone\.safetensors: lacks .* of the backbone"):
        grader.start_backbone_from(pretrained(tmp_path, classes=3))
