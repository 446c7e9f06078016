"""Cutting crops: of all training studies, onto disk, and of one study, in memory."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.crop.crops import INDEX, Crops, with_row_ids
from lumbar.data.competition import Competition
from lumbar.data.studies import Study, map_studies, series_by_id
from lumbar.data.tables import write_table
from lumbar.labels import GROUPS, group_of
from lumbar.mri.series import Series

Cut = tuple[int, NDArray[np.uint8], tuple[float, ...]]
"""The label of a point's row, its crop and its facts."""


class Cutter(Protocol):
    """What cuts crops, see `view.ViewCutter`."""

    @property
    def facts(self) -> tuple[str, ...]:
        """The names of the numbers that are kept beside each crop."""

    def shape(self, group: str) -> tuple[int, int, int]:
        """The shape (slices, size, size) of a condition group's crops."""

    def cut(self, series: Series, row: Any) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
        """The crop of a row of the points table on its series, and its facts."""


def write_crops(
    competition: Competition, split: str, points: pd.DataFrame, cutter: Cutter, folder: Path, jobs: int = -1
) -> None:
    """Cuts every point's crop. A study's series are read once, however many folds have points on it.

    The detector has read these series just before: that one is gone, or cannot be read any more, is an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    points = points.assign(group=points["condition"].map(group_of)).reset_index(drop=True)
    rows = {group: points.index[points["group"] == group] for group in GROUPS}
    arrays = {group: _create(folder / f"{group}.npy", (len(rows[group]), *cutter.shape(group))) for group in GROUPS}
    number_of = {label: (group, number) for group in GROUPS for number, label in enumerate(rows[group])}
    facts = np.zeros((len(points), len(cutter.facts)))
    for label, crop, of_crop in _cut_studies(competition, split, points, cutter, jobs):
        group, number = number_of[label]
        arrays[group][number], facts[label] = crop, of_crop
    points[list(cutter.facts)] = facts.round(5)
    for group, array in arrays.items():
        if isinstance(array, np.memmap):
            array.flush()
        write_table(points.loc[rows[group], [*INDEX, *cutter.facts]], folder / f"{group}.csv")


def _cut_studies(
    competition: Competition, split: str, points: pd.DataFrame, cutter: Cutter, jobs: int
) -> Iterator[Cut]:
    by_study, only = dict(list(points.groupby("study_id", sort=False))), set(points["series_id"])

    def cut(_: int, study: Study, __: object, given: pd.DataFrame) -> list[Cut]:
        return list(cut_points(series_by_id(study), given, cutter))

    options: dict[str, Any] = {"only": only, "given": by_study, "jobs": jobs, "strict": True}
    for done in map_studies(competition, split, list(by_study), cut, "crop", **options):
        yield from done.value or ()


def _create(path: Path, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    if shape[0] == 0:  # an empty file cannot be mapped
        np.save(path, np.zeros(shape, dtype=np.uint8))
        return np.zeros(shape, dtype=np.uint8)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def cut_points(series: Mapping[int, Series], points: pd.DataFrame, cutter: Cutter) -> Iterator[Cut]:
    """The crop of each row of a points table; `series` is by series_id."""
    for row in points.itertuples():
        yield row.Index, *cutter.cut(series[row.series_id], row)


def crops_of_study(series: Mapping[int, Series], points: pd.DataFrame, cutter: Cutter) -> dict[str, Crops]:
    """One study's crops by condition group, in memory; groups without a point are left out."""
    by_group = points.groupby(points["condition"].map(group_of))
    return {str(group): _crops_in_memory(series, of_group, cutter) for group, of_group in by_group}


def _crops_in_memory(series: Mapping[int, Series], points: pd.DataFrame, cutter: Cutter) -> Crops:
    cuts = list(cut_points(series, points, cutter))
    index = points[INDEX].reset_index(drop=True)
    index[list(cutter.facts)] = np.array([facts for _, _, facts in cuts]).round(5)
    return Crops(np.stack([crop for _, crop, _ in cuts]), with_row_ids(index))
