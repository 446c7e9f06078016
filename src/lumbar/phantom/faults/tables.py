"""Ways to break the two tables of a test set, as text; every function says in words what it did."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar.labels import CELLS, SERIES_DESCRIPTIONS, plane_of

Rng = np.random.Generator

SERIES_TABLE, SUBMISSION_TABLE = "test_series_descriptions.csv", "sample_submission.csv"
PATH_LIKE = "../x"
"""A study id that leads out of the image folder."""
NEW_ID = (5_000_000_000, 6_000_000_000)
"""Numbers above every real id."""


@dataclass
class Table:
    """A CSV as text, to be changed in place: rows of values below a header, and how the file is written."""

    header: list[str]
    rows: list[list[str]]
    line_end: str = "\n"
    encoding: str = "utf-8"

    @classmethod
    def read(cls, path: Path) -> "Table":
        """From a file that is not broken."""
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        return cls(header, rows)

    def write(self, path: Path) -> None:
        """Into a file; no value needs quotation marks."""
        lines = [",".join(row) + self.line_end for row in (self.header, *self.rows)]
        path.write_bytes("".join(lines).encode(self.encoding))


Tables = dict[str, Table]
"""The series table and the sample submission, by the names of their files."""


def read_tables(root: Path) -> Tables:
    """The tables of a competition's folder."""
    return {name: Table.read(root / name) for name in (SERIES_TABLE, SUBMISSION_TABLE)}


# One series, or one study


def _row(tables: Tables, study_id: str, series_id: str) -> list[str]:
    return next(row for row in tables[SERIES_TABLE].rows if row[:2] == [study_id, series_id])


def relabel_sequence(tables: Tables, study_id: str, series_id: str, rng: Rng) -> str:
    """Lists a sagittal T1 as T2, or the reverse."""
    row = _row(tables, study_id, series_id)
    before, row[2] = row[2], "Sagittal T1" if "T2" in row[2] else "Sagittal T2/STIR"
    return f"{before} as {row[2]}"


def relabel_plane(tables: Tables, study_id: str, series_id: str, rng: Rng) -> str:
    """Lists a sagittal series as axial, or the reverse."""
    row = _row(tables, study_id, series_id)
    others = [name for name in SERIES_DESCRIPTIONS if plane_of(name) != plane_of(row[2])]
    before, row[2] = row[2], others[int(rng.integers(len(others)))]
    return f"{before} as {row[2]}"


def unlist_series(tables: Tables, study_id: str, series_id: str, rng: Rng) -> str:
    """Takes a series out of the table and leaves its files."""
    tables[SERIES_TABLE].rows.remove(_row(tables, study_id, series_id))
    return ""


def list_absent_series(tables: Tables, study_id: str, series_id: str, rng: Rng) -> str:
    """Lists, below a series, another one that has no files."""
    rows = tables[SERIES_TABLE].rows
    row = [study_id, str(rng.integers(*NEW_ID)), str(rng.choice(SERIES_DESCRIPTIONS))]
    rows.insert(rows.index(_row(tables, study_id, series_id)) + 1, row)
    return row[1]


def unlist_study(tables: Tables, study_id: str, series_id: str, rng: Rng) -> str:
    """Takes all series of a study out of the table."""
    table = tables[SERIES_TABLE]
    table.rows = [row for row in table.rows if row[0] != study_id]
    return ""


def unask_study(tables: Tables, study_id: str, series_id: str, rng: Rng) -> str:
    """Takes all rows of a study out of the sample submission."""
    table = tables[SUBMISSION_TABLE]
    table.rows = [row for row in table.rows if not row[0].startswith(f"{study_id}_")]
    return ""


# A whole table


def ask_unknown_study(table: Table, rng: Rng) -> str:
    """Asks for the rows of a study that has nothing else."""
    study_id = str(rng.integers(*NEW_ID))
    table.rows += [[f"{study_id}_{cell}", *table.rows[0][1:]] for cell in CELLS]
    return study_id


def ask_for_path(table: Table, rng: Rng) -> str:
    """Asks for the rows of a study whose id is a path."""
    table.rows += [[f"{PATH_LIKE}_{cell}", *table.rows[0][1:]] for cell in CELLS]
    return PATH_LIKE


def list_path(table: Table, rng: Rng) -> str:
    """Lists a series of a study whose id is a path."""
    table.rows.insert(int(rng.integers(len(table.rows))), [PATH_LIKE, *table.rows[0][1:]])
    return PATH_LIKE


def repeat_rows(table: Table, rng: Rng) -> str:
    """Writes some rows twice."""
    for index in sorted(rng.choice(len(table.rows), 2, replace=False))[::-1]:
        table.rows.insert(int(index), table.rows[int(index)][:])
    return ""


def cut_row(table: Table, rng: Rng) -> str:
    """Ends with a line that was cut off."""
    table.rows.append(table.rows[-1][:1])
    return table.rows[-1][0]


def open_quotation(table: Table, rng: Rng) -> str:
    """Puts a quotation mark without its partner before a value."""
    row = table.rows[int(rng.integers(len(table.rows)))]
    row[-1] = f'"{row[-1]}'
    return row[0]


def reorder_columns(table: Table, rng: Rng) -> str:
    """Writes the columns from last to first."""
    for row in (table.header, *table.rows):
        row.reverse()
    return ", ".join(table.header)


def add_byte_order_mark(table: Table, rng: Rng) -> str:
    """Writes the file as spreadsheets do."""
    table.encoding = "utf-8-sig"
    return ""


def end_lines_as_windows(table: Table, rng: Rng) -> str:
    """Writes a carriage return before each line's end."""
    table.line_end = "\r\n"
    return ""
