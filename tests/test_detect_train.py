"""The detector's training: it repeats itself to the byte, and an interruption costs no whole epoch."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from lumbar.config import DetectConfig
from lumbar.detect.detector import Detector
from lumbar.detect.train import DivergedError, LandmarkTraining, train_detector
from lumbar.run.loggers import open_logger

TRACKERS = ("clearml", "comet_ml", "dvclive", "mlflow", "neptune", "ray", "tensorboard", "wandb")
"""The packages that Ultralytics tells of a training where they are installed."""
TRAIN_WITH_ALL_TRACKERS = """
import sys
from pathlib import Path
from lumbar.offline import go_offline
go_offline()
from ultralytics.utils import SETTINGS, TESTS_RUNNING
assert not TESTS_RUNNING  # or Ultralytics would call no tracker anyway
dict.update(SETTINGS, {key: True for key, value in SETTINGS.items() if value is False})
from lumbar.config import DetectConfig
from lumbar.detect.train import train_detector
images = sorted(Path(sys.argv[1]).iterdir())
train_detector(DetectConfig(scale="p", image_size=64, epochs=1, batch_size=4), images, Path("training"), 0, "tracked")
sys.exit("ultralytics.utils.callbacks.platform" in sys.modules)
"""
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
    trainer = LandmarkTraining(CONFIG, images, folder, seed, "interrupted")

    def stop(trainer: LandmarkTraining) -> None:
        if trainer.epoch + 1 == epochs:
            raise KeyboardInterrupt

    trainer.add_callback("on_fit_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_ends_with_the_weights_of_the_one_that_was_not(images, uninterrupted, tmp_path, epochs):
    interrupt_after(epochs, images, tmp_path / "training", SEED)
    trainer = LandmarkTraining(CONFIG, images, tmp_path / "training", SEED, "resumed")
    trainer.train()
    assert trainer.start_epoch == min(epochs, CONFIG.epochs - 1)
    resumed = train_detector(CONFIG, images, tmp_path / "training", SEED, "resumed again")
    assert all(torch.equal(tensor, uninterrupted[name]) for name, tensor in resumed.items())


def test_another_seed_trains_other_weights(images, uninterrupted, tmp_path):
    other = train_detector(CONFIG, images, tmp_path / "training", SEED + 1, "other")
    assert any(not torch.equal(tensor, uninterrupted[name]) for name, tensor in other.items())


def test_only_biases_that_know_nothing_yet_are_warmed_up_steeply(images, tmp_path):
    for weights, rate in ((None, 0.1), (Path("yolov8n.safetensors"), 0.0)):
        config = CONFIG.model_copy(update={"weights": weights})
        assert LandmarkTraining(config, images, tmp_path, 0, "test").args.warmup_bias_lr == rate


def test_a_logger_is_told_of_each_epoch_and_changes_nothing(images, uninterrupted, tmp_path):
    logger = open_logger("csv", "run", tmp_path, "detector_fold0")
    logged = train_detector(CONFIG, images, tmp_path / "training", SEED, "logged", logger)
    assert all(torch.equal(tensor, uninterrupted[name]) for name, tensor in logged.items())
    told = pd.read_csv(tmp_path / "logs" / "detector_fold0" / "version_0" / "metrics.csv")
    assert told["step"].tolist() == list(range(CONFIG.epochs))
    assert (told[["box_loss", "cls_loss", "dfl_loss"]] > 0).all(axis=None)


def spoil(images: list[Path], folder: Path, spoiled) -> LandmarkTraining:
    """A training in whose second epoch something is spoiled, as on a GPU in half precision; none is at hand."""
    trainer = LandmarkTraining(CONFIG, images, folder, SEED, "spoiled")
    trainer.add_callback("on_train_epoch_end", lambda trainer: spoiled(trainer) if trainer.epoch == 1 else None)
    return trainer


def test_a_loss_that_overflows_in_an_epochs_last_batch_ends_no_training(images, uninterrupted, tmp_path):
    def overflow(trainer: LandmarkTraining) -> None:
        trainer.loss = torch.tensor(np.inf)

    trainer = spoil(images, tmp_path / "training", overflow)
    trainer.train()
    weights = trainer.ema.ema.state_dict()
    assert all(torch.equal(tensor, weights[name].float()) for name, tensor in uninterrupted.items())


def test_weights_that_are_no_numbers_end_a_training_with_what_to_change(images, tmp_path):
    def diverge(trainer: LandmarkTraining) -> None:
        next(trainer.model.parameters()).data[0] = np.nan

    trainer = spoil(images, tmp_path / "training", diverge)
    message = r"training: .* no longer finite after epoch 2 of 3; take a smaller detect\.learning_rate than 0\.00"
    with pytest.raises(DivergedError, match=message):
        trainer.train()
    kept = torch.load(trainer.state, weights_only=True)
    assert kept["epoch"] == 0
    assert all(tensor.isfinite().all() for tensor in kept["model"].values())


def test_what_training_resumes_from_holds_no_code(images, tmp_path):
    interrupt_after(1, images, tmp_path / "training", SEED)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "training" / "last.ckpt") == []
    assert not list((tmp_path / "training").rglob("*.pt"))


def test_no_experiment_tracker_is_told_of_a_training(images, tmp_path):
    told = tmp_path / "told.txt"
    for name in TRACKERS:
        (tmp_path / "packages" / name).mkdir(parents=True)
        code = f"__version__ = '9.9'\nwith open({str(told)!r}, 'a') as file:\n    print({name!r}, file=file)\n"
        (tmp_path / "packages" / name / "__init__.py").write_text(code)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "GITHUB"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path / "packages"), *filter(None, sys.path)])}
    environment |= {"YOLO_CONFIG_DIR": str(tmp_path), "ULTRALYTICS_API_KEY": "key", "WANDB_API_KEY": "key"}
    command = [sys.executable, "-c", TRAIN_WITH_ALL_TRACKERS, str(images[0].parent)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not told.exists(), told.read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["Ultralytics", "packages", "training"]


def test_a_detector_works_as_it_was_trained_whatever_the_config_says_by_now(trained):
    stem = next(trained.models.glob("detector_fold*.json")).with_suffix("")
    config = trained.config.detect.model_copy(update={"mm_per_pixel": 9.0, "min_confidence": 0.5})
    detector = Detector.load(stem, config)
    assert detector.config == trained.config.detect.model_copy(update={"min_confidence": 0.5})
