"""The names of the files that a system's run shows, as its paper would, and links to those that there are."""

import os
from pathlib import Path

SHOWN_FOLDER = "shown"
"""The folder of these files in a run's."""
NAMES = (
    "training_curves.png",
    "history.csv",
    "confusion_matrix.png",
    "confusion_matrix.csv",
    "classification_report.txt",
    "roc_curve.png",
    "class_counts.png",
    "regions.png",
    "sample_predictions.png",
    "predictions.png",
    "augmented_samples.png",
    "gradcam.png",
)
"""All that there may be, in the order in which they are listed."""
Link = tuple[str, str]
"""A file's name, and where it lies as a page sees it."""


def link_files(folder: Path, page: Path) -> tuple[Link, ...]:
    """The files of a system's run in a folder, as a page in the folder `page` links them."""
    shown = folder / SHOWN_FOLDER
    base = Path(os.path.relpath(shown, page))
    return tuple((name, (base / name).as_posix()) for name in NAMES if (shown / name).is_file())
