"""Crops: for each condition group one array (N, slices, size, size) and one index table of its rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbar.labels import row_id

INDEX = ["study_id", "fold", "condition", "level", "source"]


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of a condition group: pixels (N, slices, size, size), and N index rows with row_id beside `INDEX` and the
    facts that their cutter keeps."""

    pixels: Any
    index: pd.DataFrame


def open_crops(folder: Path, group: str) -> Crops:
    """A condition group's crops, mapped into memory and read only."""
    index = pd.read_csv(folder / f"{group}.csv", dtype={"study_id": "int64", "fold": "int64"})
    pixels = np.load(folder / f"{group}.npy", mmap_mode="r" if len(index) else None)
    return Crops(pixels, with_row_ids(index))


def with_row_ids(index: pd.DataFrame) -> pd.DataFrame:
    """The index rows, with the row_id of each cell."""
    cells = zip(index["study_id"], index["condition"], index["level"], strict=True)
    return index.assign(row_id=[row_id(*cell) for cell in cells])
