"""A submission's rows: exactly those that are asked for, with the prior where no model has an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.data.competition import ROW_ID_PARTS
from lumbar.data.tables import write_table
from lumbar.labels import CELLS, GRADES, Cell
from lumbar.metric import is_distribution, normalise


@dataclass(frozen=True, eq=False)
class Completed:
    """Predictions for every row asked for, and the row ids that fell back on the prior."""

    predictions: pd.DataFrame
    fallback: list[str]


def complete_rows(
    predictions: pd.DataFrame, row_ids: Sequence[str], prior: pd.DataFrame, floor: float = 0.0
) -> Completed:
    """The predictions of `row_ids`, in their order; a row without one gets its condition's and level's prior.

    A row id that names no cell gets the uniform answer: the rows asked for are never one less.
    `prior` is `priors.fit_prior`. Every row is at least `floor` and sums to 1 in float64.
    """
    asked = pd.Series(list(row_ids), dtype=str)
    spare = _spare(asked, prior)
    given = predictions.set_index("row_id").reindex(asked)[list(GRADES)].to_numpy(dtype=np.float64)
    usable = is_distribution(given)
    values = np.where(usable[:, None], given, spare)
    table = pd.DataFrame(_apply_floor(normalise(values), floor), columns=list(GRADES)).assign(row_id=asked)
    return Completed(table[["row_id", *GRADES]], asked[~usable].tolist())


def _spare(asked: pd.Series, prior: pd.DataFrame) -> np.ndarray:
    """The prior (N, 3) of each row's cell."""
    cells = asked.str.extract(ROW_ID_PARTS)["cell"].map(CELLS)
    keys = [(cell.condition, cell.level) if isinstance(cell, Cell) else ("", "") for cell in cells]
    shares = prior.set_index(["condition", "level"])[list(GRADES)]
    return shares.reindex(keys).fillna(1 / len(GRADES)).to_numpy()


def _apply_floor(probabilities: np.ndarray, floor: float) -> np.ndarray:
    """Mixes with the uniform answer just so much that no probability is below the floor; rows still sum to 1."""
    return normalise(probabilities * (1 - len(GRADES) * floor) + floor)


def write_submission(completed: Completed, path: Path) -> None:
    """Writes the CSV, after checking that each row is finite and sums to 1."""
    values = completed.predictions[list(GRADES)].to_numpy()
    if not np.isfinite(values).all() or not np.allclose(values.sum(axis=1), 1, atol=1e-9):
        raise ValueError(f"{path}: a row is not finite or does not sum to 1, nothing was written")
    write_table(completed.predictions, path)
