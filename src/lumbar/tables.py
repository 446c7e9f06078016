"""CSV files read into checked tables: what is wrong is named with its file, column and row."""

import csv
import gzip
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.errors import InputError
from lumbar.labels import spell


class TableError(InputError):
    """A table that is not what it should be; the message names the file, the column and the row."""


@dataclass(frozen=True)
class Column:
    """What a column must hold. `parse` maps text to values and leaves what it cannot read missing."""

    name: str
    expected: str
    parse: Callable[[pd.Series], pd.Series]
    may_be_empty: bool = False


def integer(name: str) -> Column:
    """A column of whole numbers that are not negative, such as ids."""

    def parse(text: pd.Series) -> pd.Series:
        return text.where(text.str.fullmatch(r"\d{1,18}")).astype("Int64")

    return Column(name, "a whole number that is not negative", parse)


def real(name: str) -> Column:
    """A column of finite numbers."""

    def parse(text: pd.Series) -> pd.Series:
        values = pd.to_numeric(text, errors="coerce").astype("float64")
        return values.where(np.isfinite(values))

    return Column(name, "a finite number", parse)


def text(name: str) -> Column:
    """A column of text that is not empty."""
    return Column(name, "some text", lambda values: values.where(values != ""))


def choice(name: str, options: Iterable[str], may_be_empty: bool = False) -> Column:
    """A column of names in any of the competition's spellings, brought to the one spelling."""
    by_spelling = {spell(option): option for option in options}
    expected = "one of " + ", ".join(by_spelling.values()) + (" or nothing" if may_be_empty else "")
    return Column(name, expected, lambda values: values.map(spell).map(by_spelling), may_be_empty)


def read_table(path: Path, columns: Sequence[Column], unique: Sequence[str] = ()) -> pd.DataFrame:
    """Reads a CSV (or .csv.gz) with the given columns, in any order; other columns are left out.

    Raises TableError for a missing or duplicate column, a value that does not fit, or rows that share the values of
    `unique`. Line numbers count the header as line 1.
    """
    raw = _read_text(path)
    for column in columns:
        count = list(raw.columns).count(column.name)
        if count != 1:
            what = "is missing" if count == 0 else "stands there more than once"
            raise TableError(f"{path}: column '{column.name}' {what}; the columns are {', '.join(raw.columns)}")
    table = pd.DataFrame({column.name: _parse(path, column, raw[column.name]) for column in columns})
    if unique:
        _refuse_duplicates(path, table, list(unique))
    return table.reset_index(drop=True)


def _read_text(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise TableError(f"{path}: there is no such file")
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise TableError(f"{path}: cannot be read as CSV: {error}") from error
    if not lines:
        raise TableError(f"{path}: the file is empty, expected a header line")
    header = [name.strip() for name in lines[0][1]]
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise TableError(f"{path}: line {number} has {len(row)} values, expected {len(header)}")
    numbers = pd.Index([number for number, _ in lines[1:]], dtype="int64")
    return pd.DataFrame([row for _, row in lines[1:]], index=numbers, columns=header, dtype=str)


def _parse(path: Path, column: Column, raw: pd.Series) -> pd.Series:
    values = raw.str.strip()
    parsed = column.parse(values)
    wrong = parsed.isna() & ~((values == "") & column.may_be_empty)
    if wrong.any():
        line = wrong.idxmax()
        raise TableError(
            f"{path}: column '{column.name}', line {line}: expected {column.expected}, got '{raw[line]}'"
            + (f" (and {int(wrong.sum()) - 1} more)" if wrong.sum() > 1 else "")
        )
    return parsed.astype("int64") if parsed.dtype == "Int64" else parsed


def _refuse_duplicates(path: Path, table: pd.DataFrame, key: list[str]) -> None:
    repeated = table.duplicated(key)
    if repeated.any():
        line = repeated.idxmax()
        named = ", ".join(f"{name} {table.loc[line, name]}" for name in key)
        raise TableError(f"{path}: column '{key[0]}', line {line}: {named} stands there already, expected it once")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a CSV whole or not at all: beside its place first, then moved onto it."""
    write_text(table.to_csv(index=False), path)


def write_text(content: str, path: Path) -> None:
    """Writes a text file whole or not at all; one that holds this already is left alone."""
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(content, encoding="utf-8")
    beside.replace(path)
