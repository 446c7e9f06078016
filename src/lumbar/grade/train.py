"""Training of one grader by Lightning: its last, averaged or best weights, resumable at every epoch."""

import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader
from tqdm import tqdm

from lumbar.baselines.samplers import Examples, balance, hold_out, keep_rows, loss_weights, trained_with, true_classes
from lumbar.baselines.targets import TARGETS
from lumbar.config import GradeConfig, Precision
from lumbar.crop.store import Crops
from lumbar.grade.data import CropDataset, EpochSampler
from lumbar.grade.net import Grader

WARMUP_SHARE = 0.1
"""The part of the steps in which the learning rate rises."""
STEPS_APART = 1_000_003
"""Between the random numbers of neighbouring seeds; more steps than a training has."""
PLATEAU_PATIENCE = 2
"""Epochs without progress after which the plateau schedule divides the learning rate by ten."""
Curves = dict[str, list[float]]
"""`loss`, `accuracy`, `watched_loss` and `watched_accuracy` of each epoch; the latter two are empty where nothing is
watched."""


class GraderModule(lightning.LightningModule):
    """The grader with its loss and optimiser."""

    weights: torch.Tensor

    def __init__(self, grader: Grader, config: GradeConfig, steps: int, weights: np.ndarray, seed: int) -> None:
        super().__init__()
        self.grader, self.config, self.steps, self.seed = grader, config, steps, seed
        self.target = TARGETS[config.target]
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        self.curves: Curves = {name: [] for name in ("loss", "accuracy", "watched_loss", "watched_accuracy")}
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self.resumed_plateau: dict[str, Any] | None = None

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        """The target's loss of a batch. Dropout draws the same whether or not training was interrupted before."""
        torch.manual_seed(STEPS_APART * self.seed + self.global_step)
        return self._measure(batch, "")

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """The same on the watched part of the training studies."""
        self._measure(batch, "watched_")

    def _measure(self, batch: dict[str, Any], prefix: str) -> torch.Tensor:
        outputs = self.grader(batch["crop"], batch["level"], batch["place"])
        loss = self.target.loss(outputs, batch["class"], batch, self.weights)
        right = (self.target.probabilities(outputs).argmax(dim=1) == batch["class"]).float().mean()
        figures = {f"{prefix}loss": loss, f"{prefix}accuracy": right}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(outputs))
        return loss

    def on_train_epoch_end(self) -> None:
        """Keeps the epoch's figures for the card, and lets the learning rate down where they stand still."""
        for name, values in self.curves.items():
            if name in self.trainer.callback_metrics:
                values.append(round(float(self.trainer.callback_metrics[name]), 4))
        if self.plateau:
            self.plateau.step(self.trainer.callback_metrics["watched_loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The figures so far, and the plateau's, go with the state that training resumes from."""
        checkpoint["curves"] = self.curves
        checkpoint["plateau"] = self.plateau.state_dict() if self.plateau else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them back."""
        self.curves, self.resumed_plateau = checkpoint["curves"], checkpoint["plateau"]

    def configure_optimizers(self) -> Any:
        """AdamW or Adam, with one of the three schedules."""
        rate, wanted = self.config.learning_rate, [one for one in self.grader.parameters() if one.requires_grad]
        fused = not torch.cuda.is_available()  # a third of a small batch's time; with 16-mixed it forbids clipping
        if self.config.optimiser == "adam":
            optimizer: torch.optim.Optimizer = torch.optim.Adam(wanted, lr=rate, fused=fused)
        else:
            optimizer = torch.optim.AdamW(wanted, lr=rate, weight_decay=self.config.weight_decay, fused=fused)
        if self.config.schedule == "plateau":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=PLATEAU_PATIENCE)
            self.plateau.load_state_dict(self.resumed_plateau or self.plateau.state_dict())
        if self.config.schedule != "one_cycle":
            return optimizer
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
) -> tuple[dict[str, torch.Tensor], Curves]:
    """Trains on some rows of the crops, whose index has `grade`; returns the weights and the figures of each epoch.

    Rows that the config drops are left out, the rest is balanced, and a part of the studies is watched if it watches
    one. `folder` holds what resuming needs; a folder of one training must not be given to another.
    """
    kept = keep_rows(crops.index, rows, config.examples)
    examples = balance(kept, true_classes(crops.index.iloc[kept], config.target), config.examples, seed)
    classes, shown = (true_classes(crops.index.iloc[part], config.target) for part in (rows, examples.rows))
    weights = trained_with(classes, shown, loss_weights(shown, config))
    grader.trained_with.copy_(torch.from_numpy(weights))
    return train_on(grader, crops, examples, "study_id", config, folder, seed, label)


def train_on(
    grader: Grader,
    crops: Crops,
    examples: Examples,
    kept_together: Literal["study_id"] | None,
    config: GradeConfig,
    folder: Path,
    seed: int,
    label: str,
) -> tuple[dict[str, torch.Tensor], Curves]:
    """Trains on examples as they are given; returns the weights and the figures of each epoch, as `train_grader`.

    What is watched is a part of the studies, or, as the papers have it, of the examples.
    """
    _hush()
    lightning.seed_everything(seed, workers=True, verbose=False)
    units = crops.index[kept_together].to_numpy()[examples.rows] if kept_together else np.arange(len(examples))
    watched = hold_out(units, seed) if config.watched else np.zeros(len(examples), bool)
    train, watch = examples.where(~watched), examples.where(watched)
    weights = loss_weights(true_classes(crops.index.iloc[train.rows], config.target), config)
    training, watching = _load(crops, train, config, seed), _load(crops, watch, config, None)
    module = GraderModule(grader, config, len(training) * config.epochs, weights, seed)
    trainer, resumed = _trainer(config, folder, label), folder / "last.ckpt"
    trainer.fit(
        module,
        training,
        watching if config.watched else None,
        ckpt_path=resumed if resumed.is_file() else None,
        weights_only=True,
    )
    if config.watched:
        best = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
        module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    return grader.state_dict(), module.curves


def _load(crops: Crops, examples: Examples, config: GradeConfig, seed: int | None) -> DataLoader:
    """Shuffled and augmented where a seed is given; workers only where a GPU would wait for one."""
    return DataLoader(
        CropDataset(crops, examples, config, seed),
        batch_size=config.batch_size,
        sampler=None if seed is None else EpochSampler(len(examples), seed),
        # A last batch of one crop has no variance for batch normalisation.
        drop_last=seed is not None and len(examples) > config.batch_size,
        num_workers=4 if torch.cuda.is_available() else 0,
    )


def _trainer(config: GradeConfig, folder: Path, label: str) -> lightning.Trainer:
    callbacks: list[Callback] = [EpochBar(label)]
    if config.averaging:
        callbacks.append(EMAWeightAveraging(decay=config.averaging))
    if config.watched:
        monitor, mode = f"watched_{config.watched}", "min" if config.watched == "loss" else "max"
        # The first one is what `checkpoint_callback` gives. Both write when the epoch's figures are complete.
        callbacks.append(ModelCheckpoint(folder / "best", monitor=monitor, mode=mode, save_on_train_epoch_end=True))
        if config.patience:
            callbacks.append(EarlyStopping(monitor, mode=mode, patience=config.patience, check_on_train_epoch_end=True))
    callbacks.append(ModelCheckpoint(folder, save_last=True, save_on_train_epoch_end=True))
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
