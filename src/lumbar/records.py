"""Plain records and text: frozen models, JSON files, files written whole or not at all, and aligned tables."""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lumbar.errors import InputError

AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


class Record(BaseModel):
    """Named values that never change and refuse a name that they do not have."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def read_record(path: Path, kind: type[AnyRecord], what: str = "", error: type[InputError] = InputError) -> AnyRecord:
    """A record from a JSON file.

    Raises FileNotFoundError where there is no file, and `error`, naming the file and the first key that does not fit,
    where it is not `what` it should be.
    """
    prefix = f"{path}: not {what}: " if what else f"{path}: "
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as invalid:
        raise error(prefix + _first_fault(invalid)) from invalid
    except UnicodeDecodeError as invalid:
        raise error(f"{prefix}it is no text") from invalid


def _first_fault(invalid: ValidationError) -> str:
    item = invalid.errors()[0]
    key = ".".join(map(str, item["loc"]))
    return f"{key}: {item['msg']}" if key else item["msg"]


def checksum(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_record(record: BaseModel, path: Path) -> None:
    """Writes a record as JSON, whole or not at all."""
    write_text(record.model_dump_json(indent=2) + "\n", path)


def write_json(content: Any, path: Path) -> None:
    """Writes plain data as JSON, whole or not at all; a number that is not finite is a ValueError."""
    write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", path)


def write_text(content: str, path: Path) -> None:
    """Writes a text file whole or not at all; one that holds this already is left alone."""
    if path.is_file() and path.read_bytes() == content.encode():
        return
    with written_whole(path) as beside:
        beside.write_text(content, encoding="utf-8")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write a file, beside its place: moved onto it in the end, and removed where that, or the writing, fails.

    An OSError then names the file itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Lets an OSError of the system that names no file, such as that of a full disk, name this path."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def align(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> list[str]:
    """Rows of a text table as lines: columns aligned to the right, but for those whose numbers are in `left`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_pad(*cell, left) for cell in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]


def _pad(column: int, cell: tuple[str, int], left: Collection[int]) -> str:
    text, width = cell
    return text.ljust(width) if column in left else text.rjust(width)


def figure(value: float | None, digits: int = 4) -> str:
    """A number with so many decimals, or a dash where there is none."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"
