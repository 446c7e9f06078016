"""Crops on disk: for each condition group one array (N, slices, size, size) and one index table of its rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

from lumbar.config import CropConfig
from lumbar.crop.view import crop_view
from lumbar.dataset import Competition
from lumbar.detect.schema import PATIENT
from lumbar.dicom import Series, read_series
from lumbar.labels import CONDITIONS, GROUPS, group_of, row_id
from lumbar.tables import write_table

INDEX = ["study_id", "fold", "condition", "level", "source"]


@dataclass(frozen=True, eq=False)
class Crops:
    """A condition group's crops: pixels (N, slices, size, size), and N index rows with row_id beside `INDEX`."""

    pixels: NDArray[np.uint8]
    index: pd.DataFrame


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
    place = {label: (group, number) for group in GROUPS for number, label in enumerate(rows[group])}
    for part in parts:
        for label, crop in part:
            group, number = place[label]
            arrays[group][number] = crop
    for group, array in arrays.items():
        if isinstance(array, np.memmap):
            array.flush()
        write_table(points.loc[rows[group], INDEX], folder / f"{group}.csv")


def _create(path: Path, count: int, config: CropConfig, group: str) -> NDArray[np.uint8]:
    view = config.view(group)
    shape = (count, view.slices, view.size, view.size)
    if count == 0:  # an empty file cannot be mapped
        np.save(path, np.zeros(shape, dtype=np.uint8))
        return np.zeros(shape, dtype=np.uint8)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _crop_study(
    competition: Competition, split: str, points: pd.DataFrame, config: CropConfig
) -> list[tuple[int, NDArray[np.uint8]]]:
    """The crops of one study's points; a list, since it comes from another process."""
    # The detector has read these series just before, so they are there and readable.
    planes = {row.series_id: GROUPS[row.group].plane for row in points.itertuples()}
    opened = {
        series_id: read_series(competition.series_directory(split, points["study_id"].iloc[0], series_id), plane)
        for series_id, plane in planes.items()
    }
    return list(cut_crops(opened, points, config))


def cut_crops(
    series: Mapping[int, Series], points: pd.DataFrame, config: CropConfig
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The crop of each point with its row's label; `points` has the group, `series` is by series_id."""
    for row in points.itertuples():
        point = np.array([getattr(row, axis) for axis in PATIENT])
        side = CONDITIONS[row.condition].side
        yield row.Index, crop_view(series[row.series_id], row.instance_number, point, config.view(row.group), side)


def crops_of_study(series: Mapping[int, Series], points: pd.DataFrame, config: CropConfig) -> dict[str, Crops]:
    """One study's crops by condition group, in memory; groups without a point are left out."""
    points = points.assign(group=points["condition"].map(group_of))
    return {group: _crops_in_memory(series, part, config) for group, part in points.groupby("group")}


def _crops_in_memory(series: Mapping[int, Series], points: pd.DataFrame, config: CropConfig) -> Crops:
    pixels = np.stack([crop for _, crop in cut_crops(series, points, config)])
    return Crops(pixels, _with_row_ids(points[INDEX].reset_index(drop=True)))


def open_crops(folder: Path, group: str) -> Crops:
    """A condition group's crops, mapped into memory and read only."""
    index = pd.read_csv(folder / f"{group}.csv", dtype={"study_id": "int64", "fold": "int64"})
    pixels = np.load(folder / f"{group}.npy", mmap_mode="r" if len(index) else None)
    return Crops(pixels, _with_row_ids(index))


def _with_row_ids(index: pd.DataFrame) -> pd.DataFrame:
    cells = zip(index["study_id"], index["condition"], index["level"], strict=True)
    return index.assign(row_id=[row_id(*cell) for cell in cells])
