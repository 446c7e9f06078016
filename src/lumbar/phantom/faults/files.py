"""Ways to break the files of a series as such: cut, replaced, lost, copied or moved."""

import shutil
from pathlib import Path

from lumbar.phantom.faults.damage import Rng, few_files, files_of, name_files, overwrite, some_files

STRAY_NAMES = (".DS_Store", "Thumbs.db", "DICOMDIR", "1.dcm.part")
NOT_DICOM = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>\n"
PLAIN, UNKNOWN = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"
"""The transfer syntax of the phantom's files, and one of the same length that nobody knows."""


def truncate(folder: Path, rng: Rng) -> str:
    """Cuts files anywhere."""
    return overwrite(some_files(folder, rng), lambda content: content[: int(rng.integers(1, len(content) - 1))])


def empty_files(folder: Path, rng: Rng) -> str:
    """Leaves files of no byte."""
    return overwrite(some_files(folder, rng), lambda _: b"")


def replace_by_text(folder: Path, rng: Rng) -> str:
    """Puts what a web server answers in place of files."""
    return overwrite(some_files(folder, rng), lambda _: NOT_DICOM)


def use_unknown_syntax(folder: Path, rng: Rng) -> str:
    """Names a transfer syntax that nobody knows."""
    return overwrite(some_files(folder, rng), lambda content: content.replace(PLAIN, UNKNOWN, 1))


def leave_one_slice(folder: Path, rng: Rng) -> str:
    """Removes all images but one."""
    files = files_of(folder)
    kept = files[int(rng.integers(len(files)))]
    for path in files:
        if path != kept:
            path.unlink()
    return f"left {kept.name}"


def copy_file(folder: Path, rng: Rng) -> str:
    """Leaves a copy beside a file."""
    path = few_files(folder, rng)[0]
    shutil.copyfile(path, path.with_name(f"{path.stem} (1).dcm"))
    return path.name


def add_stray_file(folder: Path, rng: Rng) -> str:
    """Leaves what an operating system or a download leaves."""
    name = STRAY_NAMES[int(rng.integers(len(STRAY_NAMES)))]
    (folder / name).write_bytes(rng.bytes(64))
    return name


def nest_folder(folder: Path, rng: Rng) -> str:
    """Puts some files into a folder of their own."""
    paths = few_files(folder, rng)
    (folder / "nested").mkdir()
    for path in paths:
        path.rename(folder / "nested" / path.name)
    return name_files(paths)


def empty_series(folder: Path, rng: Rng) -> str:
    """Removes every file."""
    for path in files_of(folder):
        path.unlink()
    return ""


def remove_series(folder: Path, rng: Rng) -> str:
    """Removes the folder."""
    shutil.rmtree(folder)
    return ""
