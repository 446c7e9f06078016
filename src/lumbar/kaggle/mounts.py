"""Finding what is attached to a kernel under Kaggle's input folder, in its old and its new layout."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lumbar.kaggle.manifest import BUNDLE, TRAINING

logger = logging.getLogger(__name__)

COMPETITION_MARKERS = ("sample_submission.csv", "test_series_descriptions.csv")
TRAINED = "trained.json"
"""Marks what an earlier training kernel left."""
DEEPEST = 6
"""How far below the root an input is mounted at most: `models/<owner>/<model>/<framework>/<variation>/<version>`."""
IMAGE_FOLDERS = ("train_images", "test_images")
"""Never looked into: they hold a hundred thousand files."""


def find_competition(root: Path) -> Path:
    """The folder with the competition's CSVs; FileNotFoundError when there is none."""
    return _find(root, COMPETITION_MARKERS)


def find_bundle(root: Path) -> Path:
    """The folder of the bundle with the models; FileNotFoundError when there is none."""
    return _find(root, (BUNDLE,))


def find_training_bundle(root: Path) -> Path:
    """The folder of the bundle with the training's code; FileNotFoundError when there is none."""
    return _find(root, (TRAINING,))


def find_trained(root: Path) -> list[Path]:
    """Every folder that an earlier training kernel left; there may be none."""
    return list(_find_all(root, (TRAINED,)))


def _find(root: Path, markers: Sequence[str]) -> Path:
    for folder in _find_all(root, markers):
        return folder
    raise FileNotFoundError(f"{root}: no folder with {' and '.join(markers)} within {DEEPEST} levels; is it attached?")


def _find_all(root: Path, markers: Sequence[str]) -> Iterator[Path]:
    """The folders that hold all markers, the shallowest first; nothing is looked for below one."""
    level = [root]
    for _ in range(DEEPEST + 1):
        found = [folder for folder in level if all(os.path.isfile(folder / marker) for marker in markers)]  # noqa: PTH113
        yield from found
        level = [below for folder in level if folder not in found for below in _folders_in(folder)]


def _folders_in(folder: Path) -> list[Path]:
    """The folders in one, but for the images'; none where it cannot be listed: what is broken costs nothing else."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        logger.warning("%s: cannot be listed, passed over: %s", folder, error)
        return []
    return [below for below in inside if os.path.isdir(below) and below.name not in IMAGE_FOLDERS]  # noqa: PTH112
