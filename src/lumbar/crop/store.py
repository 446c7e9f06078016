"""Crops on disk: for each condition group one array (N, slices, size, size) and one index table of its rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

from lumbar.config import POOLED, CropConfig
from lumbar.crop.view import Place, crop_view, place_in_slice
from lumbar.data.competition import Competition
from lumbar.data.points import PATIENT
from lumbar.data.tables import write_table
from lumbar.labels import CONDITIONS, GROUPS, group_of, row_id
from lumbar.mri.series import Series, read_series

INDEX = ["study_id", "fold", "condition", "level", "source"]
PLACE = ["place_x", "place_y"]
"""Where a crop's point lies in its slice, see `view.place_in_slice`; added to `INDEX`."""
Cut = tuple[int, NDArray[np.uint8], Place]
"""The label of a point's row, its crop and its place."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of one or of all condition groups: pixels (N, slices, size, size), and N index rows with row_id beside
    `INDEX` and `PLACE`."""

    pixels: Any
    index: pd.DataFrame


class _Joined:
    """Several arrays of crops as if they were one, without reading them."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self.parts, self.ends = parts, np.cumsum([len(part) for part in parts])

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        part = int(np.searchsorted(self.ends, number, side="right"))
        return self.parts[part][number - self.ends[part] + len(self.parts[part])]


def write_crops(
    competition: Competition, split: str, points: pd.DataFrame, config: CropConfig, folder: Path, jobs: int = -1
) -> None:
    """Cuts every point's crop. A study's series are read once, however many folds have points on it."""
    folder.mkdir(parents=True, exist_ok=True)
    points = points.assign(group=points["condition"].map(group_of)).reset_index(drop=True)
    rows = {group: points.index[points["group"] == group] for group in GROUPS}
    arrays = {group: _create(folder / f"{group}.npy", len(rows[group]), config, group) for group in GROUPS}
    studies = [part for _, part in points.groupby("study_id", sort=False)]
    tasks = [delayed(_crop_study)(competition, split, part, config) for part in studies]
    parts = tqdm(Parallel(n_jobs=jobs, return_as="generator")(tasks), total=len(tasks), desc="crop", unit="study")
    number_of = {label: (group, number) for group in GROUPS for number, label in enumerate(rows[group])}
    places = np.zeros((len(points), len(PLACE)))
    for part in parts:
        for label, crop, place in part:
            group, number = number_of[label]
            arrays[group][number], places[label] = crop, place
    points[PLACE] = places.round(5)
    for group, array in arrays.items():
        if isinstance(array, np.memmap):
            array.flush()
        write_table(points.loc[rows[group], INDEX + PLACE], folder / f"{group}.csv")


def _create(path: Path, count: int, config: CropConfig, group: str) -> NDArray[np.uint8]:
    view = config.view(group)
    shape = (count, view.slices, view.size, view.size)
    if count == 0:  # an empty file cannot be mapped
        np.save(path, np.zeros(shape, dtype=np.uint8))
        return np.zeros(shape, dtype=np.uint8)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _crop_study(competition: Competition, split: str, points: pd.DataFrame, config: CropConfig) -> list[Cut]:
    """The crops of one study's points; a list, since it comes from another process."""
    # The detector has read these series just before, so they are there and readable.
    planes = {row.series_id: plane_of_point(row.group, row.source) for row in points.itertuples()}
    opened = {
        series_id: read_series(competition.series_directory(split, points["study_id"].iloc[0], series_id), plane)
        for series_id, plane in planes.items()
    }
    return list(cut_crops(opened, points, config))


def plane_of_point(group: str, source: str) -> str:
    """The plane of the series on which a point of a condition group lies."""
    return "axial" if source == "clustered" else GROUPS[group].plane


def cut_crops(series: Mapping[int, Series], points: pd.DataFrame, config: CropConfig) -> Iterator[Cut]:
    """The label, crop and place of each point; `points` has the group, `series` is by series_id."""
    for row in points.itertuples():
        point, own = np.array([getattr(row, axis) for axis in PATIENT]), series[row.series_id]
        view = config.view(row.group)
        side = CONDITIONS[row.condition].side if view.mirror else None
        crop = crop_view(own, row.instance_number, point, view, side)
        yield row.Index, crop, place_in_slice(own, row.instance_number, point, side)


def crops_of_study(series: Mapping[int, Series], points: pd.DataFrame, config: CropConfig) -> dict[str, Crops]:
    """One study's crops by condition group, in memory; groups without a point are left out."""
    points = points.assign(group=points["condition"].map(group_of))
    return {group: _crops_in_memory(series, part, config) for group, part in points.groupby("group")}


def _crops_in_memory(series: Mapping[int, Series], points: pd.DataFrame, config: CropConfig) -> Crops:
    cuts = list(cut_crops(series, points, config))
    index = points[INDEX].reset_index(drop=True)
    index[PLACE] = np.array([place for _, _, place in cuts]).round(5)
    return Crops(np.stack([crop for _, crop, _ in cuts]), _with_row_ids(index))


def pool_crops(parts: Sequence[Crops]) -> Crops:
    """The crops of several groups as if they were of one."""
    index = pd.concat([part.index for part in parts], ignore_index=True)
    return Crops(_Joined([part.pixels for part in parts]), index)


def open_crops(folder: Path, group: str) -> Crops:
    """A condition group's crops, or all of them when it is `POOLED`; mapped into memory and read only."""
    if group == POOLED:
        return pool_crops([open_crops(folder, each) for each in GROUPS])
    index = pd.read_csv(folder / f"{group}.csv", dtype={"study_id": "int64", "fold": "int64"})
    pixels = np.load(folder / f"{group}.npy", mmap_mode="r" if len(index) else None)
    return Crops(pixels, _with_row_ids(index))


def _with_row_ids(index: pd.DataFrame) -> pd.DataFrame:
    cells = zip(index["study_id"], index["condition"], index["level"], strict=True)
    return index.assign(row_id=[row_id(*cell) for cell in cells])
