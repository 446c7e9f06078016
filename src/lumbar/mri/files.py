"""What lies in a series' folder: which files are DICOM, by their content, and their bytes, also out of a zip."""

import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import pydicom

LARGEST_FILE = 2**27
"""Bytes: so many that the largest image fits with 64 bits a pixel. A larger file is refused before it is read."""
SUFFIX, ZIP = ".dcm", ".zip"
MARK, MARK_AT = b"DICM", 128
"""What a DICOM file says after its preamble (PS3.10, 7.1)."""
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""Media Storage Directory Storage: a DICOMDIR, which lists files and shows nothing."""


def zip_of(directory: Path) -> Path:
    """A directory, or where there is none the zip of its name beside it, if there is one."""
    packed = directory.with_name(directory.name + ZIP)
    try:
        return packed if not directory.exists() and packed.is_file() else directory
    except OSError:  # nothing can be told of it: whoever lists it is told why
        return directory


def list_files(directory: Path) -> list[str]:
    """The paths of all files in a directory and below it, or in a zip, relative to it and sorted; `a.zip/b` is in a
    zip in the directory. Raises OSError where it cannot be listed."""
    return sorted(_members(directory) if directory.is_file() else _walk(directory, ""))


def _walk(directory: Path, prefix: str) -> Iterator[str]:
    for path in directory.iterdir():
        name = prefix + path.name
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, f"{name}/")
        elif path.suffix.lower() == ZIP and zipfile.is_zipfile(path):
            yield from (f"{name}/{member}" for member in _members(path))
        else:
            yield name


def _members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as packed:
        return [member.filename for member in packed.infolist() if not member.is_dir()]


def part_dicom(directory: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of the DICOM files, by their suffix or else by what they hold, and the others.

    A hidden file is none: file managers leave them, and some bear the names of the files beside them.
    """
    is_dicom = partial(_is_dicom, directory)
    mine = {name for name in names if not Path(name).name.startswith(".") and is_dicom(name)}
    return [name for name in names if name in mine], [name for name in names if name not in mine]


def _is_dicom(directory: Path, name: str) -> bool:
    if name.lower().endswith(SUFFIX):
        return True
    try:
        content = read_bytes(directory, name)
        header = pydicom.dcmread(
            BytesIO(content), force=True, stop_before_pixels=True, specific_tags=["Rows", "Columns"]
        )
        is_marked = content[MARK_AT : MARK_AT + len(MARK)] == MARK
        if is_marked and header.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY_CLASS:
            return False
        return is_marked or bool(header.get("Rows") and header.get("Columns"))
    except Exception:  # of any kind: whatever lies in the folder may be no DICOM at all
        return False


def read_bytes(directory: Path, name: str) -> bytes:
    """The content of a file that `list_files` names; ValueError where it is none, empty or too large."""
    if directory.is_file():
        return _unpack(directory, name)
    head, zipped, member = name.rpartition(f"{ZIP}/")
    if zipped and (directory / f"{head}{ZIP}").is_file():
        return _unpack(directory / f"{head}{ZIP}", member)
    path = directory / name
    if not path.is_file():
        raise ValueError("it is not a file")
    _refuse_size(path.stat().st_size)
    return path.read_bytes()


def _unpack(path: Path, member: str) -> bytes:
    with zipfile.ZipFile(path) as packed, packed.open(member) as file:
        content = file.read(LARGEST_FILE + 1)  # not what the zip claims: it may unpack to anything
    _refuse_size(len(content))
    return content


def _refuse_size(size: int) -> None:
    if not 0 < size <= LARGEST_FILE:
        raise ValueError("the file is empty" if size == 0 else f"the file has {size} bytes, at most {LARGEST_FILE}")
