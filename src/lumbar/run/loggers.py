"""Where the nets' figures are told of epoch by epoch, if the config asks for it: one of Lightning's loggers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumbar.config import ConfigError, LoggerName

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

FOLDER = "logs"
"""In a run's folder."""
PROJECT = "lumbar"
"""What Weights & Biases and MLflow call all runs together."""
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""What a logger needs that is not ours to install."""


def open_logger(kind: LoggerName, run: str, folder: Path, name: str) -> Logger | None:
    """A logger of one training, such as `spinal_fold0` of a run; None where none is asked for.

    All of them write below `logs/` in the run's folder, and nothing to a network. ConfigError where the package is not
    installed.
    """
    if kind == "none":
        return None
    from pytorch_lightning import loggers

    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    options: dict[str, dict[str, Any]] = {
        "csv": {"save_dir": place, "name": name},
        "tensorboard": {"save_dir": place, "name": name, "default_hp_metric": False},
        "wandb": {"save_dir": place, "project": PROJECT, "group": run, "name": name, "offline": True},
        "mlflow": {"save_dir": str(place), "experiment_name": f"{PROJECT}-{run}", "run_name": name},
    }
    classes = {
        "csv": loggers.CSVLogger,
        "tensorboard": loggers.TensorBoardLogger,
        "wandb": loggers.WandbLogger,
        "mlflow": loggers.MLFlowLogger,
    }
    try:
        opened: Logger = classes[kind](**options[kind])
    except ModuleNotFoundError as error:
        raise ConfigError(f"logger: {kind} is not installed (pip install {PACKAGES[kind]})") from error
    return opened
