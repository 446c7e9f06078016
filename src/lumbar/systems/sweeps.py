"""Settings that the papers tried, or might have: a system's run with each value of one of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lumbar.baselines.papers import PAPERS
from lumbar.config import Config, ConfigError, check_config, merge
from lumbar.run.run import Run
from lumbar.systems.alone import open_system
from lumbar.systems.table_run import run_table

Changes = Mapping[str, dict[str, Any]]
"""What differs in a system's config, by the value's name, which is a folder's as well."""
GENTLE = {"rotate": 10, "zoom": 0.1, "shift": 0.1, "flip": False, "brightness": 0.1}
SWEEPS: dict[str, Changes] = {
    "activation": {
        name: {"published": {"head": {"activation": name}}} for name in ("tanh", "leaky_relu", "sigmoid", "relu")
    },
    "batch": {f"{size}": {"grade": {"batch_size": size}} for size in (16, 32, 64, 100)},
    "epochs": {f"{count}": {"grade": {"epochs": count}} for count in (10, 12, 16)},
    "width": {
        "-".join(map(str, widths)): {"published": {"head": {"dense": widths}}}
        for widths in ((64, 32), (128, 64), (256, 128))
    },
    "split": {
        "random": {"published": {"own_split": {"stratified": False}}},
        "stratified": {"published": {"own_split": {"stratified": True}}},
        "equal": {"published": {"own_split": {"stratified": False}, "examples": {"balance": "equal"}}},
    },
    "augmentation": {
        "none": {"published": {"examples": {"augmentation": dict.fromkeys(GENTLE, 0)}}},
        "gentle": {"published": {"examples": {"augmentation": GENTLE}}},
        "flipped": {"published": {"examples": {"augmentation": GENTLE | {"flip": True}}}},
        "strong": {"published": {"examples": {"augmentation": "strong"}}},
    },
    "studies": {f"{count}": {"grade": {"studies": count}} for count in (10, 20, 40)},
    "dropout": {f"{share}": {"grade": {"dropout": share}} for share in (0.0, 0.25, 0.5)},
}
"""The values of each setting. Activations, batches, epochs and splits (1:1:1 is `equal`) are those of "Lumbar Spine
Degenerative Condition Classification" (IIT Delhi); the others are ours."""
COLUMNS = {
    "train_accuracy": "train accuracy",
    "accuracy": "accuracy",
    "roc_auc_as_published": "AUC",
    "f1_as_published": "F1",
    "rmse_as_published": "RMSE",
    "epochs": "epochs",
    "final_loss": "final loss",
    "seconds": "seconds",
}
"""What is shown of each value: keys of a row, and their heads."""


def expect_sweep(name: str, over: str) -> None:
    """ConfigError, which lists the right names, for a setting that is not there, or a system that is no paper's."""
    if over not in SWEEPS:
        raise ConfigError(f"there is no sweep over {over!r}, there are {', '.join(SWEEPS)}")
    if name not in PAPERS:
        raise ConfigError(f"{name}: is no paper's system with settings to sweep over, {', '.join(PAPERS)} are")


def run_sweep(
    main: Run, config_path: Path, name: str, over: str, data: Path | None = None, full_size: bool = False
) -> tuple[str, Path]:
    """Trains and measures a system with each value of a setting; returns the table and the folder that it is in.

    See `table_run.run_table`; the folder is `sweeps/<over>` below the system's own run. ConfigError for splits of a
    system that is tested on as many of each class: these are drawn in one way only.
    """
    expect_sweep(name, over)
    system = open_system(main, config_path, name, data, full_size)
    split = system.config.system.own_split
    if over == "split" and split and split.tested_each:
        raise ConfigError(
            f"{name}: there are no splits to sweep over, its own tests {split.tested_each} of each class "
            f"(published.own_split.tested_each)"
        )
    shared = Run(system.config, system.competition, system.folder / "sweeps")
    folder = shared.folder / over
    runs = [Run(with_value(shared.config, over, value), shared.competition, folder / value) for value in SWEEPS[over]]
    return run_table(shared, runs, COLUMNS, folder / "sweep"), folder


def with_value(config: Config, over: str, value: str) -> Config:
    """A system's config with one value of a setting."""
    name = f"{config.name}-{over}-{value}"
    said = {"name": name, "published": {"title": value.replace("_", " ")}}
    return check_config(Path(name), merge(config.model_dump(), merge(SWEEPS[over][value], said)))
