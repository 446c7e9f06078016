"""Whether a run's models are what prediction expects, seen from their cards, without loading a weight."""

import re
from collections.abc import Iterator
from pathlib import Path

from lumbar.config import (
    Config,
    DetectConfig,
    GradeConfig,
    GraderConfig,
    Member,
    PublishedConfig,
    ViewConfig,
    read_saved_config,
)
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.ensemble.model import MODEL_FILE, read_model
from lumbar.errors import InputError
from lumbar.labels import GRADES
from lumbar.run.checkpoint import Card, CheckpointError, expect_card, read_card

DETECTOR = "detector"
NAME = re.compile(r"(?P<name>.+)_fold(?P<fold>\d+)")
"""A checkpoint's name without its suffix."""


def are_of_phantom(models: Path) -> bool:
    """Whether a detector among them was trained on synthetic images, as its card says."""
    cards = (read_card(path.with_suffix("")) for path in models.glob(f"{DETECTOR}_fold*.json"))
    return any(card is not None and card.details.get("phantom") for card in cards)


def find_model_faults(models: Path) -> Iterator[str]:
    """Every card that does not fit: of another kind, label order or fold, or with a config that is none."""
    try:
        config = read_saved_config(models / "config.json")
    except (InputError, OSError) as error:
        yield str(error)
        return
    for stem in _stems_in(models):
        try:
            _expect_fitting(stem, config)
        except CheckpointError as error:
            yield str(error)
    try:
        read_model(models / MODEL_FILE)
    except InputError as error:
        yield str(error)


def find_gaps(models: Path) -> Iterator[str]:
    """Every fold that has no detector, or lacks a grader that other folds have."""
    config, folds = read_saved_config(models / "config.json"), _folds_by_name(models)
    detected = folds.get(DETECTOR, set())
    expected = len(config.folds.held_out) if config.folds.held_out else config.folds.count
    if len(detected) != expected:
        yield f"{models}: detectors for {len(detected)} folds, the config has {expected}; train them"
    if not any(name in folds for name in config.members):
        yield f"{models}: there is no grader; train them"
    for name in config.members:
        if missing := sorted(detected - folds.get(name, detected)):
            yield f"{models}: no {name} grader for fold {', '.join(map(str, missing))}; train it (make grade)"


def _folds_by_name(models: Path) -> dict[str, set[int]]:
    folds: dict[str, set[int]] = {}
    for match in filter(None, (NAME.fullmatch(stem.name) for stem in _stems_in(models))):
        folds.setdefault(match["name"], set()).add(int(match["fold"]))
    return folds


def _stems_in(models: Path) -> list[Path]:
    """The paths of checkpoints without their suffix, whether their weights, their card or both are there."""
    return sorted({path.with_suffix("") for path in (*models.glob("*.safetensors"), *models.glob("*_fold*.json"))})


def _expect_fitting(stem: Path, config: Config) -> None:
    """Raises CheckpointError where a checkpoint is not what its name and the run's config say."""
    path = stem.with_suffix(".json")
    name, fold = _read_name(stem, config)
    card = expect_card(stem, DETECTOR, CLASS_NAMES) if name == DETECTOR else expect_card(stem, "grader", GRADES)
    if card.fold != fold:
        raise CheckpointError(f"{path}: is of fold {card.fold}, its name says {fold}")
    try:
        _expect_config(card, config.members.get(name))
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: its config is not that of a {name}: {error}") from error
    if not stem.with_suffix(".safetensors").is_file():
        raise CheckpointError(f"{stem.with_suffix('.safetensors')}: there is a card, and no weights beside it")


def _read_name(stem: Path, config: Config) -> tuple[str, int]:
    match, known = NAME.fullmatch(stem.name), (DETECTOR, *config.members)
    if not match or match["name"] not in known:
        raise CheckpointError(f"{stem}: is no model of this run; they are {', '.join(known)}, with _fold<number>")
    return match["name"], int(match["fold"])


def _expect_config(card: Card, member: Member | None) -> None:
    if member is None:
        DetectConfig.model_validate(card.config)
        return
    if card.config["group"] != member.group:
        raise ValueError(f"it grades {card.config['group']}")
    if "published" in card.config:
        GradeConfig.model_validate(card.config["grade"])
        ViewConfig.model_validate(card.config["view"])
        PublishedConfig.model_validate(card.config["published"])
        return
    for view in GraderConfig.model_validate(card.config["grader"]).views:
        ViewConfig.model_validate(card.config["views"][view])
