"""Ways to break the files of a series as such: cut, replaced, lost, copied or moved."""

import re
import shutil
from pathlib import Path

from lumbar.phantom.faults.damage import Rng, few_files, files_of, overwrite, some_files

STRAY_NAMES = (".DS_Store", "Thumbs.db", "DICOMDIR", "1.dcm.part")
NOT_DICOM = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>\n"
KNOWN, UNKNOWN = rb"1\.2\.840\.10008\.1\.2\.[15]\0", b"1.2.840.10008.1.2.9\0"
"""The transfer syntaxes of a phantom's files, and one of the same length that nobody knows."""
LAST_BYTES = 8
"""Bytes that only say where compressed pixels end: without some of them nothing is lost yet."""


def truncate(folder: Path, rng: Rng) -> str:
    """Cuts files anywhere before their pixels end."""
    return overwrite(
        some_files(folder, rng), lambda content: content[: int(rng.integers(1, len(content) - LAST_BYTES))]
    )


def empty_files(folder: Path, rng: Rng) -> str:
    """Leaves files of no byte."""
    return overwrite(some_files(folder, rng), lambda _: b"")


def replace_by_text(folder: Path, rng: Rng) -> str:
    """Puts what a web server answers in place of files."""
    return overwrite(some_files(folder, rng), lambda _: NOT_DICOM)


def use_unknown_syntax(folder: Path, rng: Rng) -> str:
    """Names a transfer syntax that nobody knows."""
    return overwrite(some_files(folder, rng), lambda content: re.sub(KNOWN, UNKNOWN, content, count=1))


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


def empty_series(folder: Path, rng: Rng) -> str:
    """Removes every file."""
    for path in files_of(folder):
        path.unlink()
    return ""


def remove_series(folder: Path, rng: Rng) -> str:
    """Removes the folder."""
    shutil.rmtree(folder)
    return ""


def block_series(folder: Path, rng: Rng) -> str:
    """Puts in the folder's place what cannot be listed: a file that is no zip, or a link that leads to itself."""
    shutil.rmtree(folder)
    if rng.random() < 0.5:
        folder.write_bytes(NOT_DICOM)
        return "a file"
    folder.symlink_to(folder.name)
    return "a link to itself"
