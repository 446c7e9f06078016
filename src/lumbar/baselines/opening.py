"""The systems as runs: beside a main run, on its data, folds and detector, or alone, at annotated points."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lumbar.baselines.backbones import NETWORKS
from lumbar.config import (
    CellsConfig,
    Config,
    ConfigError,
    check_config,
    merge,
    read_config,
    read_values,
)
from lumbar.data.folds import find_folds, read_fold_file
from lumbar.grade.encoder import expect_backbone
from lumbar.labels import CONDITIONS, GROUPS, LEVELS, level_title
from lumbar.run.run import Run

logger = logging.getLogger(__name__)

SHARED = ("seed", "phantom", "folds", "detect", "submit")
"""Sections that every system takes from the main run's config."""


def open_systems(main: Run, config_path: Path, full_size: bool = False, wanted: Sequence[str] = ()) -> dict[str, Run]:
    """The runs of some systems, or of those that the main run's config names, each in a folder below the main run's.

    A config that names none means every published one. `full_size` leaves every system as its paper has it, whatever
    the config would change for the sake of time. ConfigError, which lists the right names, for a wrong one, also where
    the config changes a system that is not asked for.
    """
    changes = main.config.compare.systems
    for name in changes:
        _path_of(config_path, name)
    systems = {}
    for name in wanted or changes or list_systems(config_path):
        changed = {} if full_size else changes.get(name, {})
        config = _read_system(config_path, name, changed, main.config, main.folds_file)
        expect_backbone(config, list(NETWORKS))
        systems[name] = Run(config, main.competition, main.folder / name, detected_in=main.folder)
    return systems


def open_alone(main: Run, config_path: Path, name: str, folder: Path, full_size: bool = False) -> Run:
    """A system as a run by itself in a folder of its own: at annotated points in place of a detector's, see
    `open_systems` for the rest."""
    (beside,) = open_systems(main, config_path, full_size, [name]).values()
    return Run(_by_hand(beside.config), main.competition, folder)


def folder_for(main: Run, data: Path | None) -> Path:
    """The folder of what is run on the data that were asked for, `runs/<data>`; without any, the main run's own."""
    return main.folder.with_name(data.resolve().name) if data else main.folder


def open_main(run: Run, data: Path | None) -> Run:
    """The main run of a comparison: `run` itself, or, where its config is made for a phantom and there are other data,
    one in a folder named after these, as a system's that runs alone is.

    The phantom's models stay as they are, and a config that is made for data shares what `lumbar cv` has trained.
    """
    has_phantom = "phantom" in run.config.model_fields_set
    return replace(run, folder=folder_for(run, data)) if has_phantom else run


def on_own_folds(run: Run) -> Run:
    """A run on the folds of its own data set, whichever file and number its config names."""
    named, competition = run.config.folds_file, run.competition
    path = find_folds(named, competition.root, competition.study_ids)
    if path == named:
        return run
    logger.info("folds: %s is not there or of other studies; the folds are those of %s", named, path)
    count = read_fold_file(path)["fold"].nunique() if path.is_file() else run.config.folds.count
    folds = run.config.folds.model_copy(update={"file": path, "count": count, "held_out": None})
    return replace(run, config=run.config.model_copy(update={"folds": folds}))


def list_systems(config_path: Path) -> list[str]:
    """The names of the configs in `published/` beside a config."""
    return sorted(path.stem for path in (config_path.parent / "published").glob("*.yaml"))


def read_published(config_path: Path, name: str) -> Config:
    """A system's config as its paper has it; ConfigError where there is none of that name beside `config_path`."""
    return read_config(_path_of(config_path, name))


def _path_of(config_path: Path, name: str) -> Path:
    path = config_path.parent / "published" / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"{name}: there is no {path}; there are {', '.join(list_systems(config_path))}")
    return path


def _read_system(config_path: Path, name: str, changes: dict[str, Any], main: Config, folds_file: Path) -> Config:
    path = _path_of(config_path, name)
    shared = {section: main.model_dump()[section] for section in SHARED}
    shared["folds"]["file"] = folds_file
    values = merge(read_values(path), {"name": name, **shared})
    check_config(path, values)  # what is wrong after this is wrong in the main config
    return check_config(config_path, merge(values, {**changes, "name": name, **shared}), f"compare.systems.{name}")


def at_annotated_points(run: Run) -> Run:
    """A system's twin whose crops are cut as the papers cut theirs, at the annotated points, in a folder of its own.

    A system that needs no detector's points is its own such run.
    """
    if run.config.system.points != "detected":
        return run
    return Run(
        _by_hand(run.config), run.competition, run.folder / "annotated", detected_in=run.detected_in or run.folder
    )


def _by_hand(config: Config) -> Config:
    """A system's config with annotated points where it asks for detected ones."""
    if config.system.points != "detected":
        return config
    return config.model_copy(update={"published": config.system.model_copy(update={"points": "annotated"})})


def describe_cells(cells: CellsConfig) -> str:
    """Which cells are graded, in a few words."""
    levels = "all levels" if cells.levels == LEVELS else ", ".join(map(level_title, cells.levels))
    if cells.conditions == tuple(CONDITIONS):
        return f"all conditions, {levels}"
    words = {name: _shorten(name) for name in cells.conditions}
    return f"{', '.join(words.values())}, {levels}"


def _shorten(condition: str) -> str:
    kind = CONDITIONS[condition]
    group = GROUPS[kind.group].name
    return f"{kind.side} {group}" if kind.side else group
