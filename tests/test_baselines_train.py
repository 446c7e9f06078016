"""Training as the papers have it: watched, patient, with a plateau, and resumed as if it had never stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graded_crops import CONDITION, TINY, FailingPixels, draw_crops
from lumbar.baselines.net import SystemNet
from lumbar.baselines.train import train_system
from lumbar.config import Config, GradeConfig, PublishedConfig
from lumbar.crop.crops import Crops
from lumbar.data.priors import fit_prior
from lumbar.errors import InputError
from lumbar.grade.head import level_prior


@pytest.fixture(scope="module")
def crops() -> Crops:
    """Five levels of a few studies, with a place that tells nothing."""
    drawn = draw_crops()
    return Crops(drawn.pixels, drawn.index.assign(place_x=0.5, place_y=0.5))


@pytest.fixture(scope="module")
def rows(crops) -> np.ndarray:
    """Every row."""
    return np.arange(len(crops.index))


def net_at_prior(crops: Crops, fit: dict, **grade) -> SystemNet:
    """An untrained net that starts at the crops' prior."""
    config = Config(
        name="x",
        grade=GradeConfig(**TINY | {"epochs": 3} | grade),
        published=PublishedConfig.model_validate({"fit": fit}),
    )
    torch.manual_seed(5)
    net = SystemNet(config, slices=3)
    net.start_at_prior(level_prior(fit_prior(crops.index.assign(group="spinal")), [CONDITION]))
    return net


def train(crops: Crops, rows: np.ndarray, folder: Path, fit: dict, **grade):
    """The weights and losses of a net trained from the prior."""
    state, curves = train_system(net_at_prior(crops, fit, **grade), crops, rows, rows, folder, 1, "test")
    return state, curves["loss"]


SCHEDULES = {
    "plateau": {"schedule": "plateau", "optimiser": "adam", "patience": 5},
    "best": {"watch": "accuracy", "schedule": "constant"},
}


@pytest.mark.parametrize("fit", SCHEDULES.values(), ids=SCHEDULES)
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(crops, rows, tmp_path, fit):
    settings = {"epochs": 4, "dropout": 0.3}
    whole, losses = train(crops, rows, tmp_path / "whole", fit, **settings)
    with pytest.raises(RuntimeError, match="the machine went down"):
        failing = Crops(FailingPixels(crops.pixels, limit=2.5 * len(rows)), crops.index)
        train(failing, rows, tmp_path / "cut", fit, **settings)
    resumed, again = train(crops, rows, tmp_path / "cut", fit, **settings)
    assert again == losses
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0, msg=name)


def test_without_progress_training_stops_early_and_keeps_the_best_weights(crops, rows, tmp_path):
    state, losses = train(crops, rows, tmp_path / "fold", {"patience": 1}, epochs=6, learning_rate=1e-12)
    assert len(losses) == 2, "the first epoch is the best, and the second shows no progress"
    start = net_at_prior(crops, {})
    np.testing.assert_allclose(state["level_bias.weight"], start.state_dict()["level_bias.weight"], atol=1e-6)


def test_with_progress_patience_lets_training_run_and_watches_studies_it_does_not_train_on(crops, rows, tmp_path):
    counting = FailingPixels(crops.pixels)
    _, losses = train(Crops(counting, crops.index), rows, tmp_path / "fold", {"patience": 3}, epochs=3)
    assert len(losses) == 3
    # Of 8 studies one is watched: 35 crops are trained on, in batches of 8 without the last three; 5 are watched.
    per_epoch = (4 * 8 + 5, 35 + 5)
    assert 3 * per_epoch[0] <= counting.reads <= 3 * per_epoch[1] + 2 * 5


def test_the_best_epoch_can_be_that_of_the_accuracy_on_what_is_trained_on(crops, rows, tmp_path):
    fit = {"schedule": "constant", "optimiser": "adam"}
    settings = {"learning_rate": 3e-2, "dropout": 0.5, "epochs": 6}
    watching = net_at_prior(crops, fit | {"watch": "training_accuracy"}, **settings)
    state, curves = train_system(watching, crops, rows, rows, tmp_path / "watched", 1, "test")
    best = int(np.argmax(curves["accuracy"]))
    assert best < 5, "the last epoch is not the best"
    assert not curves["watched_loss"], "no part is held out"
    stopped, _ = train(crops, rows, tmp_path / "stopped", fit, **settings | {"epochs": best + 1})
    for name, tensor in stopped.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0, msg=name)


def test_the_share_that_is_watched_is_the_configs(crops, rows, tmp_path):
    counting = FailingPixels(crops.pixels)
    fit = {"watch": "loss", "watched_share": 0.5, "schedule": "constant"}
    train(Crops(counting, crops.index), rows, tmp_path / "fold", fit, epochs=1)
    # Of 8 studies four are watched: 20 crops are trained on, in batches of 8 without the last four; 20 are watched, of
    # which two batches are also looked at before.
    assert counting.reads == 16 + 20 + 16


def test_a_single_study_of_which_a_part_would_be_watched_is_refused(crops, tmp_path):
    one = np.flatnonzero(crops.index["study_id"] == crops.index["study_id"].iloc[0])
    with pytest.raises(InputError, match=r"test: 5 crops of one study, all of them watched; expected more studies"):
        train(crops, one, tmp_path, SCHEDULES["best"], batch_size=2)
