"""Training of a published system's net, as its paper has it: its optimiser and schedule, watched, balanced; or, of a
classical one, fitted at once."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import Logger

from lumbar.baselines.data import SystemDataset
from lumbar.baselines.net import SystemNet
from lumbar.baselines.samplers import (
    Examples,
    Numbers,
    balance,
    hold_out,
    loss_weights,
    trained_with,
    true_classes,
)
from lumbar.baselines.targets import TARGETS
from lumbar.config import FitConfig, PublishedConfig
from lumbar.crop.crops import Crops
from lumbar.errors import InputError
from lumbar.grade.fitted import FittedHead
from lumbar.grade.train import (
    Curves,
    NetModule,
    State,
    batches_of,
    curves_of_fit,
    fit,
    may_fuse,
    seed_training,
    steps_of,
)

PLATEAU_PATIENCE = 2
"""Epochs without progress after which the plateau schedule divides the learning rate by ten."""


class SystemModule(NetModule):
    """A system's net with its target's loss and its paper's optimiser."""

    weights: torch.Tensor

    def __init__(self, net: SystemNet, steps: int, weights: np.ndarray, seed: int) -> None:
        super().__init__(net, net.grade, steps, seed)
        self.target, self.how = net.target, net.published.fit
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self.resumed_plateau: dict[str, Any] | None = None

    def judge(self, outputs: torch.Tensor, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The target's loss of outputs (B, O), and which of them (B,) are right."""
        right = self.target.probabilities(outputs).argmax(dim=1) == batch["class"]
        return self.target.loss(outputs, batch["class"], batch, self.weights), right

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """Measures a batch of the watched part of the training studies."""
        self.measure(batch, "watched_")

    def on_train_epoch_end(self) -> None:
        """Lets the learning rate down where the watched loss stands still."""
        super().on_train_epoch_end()
        if self.plateau:
            self.plateau.step(self.trainer.callback_metrics["watched_loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The plateau's state goes with what training resumes from."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["plateau"] = self.plateau.state_dict() if self.plateau else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back."""
        super().on_load_checkpoint(checkpoint)
        self.resumed_plateau = checkpoint["plateau"]

    def configure_optimizers(self) -> Any:
        """AdamW or Adam, with one of the three schedules."""
        optimizer = self.adam() if self.how.optimiser == "adam" else self.adamw()
        if self.how.schedule == "one_cycle":
            return self.one_cycle(optimizer)
        if self.how.schedule == "plateau":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=PLATEAU_PATIENCE)
            self.plateau.load_state_dict(self.resumed_plateau or self.plateau.state_dict())
        return optimizer

    def adam(self) -> torch.optim.Optimizer:
        """Adam as the papers have it, without weight decay."""
        return torch.optim.Adam(self.trained_parameters(), lr=self.config.learning_rate, fused=may_fuse(self.config))


def train_system(
    net: SystemNet,
    crops: Crops,
    rows: Numbers,
    known: Numbers,
    folder: Path,
    seed: int,
    label: str,
    logger: Logger | None = None,
) -> tuple[State, Curves]:
    """Trains on some rows of the crops, whose index has `grade`; returns the weights and the figures of each epoch.

    The rows are balanced as the config says, and a part of the studies is watched if it watches one. `known` are all
    rows with a class, also those that are left out of training: of them as a whole the net is asked. `folder` holds
    what resuming needs; a folder of one training must not be given to another.
    """
    published = net.published
    examples = balance(rows, _classes(crops, rows, published), published.examples, seed)
    classes, shown = (_classes(crops, some, published) for some in (known, examples.rows))
    net.trained_with.copy_(torch.from_numpy(trained_with(classes, shown, loss_weights(shown, published))))
    return train_on(net, crops, examples, True, folder, seed, label, logger)


def _classes(crops: Crops, rows: Numbers, published: PublishedConfig) -> Numbers:
    return true_classes(crops.index.iloc[rows], TARGETS[published.target])


def train_on(
    net: SystemNet,
    crops: Crops,
    examples: Examples,
    by_study: bool,
    folder: Path,
    seed: int,
    label: str,
    logger: Logger | None = None,
) -> tuple[State, Curves]:
    """Trains on examples as they are given; returns the weights and the figures of each epoch, as `train_system`.

    What is watched is a part of the studies where `by_study`, else, as the papers have it, of the examples.
    """
    if isinstance(net.head, FittedHead):
        return fit_at_once(net, net.head, crops, examples, seed)
    config, published, how, batch_size = net.config, net.published, net.published.fit, net.grade.batch_size
    seed_training(seed)
    units = crops.index["study_id"].to_numpy()[examples.rows] if by_study else np.arange(len(examples))
    watched = hold_out(units, how.watched_share, seed) if how.holds_out else np.zeros(len(examples), bool)
    shown = examples.where(~watched)
    if not len(shown):
        raise InputError(f"{label}: {len(examples)} crops of one study, all of them watched; expected more studies")
    training = batches_of(SystemDataset(crops, shown, config, seed), batch_size, seed)
    weights = loss_weights(_classes(crops, shown.rows, published), published)
    module = SystemModule(net, steps_of(training, net.grade), weights, seed)
    held_out = SystemDataset(crops, examples.where(watched), config)
    watching, callbacks = batches_of(held_out, batch_size) if how.holds_out else None, _watch(how, folder)
    fit(module, training, net.grade, folder, label, watching, callbacks, logger)
    if callbacks:
        best = callbacks[0].best_model_path  # type: ignore[attr-defined]  # the first is a ModelCheckpoint
        module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    return net.state_dict(), module.curves


@torch.inference_mode()
def fit_at_once(net: SystemNet, head: FittedHead, crops: Crops, examples: Examples, seed: int) -> tuple[State, Curves]:
    """Fits a net's classical head to the backbone's features of examples; the curves are of one epoch."""
    batches = batches_of(SystemDataset(crops, examples, net.config), net.grade.batch_size)
    net.eval()
    features = torch.cat([net.features(batch["crop"]) for batch in batches])
    truth = _classes(crops, examples.rows, net.published)
    weights = loss_weights(truth, net.published)
    head.fit(features.numpy(), truth, weights[truth], seed)
    outputs, classes = head(features), torch.from_numpy(truth)
    loss = net.target.loss(outputs, classes, {}, torch.from_numpy(weights).float())
    return net.state_dict(), curves_of_fit(loss, outputs, classes)


def _watch(how: FitConfig, folder: Path) -> list[Callback]:
    """What keeps the weights of the best epoch, and stops where there is no progress; both when its figures are
    complete."""
    if how.best_by is None:
        return []
    best = ModelCheckpoint(
        folder / "best", monitor=how.best_by, mode=_better(how.best_by), save_on_train_epoch_end=True
    )
    if how.patience is None:
        return [best]
    stopping = EarlyStopping(
        how.stops_by, mode=_better(how.stops_by), patience=how.patience, check_on_train_epoch_end=True
    )
    return [best, stopping]


def _better(figure: str) -> Literal["min", "max"]:
    return "min" if figure.endswith("loss") else "max"
