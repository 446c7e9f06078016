"""CSV files read into checked tables: what is wrong is named with its file, column and row."""

import codecs
import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.errors import InputError, printable
from lumbar.labels import spell
from lumbar.records import write_text

SAID = 20
"""Messages of one kind that are put in words, before the rest is counted."""


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
        known = pd.to_numeric(text, errors="coerce").notna()
        # pandas is some units off in the last place of long numbers, and Python is not.
        values = text[known].map(float).astype("float64").reindex(text.index)
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
    `unique`. Line numbers count the header as line 1; no value spans lines.
    """
    table, findings = _read_good_rows(path, columns, unique)
    if findings.errors:
        first, *others = findings.errors[0]
        raise TableError(f"{path}: {first}" + (f" (and {len(others)} more)" if others else ""))
    return table


def salvage_table(path: Path, columns: Sequence[Column], unique: Sequence[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Like `read_table`, but keeps the good rows of a bad file, and says what it left out or found unusual.

    Of rows that share the values of `unique` the first is kept. A missing or unreadable file gives no rows.
    """
    table, findings = _read_good_rows(path, columns, unique)
    return table, findings.messages(path)


def salvage_column(path: Path, name: str) -> tuple[list[tuple[int, str]], list[str]]:
    """One column as it stands in the file, each value with its line and whatever else is wrong with its row.

    Returns the values, and in words what is wrong or unusual.
    """
    source = _read_csv(path)
    place = source.header.index(name) if name in source.header else len(source.header)
    errors = [*source.errors]
    if place == len(source.header):
        errors += [[_misses(name, source.header)]] if source.header else []
        return [], _Findings(errors, source.remarks).messages(path)
    errors.append([f"line {number} has no {name}" for number, row in source.rows if len(row) <= place])
    remarks = source.remarks + ([f"{name} is not the first column"] if place else [])
    values = [(number, row[place]) for number, row in source.rows if len(row) > place]
    return values, _Findings(errors, remarks).messages(path)


@dataclass(frozen=True)
class _Findings:
    """What is wrong with a file, in groups of one kind, and what is only unusual."""

    errors: list[list[str]]
    remarks: list[str]

    def messages(self, path: Path) -> list[str]:
        """Everything in words; of a long group its beginning and its length."""
        said = [message for group in self.errors for message in group[:SAID]]
        unsaid = [f"{len(group) - SAID} more like '{group[0]}'" for group in self.errors if len(group) > SAID]
        return [f"{path}: {message}" for message in (*said, *unsaid, *self.remarks)]


@dataclass(frozen=True)
class _Csv:
    """A file's header, and number and values of each line below it that is not blank; and what is wrong with it."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    errors: list[list[str]]
    remarks: list[str]


def _read_csv(path: Path) -> _Csv:
    if not path.is_file():
        return _Csv([], [], [["there is no such file"]], [])
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content: bytes = file.read()
    except (OSError, EOFError, zlib.error) as error:
        return _Csv([], [], [[f"cannot be read as CSV: {error}"]], [])
    errors = []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = content.decode("utf-8-sig", errors="replace")
        errors.append([f"cannot be read as CSV: {error}"])
    lines = _split(text)
    if not lines:
        errors.append(["the file is empty, expected a header line"])
    header = [name.strip() for name in lines[0][1]] if lines else []
    return _Csv(header, lines[1:], errors, _note_style(content, text))


def _split(text: str) -> list[tuple[int, list[str]]]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(number, _values(line)) for number, line in enumerate(lines, start=1) if line]


def _values(line: str) -> list[str]:
    """A line's values, by itself: a quotation mark without its partner, which is dropped, swallows nothing."""
    if '"' not in line or line.count('"') % 2:
        return line.replace('"', "").split(",")
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return [line]


def _note_style(content: bytes, text: str) -> list[str]:
    has = {
        "a byte-order mark": content.startswith(codecs.BOM_UTF8),
        "Windows line ends": "\r\n" in text,
        "a quotation mark without its partner": '"' in text and any(line.count('"') % 2 for line in text.splitlines()),
    }
    return [f"the file has {what}; no harm" for what, is_so in has.items() if is_so]


def _misses(name: str, header: Sequence[str]) -> str:
    return f"column '{name}' is missing; the columns are {printable(', '.join(header))}"


def _read_good_rows(path: Path, columns: Sequence[Column], unique: Sequence[str]) -> tuple[pd.DataFrame, _Findings]:
    """The rows without an error, and everything that was found wrong or unusual."""
    source = _read_csv(path)
    width = len(source.header)
    errors = [
        *source.errors,
        [f"line {number} has {len(row)} values, expected {width}" for number, row in source.rows if len(row) != width],
        *([message] for message in _name_wrong_columns(source.header, columns) if width),
    ]
    rows = [(number, row) for number, row in source.rows if len(row) == width]
    if not {column.name for column in columns} <= set(source.header):
        rows = []
    table = _parse_columns(rows, source.header, columns, errors)
    if unique:
        errors.append(_name_duplicates(table, list(unique)))
        table = table.drop_duplicates(list(unique))
    found = _Findings([group for group in errors if group], source.remarks + _note_order(source.header, columns))
    return table.reset_index(drop=True), found


def _name_wrong_columns(header: Sequence[str], columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        if column.name not in header:
            yield _misses(column.name, header)
        elif header.count(column.name) > 1:
            yield (f"column '{column.name}' stands there more than once; the columns are {', '.join(header)}")


def _note_order(header: Sequence[str], columns: Sequence[Column]) -> list[str]:
    usual = [column.name for column in columns]
    found = [name for name in header if name in usual]
    return [f"the columns come in another order: {', '.join(found)}"] if found != usual[: len(found)] else []


def _parse_columns(
    rows: Sequence[tuple[int, list[str]]], header: Sequence[str], columns: Sequence[Column], errors: list[list[str]]
) -> pd.DataFrame:
    """The rows whose values all fit, by line number; adds the others to the errors."""
    lines = pd.Index([number for number, _ in rows], dtype="int64")
    good = pd.Series(True, index=lines)
    parsed = {}
    for column in columns:
        place = header.index(column.name) if rows else 0
        values = pd.Series([row[place] for _, row in rows], index=lines, dtype=str).str.strip()
        parsed[column.name] = column.parse(values)
        fits = parsed[column.name].notna() | ((values == "") & column.may_be_empty)
        errors.append([_wrong_value(column, line, values[line]) for line in lines[~fits]])
        good &= fits
    table = pd.DataFrame(parsed)[good]
    return table.astype({name: "int64" for name, dtype in table.dtypes.items() if dtype == "Int64"})


def _wrong_value(column: Column, line: int, value: str) -> str:
    return f"column '{column.name}', line {line}: expected {column.expected}, got '{printable(value)}'"


def _name_duplicates(table: pd.DataFrame, key: list[str]) -> list[str]:
    repeated = table[table.duplicated(key)]
    return [
        f"column '{key[0]}', line {line}: {', '.join(f'{name} {row[name]}' for name in key)}"
        " stands there already, expected it once"
        for line, row in zip(repeated.index, repeated.to_dict("records"), strict=True)
    ]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a CSV whole or not at all: beside its place first, then moved onto it."""
    write_text(table.to_csv(index=False), path)
