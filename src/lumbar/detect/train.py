"""Training of one fold's detector by Ultralytics' own trainer, made silent, offline and blind to the held-out fold.

It can be interrupted at any time: the same call goes on after the last whole epoch, and ends with the same weights.
"""

import io
import logging
from pathlib import Path
from typing import Any, cast
from unittest import mock

import torch
from pytorch_lightning.loggers import Logger
from tqdm import tqdm
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import LOGGER
from ultralytics.utils.torch_utils import init_seeds

from lumbar.config import DetectConfig
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.network import build_network, start_from
from lumbar.errors import InputError
from lumbar.records import written_whole

logger = logging.getLogger(__name__)

SEED_STEP = 1000
"""Between the seeds of a training's epochs: more than there are folds, whose seeds are neighbours."""


GPU_WORKERS = 8
"""Processes that prepare images for a GPU."""


class DivergedError(InputError):
    """A training whose weights are no numbers any more; the message says what to change."""


class LandmarkTraining(DetectionTrainer):
    """Ultralytics' trainer with our network and no validation: a fixed schedule, and nothing is chosen by a score.

    No experiment tracker is told of it. Ultralytics imports the trackers that are installed, and calls them with paths,
    figures and weights, for every class that has `Trainer` in its name: hence this one's.
    """

    def __init__(
        self,
        config: DetectConfig,
        images: list[Path],
        folder: Path,
        seed: int,
        label: str,
        logger: Logger | None = None,
    ) -> None:
        self.config, self.told = config, logger
        self.progress = tqdm(total=config.epochs, desc=label, unit="epoch")
        self.image_list, self.state = folder / "train.txt", folder / "last.ckpt"
        folder.mkdir(parents=True, exist_ok=True)
        self.image_list.write_text("".join(f"{image.resolve()}\n" for image in images))
        for labels in {image.parents[1] for image in images}:
            (labels / "labels.cache").unlink(missing_ok=True)  # Ultralytics' own, which it would unpickle
        LOGGER.setLevel(logging.ERROR)
        super().__init__(overrides=_overrides(config, folder, seed))
        self.callbacks.clear()  # they are Ultralytics' telemetry
        self.add_callback("on_train_epoch_start", lambda _: self._reseed())
        self.add_callback("on_train_epoch_end", lambda _: self._tell_epoch())
        self.add_callback("on_train_end", lambda _: self.progress.close())

    def get_dataset(self) -> dict[str, Any]:
        """The data as a mapping: Ultralytics' own reader may download fonts and archives."""
        names = dict(enumerate(CLASS_NAMES))
        listed = str(self.image_list)
        return {"train": listed, "val": listed, "names": names, "nc": len(names), "channels": 3, "path": listed}

    def setup_model(self) -> None:
        """Our network, started from local weights where the config names some."""
        torch.manual_seed(self.args.seed)
        network = build_network(self.config.scale)
        if self.config.weights:
            count = start_from(network, self.config.weights)
            logger.info("%s: %d tensors are what training starts from", self.config.weights, count)
        # A fifth faster on a CPU, as the batches are.
        self.model: Any = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch as the network wants it."""
        batch = super().preprocess_batch(batch)
        return {**batch, "img": batch["img"].contiguous(memory_format=torch.channels_last)}

    def validate(self) -> tuple[dict[str, float], float]:
        """Nothing: the held-out fold chooses nothing."""
        return {}, 0.0

    def final_eval(self) -> None:
        """Nothing, see `validate`."""

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Whether the epoch is to be done again, which it never is; DivergedError where weights are not finite.

        In half precision a batch's loss may overflow, whose step is then left out, and training goes on. Ultralytics
        would look at the last loss of an epoch, and for a file of its own to go back to. Here the epoch would draw the
        same again.
        """
        states: list[dict[str, torch.Tensor]] = [self.model.state_dict(), cast(Any, self.ema).ema.state_dict()]
        if all(tensor.isfinite().all() for state in states for tensor in state.values()):
            return False
        raise DivergedError(
            f"{self.state.parent}: the detector's weights are no longer finite after epoch {epoch + 1} of "
            f"{self.epochs}; take a smaller detect.learning_rate than {self.config.learning_rate:g}"
        )

    def save_model(self) -> bool:
        """Only what resuming needs, as tensors and numbers: Ultralytics would write a pickle of its classes."""
        if self.epoch + 1 < self.epochs:
            average, optimizer = cast(Any, self.ema), cast(Any, self.optimizer)
            state = {
                "epoch": self.epoch,
                "model": self.model.state_dict(),
                "average": average.ema.state_dict(),
                "updates": average.updates,
                "optimizer": optimizer.state_dict(),
                "scaler": cast(Any, self).scaler.state_dict(),
            }
            content = io.BytesIO()  # written to a full disk, torch raises a RuntimeError of its own
            torch.save(state, content)
            with written_whole(self.state) as beside:
                beside.write_bytes(content.getbuffer())
        return False

    def resume_training(self, ckpt: Any) -> None:
        """Takes up what an interrupted training left in the folder; Ultralytics' own way would unpickle it."""
        if not self.state.is_file():
            return
        state = torch.load(self.state, map_location="cpu", weights_only=True)
        average, optimizer = cast(Any, self.ema), cast(Any, self.optimizer)
        self.model.load_state_dict(state["model"])
        average.ema.load_state_dict(state["average"])
        average.updates = state["updates"]
        optimizer.load_state_dict(state["optimizer"])
        cast(Any, self).scaler.load_state_dict(state["scaler"])
        self.start_epoch = state["epoch"] + 1
        self.progress.update(self.start_epoch)

    def _tell_epoch(self) -> None:
        """The epoch's losses for the logger, if there is one, and the bar."""
        if self.told:
            losses: Any = self.tloss
            self.told.log_metrics({name: float(value) for name, value in losses.items()}, self.epoch)
            self.told.save()
        self.progress.update()

    def _reseed(self) -> None:
        """Lets an epoch's order and augmentation depend on nothing but the seed and the epoch.

        So a training that was interrupted repeats the one that was not.
        """
        seed = self.args.seed + 1 + SEED_STEP * self.epoch  # + 1 as Ultralytics has it
        init_seeds(seed, deterministic=True)
        self.train_loader.generator.manual_seed(seed)
        self.train_loader.reset()  # its workers have drawn ahead


