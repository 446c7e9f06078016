"""The smallest run that goes through every stage, seconds on one core and no skill, and what tests make and watch."""

import shutil
from pathlib import Path

import pandas as pd

from lumbar.config import CompareConfig, Config, FoldsConfig
from lumbar.data.competition import Competition
from lumbar.data.tables import write_table
from lumbar.labels import GRADES
from lumbar.run.run import Run


def tiny_run(competition: Competition, folder: Path) -> Run:
    """A run of two folds in an empty folder."""
    view = {"size": 40, "mm_per_pixel": 1.2, "slices": 1}
    config = Config.model_validate(
        {
            "name": "tiny",
            "seed": 3,
            "folds": {"count": 2, "file": folder / "folds.csv"},
            "detect": {
                "scale": "p",
                "image_size": 128,
                "mm_per_pixel": 2.2,
                "epochs": 2,
                "batch_size": 8,
                "background": 0,
                "min_confidence": 1e-6,
            },
            "crop": {"views": dict.fromkeys(("spinal", "foraminal", "subarticular"), view)},
            "grade": {
                "backbone": "test_resnet",
                "image_size": 32,
                "epochs": 1,
                "batch_size": 8,
                "learning_rate": 1e-3,
                "averaging": 0,
                "points": "either",  # so that each net is trained, whatever a detector without skill finds
            },
        }
    )
    return Run(config, competition, folder / "run")


def small_run(competition: Competition, folder: Path, compare: CompareConfig) -> Run:
    """A run called small beside which published systems are run; its folds are not made yet."""
    folds = FoldsConfig(count=2, file=folder / "folds" / "small.csv")
    changes = {"name": "small", "folds": folds, "compare": compare}
    config = tiny_run(competition, folder).config.model_copy(update=changes)
    return Run(config, competition, folder / "runs" / "small")


def dated(folder: Path, *patterns: str) -> dict[Path, int]:
    """When each file below a folder that fits a pattern was last written."""
    return {path: path.stat().st_mtime_ns for pattern in patterns for path in folder.rglob(pattern)}


def prediction_rows(rows: dict[str, tuple[float, float, float]]) -> pd.DataFrame:
    """Predictions in submission format."""
    return pd.DataFrame([(name, *values) for name, values in rows.items()], columns=["row_id", *GRADES])


def without_rows(competition: Competition, root: Path, table: str, column: str, value: str) -> Competition:
    """The data set without the rows of a table that have a value."""
    shutil.copytree(competition.root, root, ignore=shutil.ignore_patterns("test_images"))
    rows = pd.read_csv(root / table)
    write_table(rows[rows[column] != value], root / table)
    return Competition(root)
