"""Predictions of several members on a grid of study x cell, so that every step that follows is arithmetic on arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.dataset import read_predictions, split_row_ids
from lumbar.errors import InputError
from lumbar.labels import CELLS, GRADES
from lumbar.metric import is_distribution, normalise, refuse_unknown_rows
from lumbar.tables import TableError

Array = NDArray[np.float64]
Grades = NDArray[np.int64]

SUM_TOLERANCE = 2e-3
"""How far from 1 a row may sum: probabilities rounded to three decimals, or computed in half precision, are so far."""
_CELL_INDEX = {column: number for number, column in enumerate(CELLS)}


class MemberError(InputError):
    """A member's table that is not what it should be; the message names the member and the row."""


@dataclass(frozen=True, eq=False)
class Members:
    """What each member (in the order of `names`) says: probabilities (members, studies, 25, 3), NaN where nothing.

    Members and studies are sorted, so that the order in which they were given changes nothing.
    """

    names: tuple[str, ...]
    study_ids: tuple[int, ...]
    probabilities: Array

    def take(self, studies: NDArray[np.int64]) -> "Members":
        """The same members on some of the studies, named by their place."""
        return Members(self.names, tuple(self.study_ids[place] for place in studies), self.probabilities[:, studies])

    def without(self, name: str) -> "Members":
        """All members but one."""
        kept = [place for place, other in enumerate(self.names) if other != name]
        return Members(tuple(self.names[place] for place in kept), self.study_ids, self.probabilities[kept])


def read_member(path: Path) -> pd.DataFrame:
    """A member's predictions (.csv or .csv.gz) in submission format, for any of the cells of any studies.

    Raises TableError, naming file and row, for what is no cell, no probability, negative, repeated, or does not sum
    to 1.
    """
    table = read_predictions(path)
    refuse_unknown_rows(table, path)
    sums = table[list(GRADES)].sum(axis=1)
    off = (sums - 1).abs() > SUM_TOLERANCE
    if off.any():
        row_id, total = table.loc[off, "row_id"].iloc[0], sums[off].iloc[0]
        raise TableError(f"{path}: row '{row_id}': expected probabilities that sum to 1, they sum to {total:.4f}")
    return table


def refuse_other_studies(table: pd.DataFrame, path: Path, study_ids: Sequence[int], folds: Path) -> None:
    """Raises TableError, naming file and row, for a prediction of a study that has no fold."""
    unknown = ~split_row_ids(table["row_id"])["study_id"].isin(study_ids)
    if unknown.any():
        row_id = table.loc[unknown, "row_id"].iloc[0]
        raise TableError(f"{path}: row '{row_id}': the study is not in {folds}, expected one that has a fold")


def gather_members(tables: Mapping[str, pd.DataFrame], study_ids: Sequence[int] | None = None) -> Members:
    """Members' tables in submission format on one grid, of the given studies or of all that are predicted.

    A row of NaN counts as missing. Raises MemberError for rows that are repeated or no probabilities.
    """
    names = tuple(sorted(tables))
    places = {name: _locate_rows(tables[name], name) for name in names}
    wanted = study_ids if study_ids is not None else [study for place in places.values() for study in place["study_id"]]
    studies = np.unique(np.asarray(wanted, dtype=np.int64))
    values = np.full((len(names), len(studies), len(CELLS), len(GRADES)), np.nan)
    for number, name in enumerate(names):
        place = places[name][places[name]["study_id"].isin(studies)]
        rows = normalise(tables[name][list(GRADES)].to_numpy(dtype=np.float64)[place.index])
        values[number, np.searchsorted(studies, place["study_id"]), place["cell"]] = rows
    return Members(names, tuple(studies.tolist()), values)


def _locate_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """study_id and the cell's place in `labels.CELLS` of each row that is not missing, by the row's number."""
    table = table.reset_index(drop=True)
    table = table[table[list(GRADES)].notna().any(axis=1)]
    wrong = table["row_id"].duplicated() | ~is_distribution(table[list(GRADES)].to_numpy(dtype=np.float64))
    if wrong.any():
        row_id = table["row_id"][wrong].iloc[0]
        raise MemberError(f"member '{name}', row '{row_id}': expected one row of probabilities that are not negative")
    return pd.DataFrame({"study_id": split_row_ids(table["row_id"])["study_id"], "cell": cells_of(table["row_id"])})


def cells_of(row_ids: pd.Series) -> pd.Series:
    """Each row's place in `labels.CELLS`."""
    numbers = [_CELL_INDEX[row_id.partition("_")[2]] for row_id in row_ids]
    return pd.Series(numbers, index=row_ids.index, dtype="int64")


def tabulate(probabilities: Array, study_ids: Sequence[int]) -> pd.DataFrame:
    """Probabilities (studies, 25, 3) in submission format, study by study; missing cells (NaN) are left out."""
    row_ids = [f"{study}_{cell}" for study in study_ids for cell in CELLS]
    table = pd.DataFrame(probabilities.reshape(-1, len(GRADES)), columns=list(GRADES))
    table.insert(0, "row_id", pd.Series(row_ids, dtype=str))
    return table.dropna(ignore_index=True)
