"""What lies in a series' folder: which files are DICOM, by their content, and their bytes, also out of a zip."""

import os
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pydicom

LARGEST_FILE = 2**27
"""Bytes: so many that the largest image fits with 64 bits a pixel. A larger file is refused before it is read."""
SUFFIX, ZIP = ".dcm", ".zip"
ZIP_AND_MEMBER = re.compile(rf"{re.escape(ZIP)}/", re.IGNORECASE)
"""Where a name goes on inside a zip."""
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""Media Storage Directory Storage: a DICOMDIR, which lists files and shows nothing."""


def zip_of(directory: Path) -> Path:
    """A directory, or where there is none the zip of its name beside it, if there is one."""
    zips = (directory.with_name(directory.name + suffix) for suffix in (ZIP, ZIP.upper()))
    try:
        return directory if directory.exists() else next(filter(Path.is_file, zips), directory)
    except OSError:  # nothing can be told of it: whoever lists it is told why
        return directory


class Entry(NamedTuple):
    """A file in a folder or below it: its path in that, and its bytes; or what cannot be looked at, and why."""

    name: str
    size: int = 0
    refusal: OSError | None = None


def is_hidden(name: str) -> bool:
    """Whether a file is a hidden one, or in a hidden folder.

    File managers leave them wherever somebody looks, and some bear the names of the files beside them.
    """
    return any(part.startswith(".") for part in name.split("/"))


def walk(folder: Path) -> list[Entry]:
    """What lies in a folder and below it, sorted by name; folders themselves only where they cannot be listed (the
    folder that is asked for by an empty name). A link to a folder is followed, but not into itself."""
    return sorted(_walk(folder, "", frozenset()), key=lambda entry: entry.name)


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[Entry]:
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
    except OSError as error:
        yield Entry(prefix.rstrip("/"), refusal=error)
        return
    for entry in entries:
        name = prefix + entry.name
        try:
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{name}/", above | {real})
            else:
                yield Entry(name, entry.stat().st_size)
        except OSError as error:
            yield Entry(name, refusal=error)


def list_files(directory: Path) -> tuple[list[str], dict[str, Exception]]:
    """The paths of all files in a directory and below it, or in a zip, relative to it and sorted; `a.zip/b` is in a
    zip in the directory. And what cannot be looked at, with why; raises that where it is the directory itself."""
    if directory.is_file():
        return _members(directory), {}
    names: list[str] = []
    refused: dict[str, Exception] = {}
    for entry in walk(directory):
        try:
            if entry.refusal:
                raise entry.refusal
            path = directory / entry.name
            is_zip = entry.name.lower().endswith(ZIP) and zipfile.is_zipfile(path)
            names += [f"{entry.name}/{member}" for member in _members(path)] if is_zip else [entry.name]
        except (OSError, zipfile.BadZipFile) as error:
            if not entry.name:
                raise
            refused[entry.name] = error
    return names, refused


def _members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as packed:
        return sorted(member.filename for member in packed.infolist() if not member.is_dir())


def part_dicom(directory: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of the DICOM files, by their suffix or else by what they hold, and the others, such as hidden ones."""
    mine = {name for name in names if not is_hidden(name) and _is_dicom(directory, name)}
    return [name for name in names if name in mine], [name for name in names if name not in mine]


def _is_dicom(directory: Path, name: str) -> bool:
    if name.lower().endswith(SUFFIX):
        return True
    try:
        header = read_header(directory, name, ["Rows", "Columns"])
        is_marked = bool(header.preamble)
        if is_marked and header.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY_CLASS:
            return False
        return is_marked or bool(header.get("Rows") and header.get("Columns"))
    except Exception:  # of any kind: whatever lies in the folder may be no DICOM at all
        return False


def read_bytes(directory: Path, name: str) -> bytes:
    """The content of a file that `list_files` names; ValueError where it is none, empty or too large."""
    if directory.suffix.lower() == ZIP and directory.is_file():
        return _unpack(directory, name)
    for slash in ZIP_AND_MEMBER.finditer(name):
        packed = directory / name[: slash.end() - 1]
        if packed.is_file():
            return _unpack(packed, name[slash.end() :])
    path = directory / name
    kind = path.stat()
    if not stat.S_ISREG(kind.st_mode):
        raise ValueError("it is not a file")
    _refuse_size(kind.st_size)
    return path.read_bytes()


def read_header(directory: Path, name: str, tags: Sequence[str]) -> pydicom.Dataset:
    """Some tags of a file that `list_files` names, without its pixels; raises whatever pydicom raises where it is no
    DICOM file. It has a preamble where the file says that it is one."""
    path = directory / name
    source = path if directory.is_dir() and path.is_file() else BytesIO(read_bytes(directory, name))
    return pydicom.dcmread(source, force=True, stop_before_pixels=True, specific_tags=list(tags))


def _unpack(path: Path, member: str) -> bytes:
    with zipfile.ZipFile(path) as packed, packed.open(member) as file:
        content = file.read(LARGEST_FILE + 1)  # not what the zip claims: it may unpack to anything
    _refuse_size(len(content))
    return content


def _refuse_size(size: int) -> None:
    if not 0 < size <= LARGEST_FILE:
        raise ValueError("the file is empty" if size == 0 else f"the file has {size} bytes, at most {LARGEST_FILE}")
