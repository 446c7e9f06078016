"""The systems of a comparison as runs: each its own config, on the main run's data, folds and detector."""

from pathlib import Path
from typing import Any

from lumbar.baselines.nets import expect_backbone
from lumbar.config import Config, ConfigError, check_config, read_values
from lumbar.run.run import Run

MAIN = "main"
"""What the table calls the run that the others are set beside."""
SHARED = ("seed", "phantom", "folds", "detect", "submit")
"""Sections that every system takes from the main run's config."""


def open_systems(main: Run, config_path: Path, full_size: bool = False) -> dict[str, Run]:
    """The runs of the systems that the main run's config names, in its order, each in a folder below the main run's.

    `full_size` leaves every system as its paper has it, whatever the config would change for the sake of time.
    """
    systems = {}
    for name, changes in main.config.compare.systems.items():
        config = _read_system(config_path, name, {} if full_size else changes, main.config)
        expect_backbone(config)
        systems[name] = Run(config, main.competition, main.folder / name, detected_in=main.folder)
    return systems


def _read_system(config_path: Path, name: str, changes: dict[str, Any], main: Config) -> Config:
    folder = config_path.parent / "seeds"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
        raise ConfigError(f"compare.systems.{name}: there is no {path}; there are {known}")
    shared = {section: main.model_dump()[section] for section in SHARED}
    shared["folds"]["file"] = main.folds_file
    values = merge(read_values(path), {"name": name, **shared})
    check_config(path, values)  # what is wrong after this is wrong in the main config
    return check_config(config_path, merge(values, {**changes, "name": name, **shared}), f"compare.systems.{name}")


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values with the changes in their place, section by section."""
    merged = dict(values)
    for key, change in changes.items():
        before = merged.get(key)
        merged[key] = merge(before, change) if isinstance(before, dict) and isinstance(change, dict) else change
    return merged


def at_annotated_points(run: Run) -> Run:
    """The same run with its crops cut as the papers cut theirs, at the annotated points, in a folder of its own.

    A system that needs no detector's points is its own such run.
    """
    if run.config.crop.points != "detected":
        return run
    crop = run.config.crop.model_copy(update={"points": "annotated"})
    config = run.config.model_copy(update={"crop": crop})
    return Run(config, run.competition, run.folder / "annotated", detected_in=run.detected_in or run.folder)
