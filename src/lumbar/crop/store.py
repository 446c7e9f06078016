"""Cutting crops: a view of all training studies, onto disk, and of one study, in memory."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.crop.crops import INDEX, Crops, with_row_ids
from lumbar.data.competition import Competition
from lumbar.data.points import NO_SLICE
from lumbar.data.studies import Study, map_studies
from lumbar.data.tables import write_table
from lumbar.labels import group_of

Cut = tuple[int, NDArray[np.uint8], tuple[float, ...]]
"""The label of a point's row, its crop and its facts."""
WHOLE = ("is_own", "instance_number")
"""Facts that are whole numbers, as are those that say of a slice that it is real."""


class Cutter(Protocol):
    """What cuts the crops of a view, see `view.ViewCutter`."""

    @property
    def group(self) -> str:
        """The condition group whose points are cut at."""

    @property
    def series_description(self) -> str | None:
        """The type of the series that are cut, or None for the points' own."""

    @property
    def stand_in(self) -> str | None:
        """The type of the series that are cut in place of a point's own where that is of another type, if any."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (slices, size, size) of a crop."""

    @property
    def facts(self) -> tuple[str, ...]:
        """The names of the numbers that are kept beside each crop."""

    def cut(self, study: Study, row: Any) -> tuple[NDArray[np.uint8], tuple[float, ...]] | None:
        """The crop of a row of the points table on a study's series, and its facts; None where no slice shows it."""


def write_crops(
    competition: Competition, split: str, points: pd.DataFrame, cutter: Cutter, folder: Path, jobs: int = -1
) -> None:
    """Cuts a view at every point of its group, into `pixels.npy` and `index.csv`. A study's series are read once,
    however many points it has.

    The detector has read these series just before: that one is gone, or cannot be read any more, is an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    points = points[points["condition"].map(group_of) == cutter.group].reset_index(drop=True)
    pixels = _create(folder / "pixels.npy", (len(points), *cutter.shape))
    labels: list[int] = []
    facts: list[tuple[float, ...]] = []
    for label, crop, of_crop in _cut_studies(competition, split, points, cutter, folder.name, jobs):
        pixels[len(labels)] = crop
        labels.append(label)
        facts.append(of_crop)
    _keep_first(folder / "pixels.npy", pixels, len(labels))
    write_table(_index(points.loc[labels], facts, cutter), folder / "index.csv")


def _index(points: pd.DataFrame, facts: Sequence[tuple[float, ...]], cutter: Cutter) -> pd.DataFrame:
    """The index rows of some points with their facts."""
    table = pd.DataFrame(np.array(facts).reshape(len(points), len(cutter.facts)).round(5), columns=list(cutter.facts))
    whole = [name for name in cutter.facts if name in WHOLE or name.startswith("real_")]
    return pd.concat([points[INDEX].reset_index(drop=True), table.astype(dict.fromkeys(whole, "int64"))], axis=1)


def _cut_studies(
    competition: Competition, split: str, points: pd.DataFrame, cutter: Cutter, label: str, jobs: int
) -> Iterator[Cut]:
    by_study = dict(list(points.groupby("study_id", sort=False)))

    def cut(_: int, study: Study, __: object, given: pd.DataFrame) -> list[Cut]:
        return list(cut_points(study, given, cutter))

    only = _series_to_read(competition, split, points, cutter)
    options: dict[str, Any] = {
        "only": only,
        "given": by_study,
        "jobs": jobs,
        "strict": cutter.series_description is None,
    }
    for done in map_studies(competition, split, list(by_study), cut, f"crop: {label}", **options):
        yield from done.value or ()


def _series_to_read(competition: Competition, split: str, points: pd.DataFrame, cutter: Cutter) -> set[int]:
    table = competition.series(split)
    if cutter.series_description is None:
        return set(points["series_id"]) | _stand_ins(table, points, cutter)
    return set(table.loc[table["series_description"] == cutter.series_description, "series_id"])


def _stand_ins(table: pd.DataFrame, points: pd.DataFrame, cutter: Cutter) -> set[int]:
    """The series that stand in for others, of the studies that have a point on such a one."""
    fitting = table[table["series_description"] == cutter.stand_in]
    astray = points[(points["series_id"] != NO_SLICE) & ~points["series_id"].isin(fitting["series_id"])]
    return set(fitting.loc[fitting["study_id"].isin(astray["study_id"]), "series_id"])


def _create(path: Path, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    if shape[0] == 0:  # an empty file cannot be mapped
        np.save(path, np.zeros(shape, dtype=np.uint8))
        return np.zeros(shape, dtype=np.uint8)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on a Mac
        with path.open("r+b") as file:  # now, as an error: in a mapped file a full disk would kill the process
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return pixels


def _keep_first(path: Path, pixels: NDArray[np.uint8], count: int) -> None:
    """Ends an array of crops after the points that some slice shows, where it lies: a copy would take as much of the
    disk again. numpy leaves room in a file's header for another length."""
    if isinstance(pixels, np.memmap):
        pixels.flush()
    if count < len(pixels):
        with path.open("r+b") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(pixels[:count]))
            file.truncate(file.tell() + pixels[:count].nbytes)


def cut_points(study: Study, points: pd.DataFrame, cutter: Cutter) -> Iterator[Cut]:
    """The crop of each row of a points table that some slice of a study shows."""
    for row in points.itertuples():
        crop = cutter.cut(study, row)
        if crop is not None:
            yield row.Index, *crop


def crops_of_study(study: Study, points: pd.DataFrame, cutter: Cutter) -> Crops | None:
    """One study's crops of a view, in memory; None where there is none."""
    mine = points[points["condition"].map(group_of) == cutter.group]
    cuts = list(cut_points(study, mine, cutter))
    if not cuts:
        return None
    labels, crops, facts = zip(*cuts, strict=True)
    return Crops(np.stack(crops), with_row_ids(_index(mine.loc[list(labels)], facts, cutter)))
