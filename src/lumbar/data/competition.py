"""A folder in the competition's layout, read into checked tables.

Every reader gives the one spelling of conditions, levels and grades. Grades are 0, 1, 2 (`labels.GRADES`).
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path

import pandas as pd

from lumbar.data.tables import TableError, choice, integer, read_table, real, text
from lumbar.labels import CELLS, CONDITIONS, GRADES, LEVELS, SERIES_DESCRIPTIONS, group_of

logger = logging.getLogger(__name__)

ORACLE = "oracle.csv"
"""The best possible answer, beside a phantom's tables."""
ROW_ID_PARTS = r"^(?P<study_id>\d{1,18})_(?P<cell>" + "|".join(CELLS) + r")$"

SERIES_COLUMNS = (
    integer("study_id"),
    integer("series_id"),
    choice("series_description", SERIES_DESCRIPTIONS),
)


def read_labels(path: Path) -> pd.DataFrame:
    """`train.csv` in long form: study_id, condition, level, group, row_id, grade; empty cells are left out."""
    wide = read_table(
        path,
        [integer("study_id"), *(choice(column, GRADES, may_be_empty=True) for column in CELLS)],
        unique=["study_id"],
    )
    long = wide.melt(id_vars="study_id", var_name="cell", value_name="grade", ignore_index=False)
    long = long.sort_index(kind="stable").dropna(subset="grade").reset_index(drop=True)
    return pd.DataFrame(
        {
            "study_id": long["study_id"],
            "condition": [CELLS[cell].condition for cell in long["cell"]],
            "level": [CELLS[cell].level for cell in long["cell"]],
            "group": [group_of(CELLS[cell].condition) for cell in long["cell"]],
            "row_id": long["study_id"].astype(str) + "_" + long["cell"],
            "grade": long["grade"].map(GRADES.index).astype("int64"),
        }
    )


def read_study_ids(path: Path) -> list[int]:
    """The studies of a `train.csv`, in its order, whether or not they have a label."""
    return read_table(path, [integer("study_id")], unique=["study_id"])["study_id"].tolist()


def read_coordinates(path: Path) -> pd.DataFrame:
    """`train_label_coordinates.csv`: study_id, series_id, instance_number, condition, level, x, y (pixels).

    Of several points of a cell the first is kept, with a warning.
    """
    key = ["study_id", "condition", "level"]
    table = read_table(
        path,
        [
            *(integer(name) for name in ("study_id", "series_id", "instance_number")),
            choice("condition", CONDITIONS),
            choice("level", LEVELS),
            real("x"),
            real("y"),
        ],
    )
    repeated = table.duplicated(key)
    if repeated.any():
        first = ", ".join(f"{name} {value}" for name, value in table.loc[repeated, key].iloc[0].items())
        what = "rows are left out, since their cell has a point already"
        logger.warning("%s: %d %s; the first: %s", path, repeated.sum(), what, first)
    return table[~repeated].reset_index(drop=True)


def read_series_descriptions(path: Path) -> pd.DataFrame:
    """`train_` or `test_series_descriptions.csv`: study_id, series_id, series_description."""
    return read_table(path, SERIES_COLUMNS, unique=["study_id", "series_id"])


def read_predictions(path: Path) -> pd.DataFrame:
    """A CSV in submission format (.csv or .csv.gz): row_id, then a finite probability of each grade."""
    table = read_table(path, [text("row_id"), *(real(grade) for grade in GRADES)], unique=["row_id"])
    negative = (table[list(GRADES)] < 0).any(axis=1)
    if negative.any():
        row_id = table.loc[negative, "row_id"].iloc[0]
        raise TableError(f"{path}: row '{row_id}': expected probabilities that are not negative")
    zero = table[list(GRADES)].sum(axis=1) <= 0
    if zero.any():
        raise TableError(f"{path}: row '{table.loc[zero, 'row_id'].iloc[0]}': expected a sum above 0")
    return table


def no_predictions() -> pd.DataFrame:
    """An empty table in submission format, with the columns' types."""
    return pd.DataFrame({"row_id": pd.Series(dtype=str), **{grade: pd.Series(dtype="float64") for grade in GRADES}})


def split_row_ids(row_ids: pd.Series) -> pd.DataFrame:
    """study_id, condition, level and group of row ids, in their order; an id of another form is a TableError."""
    parts = row_ids.str.extract(ROW_ID_PARTS)
    if parts["study_id"].isna().any():
        wrong = row_ids[parts["study_id"].isna()].iloc[0]
        raise TableError(f"row_id '{wrong}': expected <study_id>_<condition>_<level>")
    cells = parts["cell"].map(CELLS)
    return pd.DataFrame(
        {
            "study_id": parts["study_id"].astype("int64"),
            "condition": [cell.condition for cell in cells],
            "level": [cell.level for cell in cells],
            "group": [group_of(cell.condition) for cell in cells],
        },
        index=row_ids.index,
    )


def refuse_unknown_rows(predictions: pd.DataFrame, path: Path) -> None:
    """Raises TableError, naming the file, for a row id that names no cell."""
    try:
        split_row_ids(predictions["row_id"])
    except TableError as error:
        raise TableError(f"{path}: {error}") from error


def _folder_name(number: int) -> str:
    if not isinstance(number, Integral) or number < 0:
        raise TableError(f"id '{number}': expected a whole number that is not negative")
    return str(int(number))


@dataclass(frozen=True)
class Competition:
    """A folder in the competition's layout; tables are read when first asked for."""

    root: Path

    def series_directory(self, split: str, study_id: int, series_id: int) -> Path:
        """Where a series' files lie; `split` is `train` or `test`. An id that is not a number is a TableError: such an
        id could name any folder of the machine."""
        return self.root / f"{split}_images" / _folder_name(study_id) / _folder_name(series_id)

    @property
    def is_phantom(self) -> bool:
        """Whether it is synthetic: only then the best possible answer is known, and lies beside the tables."""
        return (self.root / ORACLE).is_file()

    @cached_property
    def oracle(self) -> pd.DataFrame | None:
        """The best possible answer for the training studies, which only a phantom knows."""
        return read_predictions(self.root / ORACLE) if self.is_phantom else None

    @cached_property
    def study_ids(self) -> list[int]:
        """The training studies."""
        return read_study_ids(self.root / "train.csv")

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The training labels, as `read_labels` gives them."""
        return read_labels(self.root / "train.csv")

    @cached_property
    def coordinates(self) -> pd.DataFrame:
        """The annotated points, as `read_coordinates` gives them."""
        return read_coordinates(self.root / "train_label_coordinates.csv")

    @cached_property
    def sample_submission(self) -> pd.DataFrame:
        """The rows that a submission must have, in their order."""
        return read_table(self.root / "sample_submission.csv", [text("row_id")], unique=["row_id"])

    def series(self, split: str) -> pd.DataFrame:
        """The series of a split: study_id, series_id, series_description."""
        return read_series_descriptions(self.root / f"{split}_series_descriptions.csv")
