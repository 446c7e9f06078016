"""Crops: for each view one array (N, slices, size, size) and one index table of its rows; and views joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.config import ViewConfig
from lumbar.labels import row_id

INDEX = ["study_id", "fold", "condition", "level", "source"]
ANNOTATED = "annotated"
"""The source of a crop at a point by hand; all others are what a pipeline could find by itself."""
NOWHERE = -1
"""The row of a view that a joined cell does not have."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of a view, or of several joined: pixels (N, slices, size, size), and N index rows with row_id beside
    `INDEX` and the facts that their cutter keeps."""

    pixels: Any
    index: pd.DataFrame


def slice_facts(slices: int) -> tuple[str, ...]:
    """The names of what is kept of each of so many slices: whether it is real and not the stack's end repeated, and
    how many mm the point lies before it."""
    return (*(f"real_{number}" for number in range(slices)), *(f"mm_{number}" for number in range(slices)))


def read_slice_facts(index: pd.DataFrame, slices: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`slice_facts` of an index' rows: whether each slice is real (1 or 0), and its mm, (N, slices) each."""
    real, distance = np.split(index[list(slice_facts(slices))].to_numpy(dtype=np.float64), 2, axis=1)
    return real, distance


def open_crops(folder: Path, view: str) -> Crops:
    """A view's crops, mapped into memory and read only."""
    index = pd.read_csv(folder / view / "index.csv", dtype={"study_id": "int64", "fold": "int64"})
    pixels = np.load(folder / view / "pixels.npy", mmap_mode="r" if len(index) else None)
    return Crops(pixels, with_row_ids(index))


def with_row_ids(index: pd.DataFrame) -> pd.DataFrame:
    """The index rows, with the row_id of each cell."""
    cells = zip(index["study_id"], index["condition"], index["level"], strict=True)
    return index.assign(row_id=[row_id(*cell) for cell in cells])


def found_rows(index: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows (N,) of an index are at points that were found, not at annotated ones."""
    return (index["source"] != ANNOTATED).to_numpy()


class _Joined:
    """The slices of several views behind each other, black where a cell lacks a view."""

    def __init__(self, parts: Sequence[Any], rows: NDArray[np.int64], shapes: Sequence[tuple[int, int, int]]) -> None:
        self.parts, self.rows, self.shapes = parts, rows, shapes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        places = zip(self.parts, self.rows[number].tolist(), self.shapes, strict=True)
        return np.concatenate(
            [np.zeros(shape, np.uint8) if row == NOWHERE else np.asarray(part[row]) for part, row, shape in places]
        )


def join_views(views: Mapping[str, ViewConfig], crops: Mapping[str, Crops]) -> Crops | None:
    """The crops of a grader's views, a cell's one behind the other, in the order of the `views`; None without any.

    A cell that one view does not show is joined from the others, with slices that are not real.
    """
    if not any(name in crops for name in views):
        return None
    if len(views) == 1:
        return crops[next(iter(views))]
    key = [name for name in (*INDEX, "row_id") if name != "source"]
    shapes = {name: (view.stored_slices, view.size, view.size) for name, view in views.items()}
    tables = {name: _numbered(crops[name].index, name) for name in views if name in crops}
    joined = pd.concat([table[[*key, "source", "is_found"]] for table in tables.values()])
    joined = joined.drop_duplicates([*key, "is_found"]).reset_index(drop=True)
    for name in views:
        if name in tables:
            joined = joined.merge(tables[name][["row_id", "is_found", name]], on=["row_id", "is_found"], how="left")
    rows = joined.reindex(columns=list(views)).fillna(NOWHERE).to_numpy(dtype=np.int64)
    facts = [_facts_of(crops.get(name), rows[:, place], views[name]) for place, name in enumerate(views)]
    names = list(slice_facts(sum(view.stored_slices for view in views.values())))
    values = np.concatenate([part[kind] for kind in (0, 1) for part in facts], axis=1)
    table = pd.concat([joined[[*key, "source"]], pd.DataFrame(values, columns=names)], axis=1)
    parts = [crops[name].pixels if name in crops else None for name in views]
    return Crops(_Joined(parts, rows, list(shapes.values())), table.assign(is_own=facts[0][2]))


def _numbered(index: pd.DataFrame, view: str) -> pd.DataFrame:
    return index.assign(is_found=found_rows(index), **{view: np.arange(len(index))})


def _facts_of(
    crops: Crops | None, rows: NDArray[np.int64], view: ViewConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Real and mm (N, slices), and is_own (N,), of some rows of a view; 0 for cells that it lacks."""
    real, distance = np.zeros((2, len(rows), view.stored_slices))
    own, there = np.zeros(len(rows)), rows != NOWHERE
    if crops is not None:
        index = crops.index.iloc[rows[there]]
        real[there], distance[there] = read_slice_facts(index, view.stored_slices)
        own[there] = index["is_own"]
    return real, distance, own
