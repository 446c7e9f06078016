"""Finding the competition and the bundle under Kaggle's input folder, in its old and its new layout."""

from collections.abc import Sequence
from pathlib import Path

COMPETITION_MARKERS = ("sample_submission.csv", "test_series_descriptions.csv")
BUNDLE_MARKERS = ("bundle.json",)
DEEPEST = 6
"""How far below the root an input is mounted at most: `models/<owner>/<model>/<framework>/<variation>/<version>`."""
IMAGE_FOLDERS = ("train_images", "test_images")
"""Never looked into: they hold a hundred thousand files."""


def find_competition(root: Path) -> Path:
    """The folder with the competition's CSVs; FileNotFoundError when there is none."""
    return _find(root, COMPETITION_MARKERS)


def find_bundle(root: Path) -> Path:
    """The folder of the bundle; FileNotFoundError when there is none."""
    return _find(root, BUNDLE_MARKERS)


def _find(root: Path, markers: Sequence[str]) -> Path:
    level = [root]
    for _ in range(DEEPEST + 1):
        for folder in level:
            if all((folder / marker).is_file() for marker in markers):
                return folder
        level = [
            below
            for folder in level
            for below in sorted(folder.iterdir())
            if below.is_dir() and _is_worth_a_look(below)
        ]
    raise FileNotFoundError(f"{root}: no folder with {' and '.join(markers)} within {DEEPEST} levels; is it attached?")


def _is_worth_a_look(folder: Path) -> bool:
    return folder.name not in IMAGE_FOLDERS
