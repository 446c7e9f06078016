"""Training of one grader by Lightning: its last or averaged weights, resumable at every epoch."""

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, WeightAveraging
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from lumbar.config import GradeConfig, Precision
from lumbar.crop.crops import Crops
from lumbar.grade.data import GPU_WORKERS, UNMARKED, CropDataset, EpochSampler, ViewDataset
from lumbar.grade.metric_loss import soft_loss
from lumbar.grade.mixing import mix, targets_of
from lumbar.grade.net import Answer, Grader
from lumbar.grade.texture_grader import TextureGrader
from lumbar.labels import GRADE_WEIGHTS

WARMUP_SHARE = 0.1
"""The part of the steps in which the learning rate rises."""
STEPS_APART = 1_000_003
"""Between the random numbers of neighbouring seeds; more steps than a training has."""
Curves = dict[str, list[float]]
"""`loss`, `accuracy`, `watched_loss` and `watched_accuracy` of each epoch; the latter two are empty where nothing is
watched."""
State = dict[str, torch.Tensor]


class NetModule(lightning.LightningModule):
    """A net with its loss and optimiser."""

    def __init__(self, net: nn.Module, config: GradeConfig, steps: int, seed: int) -> None:
        super().__init__()
        self.net, self.config, self.steps, self.seed = net, config, steps, seed
        self.curves: Curves = {name: [] for name in ("loss", "accuracy", "watched_loss", "watched_accuracy")}

    def training_step(self, batch: dict[str, Any], number: int) -> torch.Tensor:
        """The loss of a batch. Dropout draws the same whether or not training was interrupted before."""
        done = self.trainer.current_epoch * int(self.trainer.num_training_batches)
        torch.manual_seed(STEPS_APART * self.seed + done + number)
        return self.measure(batch, "")

    def measure(self, batch: dict[str, Any], prefix: str) -> torch.Tensor:
        """The loss of a batch, which is logged with the accuracy under names that begin with the prefix."""
        inputs: tuple[str, ...] = self.net.inputs  # type: ignore[assignment]  # of every net of ours
        outputs = self.ask(*(batch[name] for name in inputs))
        loss, right = self.judge(outputs, batch)
        figures = {f"{prefix}loss": loss, f"{prefix}accuracy": right.float().mean()}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(right))
        return self.add(loss, outputs, batch)

    def ask(self, *inputs: torch.Tensor) -> Any:
        """What the net says of a batch's inputs."""
        return self.net(*inputs)

    def judge(self, outputs: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of what the net says, and which of it (B,) is right."""
        raise NotImplementedError

    def add(self, loss: torch.Tensor, outputs: Any, batch: dict[str, Any]) -> torch.Tensor:
        """The loss with what is trained on beside it, and not shown."""
        return loss

    def on_train_epoch_end(self) -> None:
        """Keeps the epoch's figures for the card."""
        for name, values in self.curves.items():
            if name in self.trainer.callback_metrics:
                values.append(round(float(self.trainer.callback_metrics[name]), 4))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The figures so far go with the state that training resumes from."""
        checkpoint["curves"] = self.curves

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them back."""
        self.curves = checkpoint["curves"]

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle of the learning rate."""
        return self.one_cycle(self.adamw())

    def trained_parameters(self) -> list[nn.Parameter]:
        """All that is not frozen."""
        return [tensor for tensor in self.net.parameters() if tensor.requires_grad]

    def adamw(self) -> torch.optim.Optimizer:
        """AdamW at the config's learning rate and weight decay."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return torch.optim.AdamW(self.trained_parameters(), lr=rate, weight_decay=decay, fused=may_fuse(self.config))

    def one_cycle(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """An optimiser whose learning rate rises to the config's and falls again, step by step."""
        rise = min(0.6, max(WARMUP_SHARE, 2 / self.steps))  # OneCycleLR divides by zero where the rise is one step
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, self.steps + 1, pct_start=rise
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class GraderModule(NetModule):
    """A grader, whose batches may be mixed and whose auxiliary heads have losses of their own."""

    net: Grader

    def training_step(self, batch: dict[str, Any], number: int) -> torch.Tensor:
        """The loss of a batch, mixed or as it is; the draws depend on the step alone."""
        config = self.config
        rng = np.random.default_rng([self.seed, self.trainer.current_epoch, number])
        mixed = mix({**batch, "target": targets_of(batch)}, config.mixup, config.cutmix, rng)
        return super().training_step(mixed, number)

    def ask(self, *inputs: torch.Tensor) -> Answer:
        """All that the grader says."""
        return self.net.examine(*inputs)

    def judge(self, outputs: Answer, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The metric's weighted log loss of the grades, and which of them (B,) are right."""
        return soft_loss(outputs.grades, batch), outputs.grades.argmax(dim=1) == batch["class"]

    def add(self, loss: torch.Tensor, outputs: Answer, batch: dict[str, Any]) -> torch.Tensor:
        """The loss with those of the auxiliary heads."""
        for logits, shown in outputs.by_view:
            if shown.any():
                loss = loss + self.config.view_loss / len(outputs.by_view) * soft_loss(logits, batch, shown)
        if outputs.slices is not None and (batch["marked"] != UNMARKED).any():
            of_first = outputs.slices[:, : self.net.views[0].slices]
            loss = loss + self.config.slice_loss * functional.cross_entropy(of_first, batch["marked"])
        return loss


def may_fuse(config: GradeConfig) -> bool:
    """Whether the optimiser's fused kernel is used: it saves a third of a small batch's time on a CPU, and forbids
    clipping in mixed precision, which is a GPU's by itself."""
    return config.precision in ("auto", "32-true") and not torch.cuda.is_available()


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
    grader: Grader,
    crops: Crops,
    choices: NDArray[np.integer],
    folder: Path,
    seed: int,
    label: str,
    logger: Logger | None = None,
) -> tuple[State, Curves]:
    """Trains on cells whose choices of rows (N, K) of the crops are given, with their `grade` in the index; returns the
    weights and the figures of each epoch.

    `folder` holds what resuming needs; a folder of one training must not be given to another.
    """
    config = grader.config
    seed_training(seed)
    examples = ViewDataset(crops, choices, config, grader.views, seed)
    training = batches_of(examples, config.batch_size, seed)
    module = GraderModule(grader, config, steps_of(training, config), seed)
    fit(module, training, config, folder, label, logger=logger)
    return grader.state_dict(), module.curves


@torch.inference_mode()
def fit_grader(grader: TextureGrader, crops: Crops, choices: NDArray[np.integer], seed: int) -> tuple[State, Curves]:
    """Fits to cells at the first of their choices of rows, as they are; returns what `train_grader` does."""
    examples = ViewDataset(crops, choices, grader.config, grader.views)
    grades = crops.index["grade"].to_numpy()[examples.rows].astype(np.int64)
    weights = np.ones(len(grades)) if examples.weights is None else examples.weights.astype(np.float64)
    batches = batches_of(examples, grader.config.batch_size)
    features = torch.cat([grader.features(batch["crop"]) for batch in batches])
    grader.fit(features, grades, weights, seed)
    logits, truth = grader.head(features), torch.from_numpy(grades)
    loss = functional.cross_entropy(logits, truth, torch.tensor(GRADE_WEIGHTS).float())
    return grader.state_dict(), curves_of_fit(loss, logits, truth)


def curves_of_fit(loss: torch.Tensor, outputs: torch.Tensor, truth: torch.Tensor) -> Curves:
    """The curves of what is fitted at once, of one epoch: from its loss, outputs (N, C) and classes (N,)."""
    right = (outputs.argmax(dim=1) == truth).float().mean()
    curves = {"loss": [round(float(loss), 4)], "accuracy": [round(float(right), 4)]}
    return {**curves, "watched_loss": [], "watched_accuracy": []}


def steps_of(training: DataLoader, config: GradeConfig) -> int:
    """Steps of the optimiser in a whole training."""
    return -(-len(training) // config.accumulate) * config.epochs


def seed_training(seed: int) -> None:
    """Seeds every generator, and keeps Lightning's advice on workers and its banner from drowning our progress bars."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    lightning.seed_everything(seed, workers=True, verbose=False)


def batches_of(examples: CropDataset, batch_size: int, seed: int | None = None) -> DataLoader:
    """Batches of examples, shuffled where a seed is given, see `EpochSampler`; workers only where a GPU would wait for
    one."""
    return DataLoader(
        examples,
        batch_size=batch_size,
        sampler=None if seed is None else EpochSampler(len(examples), seed),
        # A last batch of one crop has no variance for batch normalisation.
        drop_last=seed is not None and len(examples) > batch_size,
        num_workers=GPU_WORKERS if torch.cuda.is_available() else 0,
    )


class HeldAverage(WeightAveraging):
    """Lightning's average of the weights, held where the training runs. By itself it stays where the module is when the
    average is set up, which is on the CPU: of a training on a GPU each step would copy the whole net there."""

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Places the average."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)


def moving_average(decay: float) -> Callable[[list[torch.Tensor], list[torch.Tensor], Any], None]:
    """Averages weights exponentially, but as a plain mean until that is the slower one: the first weights, which know
    nothing, do not hang on. Whole numbers, which count batches, are taken as they are."""

    @torch.no_grad()
    def average(averaged: list[torch.Tensor], current: list[torch.Tensor], count: Any) -> None:
        """Of tensors that all have one type, and lie on one device."""
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)
            return
        so_far = float(count)  # once for all tensors: on a GPU, where the average lies, it is waited for
        torch._foreach_lerp_(averaged, current, 1 - min(decay, so_far / (so_far + 1)))

    return average


def fit(
    module: NetModule,
    training: DataLoader,
    config: GradeConfig,
    folder: Path,
    label: str,
    watched: DataLoader | None = None,
    callbacks: Sequence[Callback] = (),
    logger: Logger | None = None,
) -> None:
    """Trains a module to its last epoch, going on where an earlier call with the same folder was interrupted.

    `watched` is measured after each epoch; `callbacks` see its figures, and a `logger` is told of all.
    """
    # `deterministic` would fill all new memory, to show who reads it unwritten: a quarter of a step on a CPU.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    averaged = [HeldAverage(multi_avg_fn=moving_average(config.averaging))] if config.averaging else []
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    automatic: Precision = "16-mixed" if torch.cuda.is_available() else "32-true"
    trainer = lightning.Trainer(
        max_epochs=config.epochs,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision=automatic if config.precision == "auto" else config.precision,
        gradient_clip_val=1.0,
        accumulate_grad_batches=config.accumulate,
        deterministic="warn",
        callbacks=[EpochBar(label), *averaged, *callbacks, last],
        logger=logger or False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    resumed = folder / "last.ckpt"
    trainer.fit(module, training, watched, ckpt_path=resumed if resumed.is_file() else None, weights_only=True)
