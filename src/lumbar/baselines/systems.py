"""The systems of a comparison as runs: each its own config, on the main run's data, folds and detector."""

from pathlib import Path
from typing import Any

from lumbar.baselines.backbones import NETWORKS
from lumbar.config import Config, ConfigError, PublishedConfig, check_config, merge, read_values
from lumbar.grade.encoder import expect_backbone
from lumbar.run.run import Run

MAIN_AS_SYSTEM = PublishedConfig()
"""The main pipeline in a system's words: its crops and its target are the defaults."""
SHARED = ("seed", "phantom", "folds", "detect", "submit")
"""Sections that every system takes from the main run's config."""


def open_systems(main: Run, config_path: Path, full_size: bool = False) -> dict[str, Run]:
    """The runs of the systems that the main run's config names, in its order, each in a folder below the main run's.

    `full_size` leaves every system as its paper has it, whatever the config would change for the sake of time.
    """
    systems = {}
    for name, changes in main.config.compare.systems.items():
        config = _read_system(config_path, name, {} if full_size else changes, main.config, main.folds_file)
        expect_backbone(config, list(NETWORKS))
        systems[name] = Run(config, main.competition, main.folder / name, detected_in=main.folder)
    return systems


def _read_system(config_path: Path, name: str, changes: dict[str, Any], main: Config, folds_file: Path) -> Config:
    folder = config_path.parent / "published"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
        raise ConfigError(f"compare.systems.{name}: there is no {path}; there are {known}")
    shared = {section: main.model_dump()[section] for section in SHARED}
    shared["folds"]["file"] = folds_file
    values = merge(read_values(path), {"name": name, **shared})
    check_config(path, values)  # what is wrong after this is wrong in the main config
    return check_config(config_path, merge(values, {**changes, "name": name, **shared}), f"compare.systems.{name}")


def described(run: Run) -> PublishedConfig:
    """What a run, of the main pipeline or of a system, does in a system's words."""
    return run.config.published or MAIN_AS_SYSTEM


def at_annotated_points(run: Run) -> Run:
    """A run's twin whose crops are cut as the papers cut theirs, at the annotated points, in a folder of its own.

    A system that needs no detector's points is its own such run.
    """
    published = described(run)
    if published.points != "detected":
        return run
    config = run.config.model_copy(update={"published": published.model_copy(update={"points": "annotated"})})
    return Run(config, run.competition, run.folder / "annotated", detected_in=run.detected_in or run.folder)
