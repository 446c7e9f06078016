"""Predictions of several members on a grid of study x cell, so that every step that follows is arithmetic on arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.data.competition import read_predictions, refuse_unknown_rows, split_row_ids
from lumbar.data.priors import nested_prior
from lumbar.data.tables import TableError
from lumbar.errors import InputError
from lumbar.labels import CELLS, GRADES, GROUPS, LEVELS, SIDES, Cell, condition_of, group_of, row_ids
from lumbar.metric import SUM_TOLERANCE, is_distribution, normalise, row_losses

Array = NDArray[np.float64]

Place = Literal["here", "above", "below", "other_side", "same_side", "same_level", "larger_side", "smaller_side"]
"""Where to look from a cell. `same_side` is also the other condition's cell on the cell's own side."""
PLACES: tuple[Place, ...] = get_args(Place)

_ORDER = {cell: number for number, cell in enumerate(CELLS.values())}
Grades = NDArray[np.int64]
_CELL_INDEX = {column: number for number, column in enumerate(CELLS)}
_GROUP_OF_CELL = np.array([group_of(cell.condition) for cell in CELLS.values()], dtype=object)


def _sides_of(group: str) -> tuple[str | None, ...]:
    return SIDES if GROUPS[group].has_sides else (None,)


def _cell_numbers(group: str) -> NDArray[np.int64]:
    """Places in `labels.CELLS` (sides, 5) of a group's cells."""
    rows = [[_ORDER[Cell(condition_of(group, side), level)] for level in LEVELS] for side in _sides_of(group)]
    return np.array(rows, dtype=np.int64)


GROUP_CELLS = {group: _cell_numbers(group) for group in GROUPS}
"""For each group, the places (sides, 5) of its cells in `labels.CELLS`, left before right, head to foot."""


def places_between(target: str, source: str) -> tuple[Place, ...]:
    """Where a target group's cell can look in a source group, the cell itself left out."""
    if target == source:
        return ("above", "below", "other_side") if GROUPS[target].has_sides else ("above", "below")
    if not GROUPS[source].has_sides:
        return ("same_level",)
    return ("same_side", "other_side") if GROUPS[target].has_sides else ("larger_side", "smaller_side")


def look(values: Array, target: str, source: str, place: Place) -> Array:
    """What (studies, 25) holds at a place of the source group, for each of the target's cells: (studies, sides, 5).

    The first level's `above` and the last one's `below` are the level itself; the larger or smaller side is that of
    the values, and where one side is missing (NaN), the other.
    """
    there = values[:, GROUP_CELLS[source]]
    if place == "above":
        return np.concatenate([there[:, :, :1], there[:, :, :-1]], axis=2)
    if place == "below":
        return np.concatenate([there[:, :, 1:], there[:, :, -1:]], axis=2)
    if place == "other_side":
        return there[:, ::-1]
    if place == "larger_side":
        return np.fmax(there[:, :1], there[:, 1:])
    if place == "smaller_side":
        return np.fmin(there[:, :1], there[:, 1:])
    return np.broadcast_to(there, (len(values), *GROUP_CELLS[target].shape))


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
        """What the members say of some of the studies, which are named by their place."""
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


def cells_of(names: pd.Series) -> pd.Series:
    """Each row's place in `labels.CELLS`."""
    numbers = [_CELL_INDEX[name.partition("_")[2]] for name in names]
    return pd.Series(numbers, index=names.index, dtype="int64")


def tabulate(probabilities: Array, study_ids: Sequence[int]) -> pd.DataFrame:
    """Probabilities (studies, 25, 3) in submission format, study by study; missing cells (NaN) are left out."""
    table = pd.DataFrame(probabilities.reshape(-1, len(GRADES)), columns=list(GRADES))
    table.insert(0, "row_id", pd.Series(row_ids(study_ids), dtype=str))
    return table.dropna(ignore_index=True)


@dataclass(frozen=True, eq=False)
class Truth:
    """The studies' grades (studies, 25), -1 where a cell has none, their folds (studies,), and what no member needs to
    know: the prior (studies, 25, 3) of the other folds."""

    study_ids: tuple[int, ...]
    grades: Grades
    folds: NDArray[np.int64]
    prior: Array


def gather_truth(labels: pd.DataFrame, folds: pd.DataFrame, study_ids: Sequence[int]) -> Truth:
    """The truth of studies in rising order.

    `labels` is `data.competition.read_labels`, `folds` has study_id and fold.
    """
    known = labels[labels["study_id"].isin(study_ids)]
    grades = np.full((len(study_ids), len(CELLS)), -1)
    grades[np.searchsorted(study_ids, known["study_id"]), cells_of(known["row_id"])] = known["grade"]
    fold_of = folds.set_index("study_id")["fold"].reindex(list(study_ids)).to_numpy(dtype=np.int64)
    prior = gather_members({"prior": nested_prior(known, folds)}, study_ids).probabilities[0]
    return Truth(tuple(study_ids), grades, fold_of, prior)


def score_cells(truth: Truth, probabilities: Array) -> pd.DataFrame:
    """`metric.study_losses` of the graded cells that probabilities (studies, 25, 3) are given for."""
    study, cell = np.nonzero((truth.grades >= 0) & ~np.isnan(probabilities[..., 0]))
    ids = np.asarray(truth.study_ids)[study]
    rows = pd.DataFrame(probabilities[study, cell], columns=list(GRADES))
    rows = rows.assign(study_id=ids, group=_GROUP_OF_CELL[cell], grade=truth.grades[study, cell])
    return row_losses(rows, np.unique(ids))