def _overrides(config: DetectConfig, folder: Path, seed: int) -> dict[str, Any]:
    return {
        "model": "yolov8.yaml",
        "data": "landmarks",
        "project": str(folder.parent.resolve()),
        "name": folder.name,
        "exist_ok": True,
        "seed": seed,
        "deterministic": True,
        "device": "0" if torch.cuda.is_available() else "cpu",
        "amp": torch.cuda.is_available(),  # without its check, see `train_detector`
        "plots": False,  # they download a font
        "verbose": False,
        "val": False,
        "workers": GPU_WORKERS if torch.cuda.is_available() else 2,
        "imgsz": config.image_size,
        "epochs": config.epochs,
        "patience": config.epochs,
        "batch": config.batch_size,
        "nbs": config.batch_size,  # a step for each batch, without accumulation
        "optimizer": "AdamW",
        "lr0": config.learning_rate,
        "lrf": 0.05,
        "cos_lr": True,
        "warmup_epochs": 2.0,
        # Biases begin at a rate of .1 and fall to the others'. It helps where they know nothing, and throws away what
        # they have learned elsewhere (LAB.md, 2026-11-30).
        "warmup_bias_lr": 0.0 if config.weights else 0.1,
        # Left and right, head and foot have a meaning here, and a spine cut into four has lost its levels.
        "fliplr": 0.0,
        "flipud": 0.0,
        "mosaic": 0.0,
        "close_mosaic": 0,
        "degrees": 8.0,
        "translate": config.shift_jitter,
        "scale": config.scale_jitter,
        "hsv_h": 0.0,
        "hsv_s": 0.0,
        "hsv_v": 0.4,
        "erasing": 0.0,
        "augmentations": [],  # its default ones draw from an unseeded generator
    }


def train_detector(
    config: DetectConfig, images: list[Path], folder: Path, seed: int, label: str, logger: Logger | None = None
) -> dict[str, torch.Tensor]:
    """Trains a detector on images with label files beside them, and returns its averaged weights (float32)."""
    threads = torch.get_num_threads()
    trainer = LandmarkTraining(config, images, folder, seed, label, logger)
    try:
        # Ultralytics tries mixed precision on a model that it downloads for that.
        with mock.patch("ultralytics.engine.trainer.check_amp", lambda _: True):
            trainer.train()
    finally:
        torch.set_num_threads(threads)  # it takes one less than there are cores, for good
    averaged: Any = trainer.ema
    return {name: tensor.float() for name, tensor in averaged.ema.state_dict().items()}
