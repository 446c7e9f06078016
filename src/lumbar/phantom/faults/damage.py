"""What every way to break a series' files is made of: which files it hits, and how they are changed.

A damage takes the series' folder and a generator, and says in words what it did. Most hit all files of a series or any
few of them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

Rng = np.random.Generator
Damage = Callable[[Path, Rng], str]

ALL_FILES_SHARE = 0.4
"""How often a fault hits every file of a series."""
NAMED = 5
"""Files that are named before the rest is counted."""


def files_of(folder: Path) -> list[Path]:
    """The DICOM files of a series, in the order of their names."""
    return sorted(path for path in folder.glob("*.dcm") if path.is_file())


def some_files(folder: Path, rng: Rng) -> list[Path]:
    """All files of a series, or any few."""
    return files_of(folder) if rng.random() < ALL_FILES_SHARE else few_files(folder, rng)


def few_files(folder: Path, rng: Rng) -> list[Path]:
    """At least one file, and not all where there are several."""
    files = files_of(folder)
    chosen = rng.choice(len(files), int(rng.integers(1, max(2, len(files)))), replace=False)
    return [files[index] for index in sorted(chosen)]


def one_block(folder: Path, rng: Rng) -> list[Path]:
    """At least one file and not all where there are several: some that follow each other."""
    files = in_order(files_of(folder))
    count = int(rng.integers(1, max(2, len(files))))
    start = int(rng.integers(len(files) - count + 1))
    return files[start : start + count]


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Files in the order of the numbers that they are named by."""
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def name_files(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(path.name for path in paths[:NAMED]) + more


def edit_tags(paths: Sequence[Path], change: Callable[[Dataset], None]) -> str:
    """Changes the tags of files."""
    for path in paths:
        dataset = dcmread(path)
        change(dataset)
        dcmwrite(path, dataset)
    return name_files(paths)


def edit_pixels(paths: Sequence[Path], change: Callable[[Dataset], None]) -> str:
    """Changes the pixels of files, or what is said of them; the files are not compressed afterwards."""

    def unpack_and_change(dataset: Dataset) -> None:
        unpack(dataset)
        change(dataset)

    return edit_tags(paths, unpack_and_change)


def unpack(dataset: Dataset) -> None:
    """Decompresses the pixels, where they are compressed."""
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(generate_instance_uid=False)


def overwrite(paths: Sequence[Path], change: Callable[[bytes], bytes]) -> str:
    """Changes the bytes of files."""
    for path in paths:
        path.write_bytes(change(path.read_bytes()))
    return name_files(paths)
