"""Training of one grader by Lightning: a fixed schedule, its last or averaged weights, resumable at every epoch."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, get_worker_info
from tqdm import tqdm

from lumbar.config import GradeConfig, Precision
from lumbar.crop.store import Crops
from lumbar.grade.data import CropDataset, augment, centre
from lumbar.grade.network import Grader
from lumbar.labels import GRADE_WEIGHTS

WATCHED_SHARE = 0.15
"""The part of the training studies that early stopping looks at."""
WARMUP_SHARE = 0.1
"""The part of the steps in which the learning rate rises."""


class GraderModule(lightning.LightningModule):
    """The grader with its loss and optimiser."""

    def __init__(self, grader: Grader, config: GradeConfig, steps: int) -> None:
        super().__init__()
        self.grader, self.config, self.steps = grader, config, steps
        self.loss = nn.CrossEntropyLoss(weight=torch.tensor(GRADE_WEIGHTS))
        self.losses: list[float] = []

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        """The metric's loss of a batch."""
        loss = self.loss(self.grader(batch["crop"], batch["level"]), batch["grade"])
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """The same on the watched part of the training studies."""
        self.log("watched_loss", self.loss(self.grader(batch["crop"], batch["level"]), batch["grade"]))

    def on_train_epoch_end(self) -> None:
        """Keeps the epoch's mean loss for the card."""
        self.losses.append(round(float(self.trainer.callback_metrics["loss"]), 4))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The losses so far go with the state that training resumes from."""
        checkpoint["losses"] = self.losses

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them back."""
        self.losses = checkpoint["losses"]

    def configure_optimizers(self) -> Any:
        """AdamW, with a rise and a cosine."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        optimizer = torch.optim.AdamW(self.grader.parameters(), lr=rate, weight_decay=decay)
        rise = min(0.6, max(WARMUP_SHARE, 2 / self.steps))  # OneCycleLR divides by zero where the rise is one step
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, self.steps + 1, pct_start=rise)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class EpochBar(Callback):
    """A progress bar over epochs."""

    def __init__(self, label: str) -> None:
        self.label = label

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Opens the bar where training starts or goes on."""
        self.bar = tqdm(total=trainer.max_epochs, initial=trainer.current_epoch, desc=self.label, unit="epoch")

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Shows the epoch's loss."""
        self.bar.set_postfix(loss=f"{trainer.callback_metrics['loss']:.3f}")
        self.bar.update()

    def on_train_end(self, *_: Any) -> None:
        """Closes the bar."""
        self.bar.close()


def train_grader(
    grader: Grader, crops: Crops, rows: np.ndarray, config: GradeConfig, folder: Path, seed: int, label: str
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Trains on some rows of the crops, whose index has `grade`; returns the weights and the loss of each epoch.

    `folder` holds what resuming needs; a folder of one training must not be given to another.
    """
    _hush()
    lightning.seed_everything(seed, workers=True, verbose=False)
    watched = _watched(crops.index["study_id"].to_numpy()[rows], seed) if config.patience else np.zeros(len(rows), bool)
    train = _loader(crops, rows[~watched], config, seed)
    watch = _loader(crops, rows[watched], config, None) if config.patience else None
    module = GraderModule(grader, config, steps=len(train) * config.epochs)
    trainer = _trainer(config, folder, label)
    resumed = folder / "last.ckpt"
    trainer.fit(module, train, watch, ckpt_path=resumed if resumed.is_file() else None, weights_only=True)
    if config.patience:
        best = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
        module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    return grader.state_dict(), module.losses


def _watched(study_ids: np.ndarray, seed: int) -> np.ndarray:
    """Which rows belong to the studies that early stopping looks at."""
    studies = np.unique(study_ids)
    count = max(1, round(WATCHED_SHARE * len(studies)))
    return np.isin(study_ids, np.random.default_rng(seed).permutation(studies)[:count])


def _loader(crops: Crops, rows: np.ndarray, config: GradeConfig, seed: int | None) -> DataLoader:
    """Shuffled and augmented where a seed is given; workers only where a GPU would wait for one."""
    transform = centre(config.image_size) if seed is None else augment(config.image_size, seed)
    return DataLoader(
        CropDataset(crops, rows, transform),
        batch_size=config.batch_size,
        shuffle=seed is not None,
        # A last batch of one crop has no variance for batch normalisation.
        drop_last=seed is not None and len(rows) > config.batch_size,
        num_workers=4 if torch.cuda.is_available() else 0,
        worker_init_fn=_reseed_augmentation,
    )


def _reseed_augmentation(_: int) -> None:
    """Gives each worker in each epoch draws of its own: a forked worker would repeat its parent's."""
    worker: Any = get_worker_info()
    worker.dataset.transform.set_random_seed(worker.seed % 2**32)


def _trainer(config: GradeConfig, folder: Path, label: str) -> lightning.Trainer:
    monitor = "watched_loss" if config.patience else None
    callbacks: list[Callback] = [EpochBar(label), ModelCheckpoint(folder, save_last=True, monitor=monitor)]
    if config.averaging:
        callbacks.append(EMAWeightAveraging(decay=config.averaging))
    if config.patience:
        callbacks.append(EarlyStopping("watched_loss", patience=config.patience))
    automatic: Precision = "16-mixed" if torch.cuda.is_available() else "32-true"
    return lightning.Trainer(
        max_epochs=config.epochs,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision=automatic if config.precision == "auto" else config.precision,
        gradient_clip_val=1.0,
        deterministic="warn",
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def _hush() -> None:
    """Lightning's advice on workers and its banner would drown our progress bars."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
