"""The detector's training: it repeats itself to the byte, and an interruption costs no whole epoch."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lumbar.config import DetectConfig
from lumbar.detect.detector import Detector
from lumbar.detect.train import LandmarkTrainer, train_detector

CONFIG = DetectConfig(scale="p", image_size=64, epochs=3, batch_size=4)
SEED = 5


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten noisy images with a bright square each, and its label."""
    folder = tmp_path_factory.mktemp("yolo")
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(10):
        x, y = rng.integers(16, 48, 2)
        pixels = rng.integers(0, 60, (64, 64)).astype(np.uint8)
        pixels[y - 6 : y + 6, x - 6 : x + 6] = 200
        cv2.imwrite(str(folder / "images" / f"{number}.png"), pixels)
        (folder / "labels" / f"{number}.txt").write_text(f"2 {x / 64} {y / 64} 0.2 0.2\n")
    return sorted((folder / "images").iterdir())


@pytest.fixture(scope="module")
def uninterrupted(images, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of a training that ran through."""
    return train_detector(CONFIG, images, tmp_path_factory.mktemp("whole") / "training", SEED, "whole")


def interrupt_after(epochs: int, images: list[Path], folder: Path, seed: int) -> None:
    """Trains some epochs and stops as a killed process does: without a word."""
    trainer = LandmarkTrainer(CONFIG, images, folder, seed, "interrupted")

    def stop(trainer: LandmarkTrainer) -> None:
        if trainer.epoch + 1 == epochs:
            raise KeyboardInterrupt

    trainer.add_callback("on_fit_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_ends_with_the_weights_of_the_one_that_was_not(images, uninterrupted, tmp_path, epochs):
    interrupt_after(epochs, images, tmp_path / "training", SEED)
    trainer = LandmarkTrainer(CONFIG, images, tmp_path / "training", SEED, "resumed")
    trainer.train()
    assert trainer.start_epoch == min(epochs, CONFIG.epochs - 1)
    resumed = train_detector(CONFIG, images, tmp_path / "training", SEED, "resumed again")
    assert all(torch.equal(tensor, uninterrupted[name]) for name, tensor in resumed.items())


def test_another_seed_trains_other_weights(images, uninterrupted, tmp_path):
    other = train_detector(CONFIG, images, tmp_path / "training", SEED + 1, "other")
    assert any(not torch.equal(tensor, uninterrupted[name]) for name, tensor in other.items())


def test_what_training_resumes_from_holds_no_code(images, tmp_path):
    interrupt_after(1, images, tmp_path / "training", SEED)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "training" / "last.ckpt") == []
    assert not list((tmp_path / "training").rglob("*.pt"))


def test_a_detector_works_as_it_was_trained_whatever_the_config_says_by_now(trained):
    stem = next(trained.models.glob("detector_fold*.json")).with_suffix("")
    config = trained.config.detect.model_copy(update={"mm_per_pixel": 9.0, "min_confidence": 0.5})
    detector = Detector.load(stem, config)
    assert detector.config == trained.config.detect.model_copy(update={"min_confidence": 0.5})
