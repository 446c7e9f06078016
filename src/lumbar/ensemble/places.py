"""Where a cell's neighbours lie: other levels, the other side, the other conditions of the same study."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lumbar.labels import CELLS, GROUPS, LEVELS, SIDES, Cell, condition_of

Array = NDArray[np.float64]

Place = Literal["here", "above", "below", "other_side", "same_side", "same_level", "larger_side", "smaller_side"]
"""Where to look from a cell. `same_side` is also the other condition's cell on the cell's own side."""
PLACES: tuple[Place, ...] = get_args(Place)

_ORDER = {cell: number for number, cell in enumerate(CELLS.values())}


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
