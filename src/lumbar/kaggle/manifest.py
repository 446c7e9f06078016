"""A bundle's list of its files: what is damaged, missing or foreign is refused by name before anything is loaded."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import lumbar
from lumbar.errors import InputError
from lumbar.records import Record, checksum, read_record, write_record
from lumbar.run.checkpoint import current_commit

BUNDLE = "bundle.json"
"""The list in the bundle that the inference kernel takes its models from."""
TRAINING = "training.json"
"""The list in the bundle that the training kernel takes its code from."""
METADATA = "dataset-metadata.json"
"""Kaggle's own description of a data set: it lies beside the list and is not uploaded."""


class BundleError(InputError):
    """A bundle that is not what it should be; the message names every file that is not."""


class Manifest(Record):
    """The files of a bundle, with what made them."""

    version: str
    """The package's version."""
    commit: str
    """The repository's commit, or `unknown`."""
    files: Mapping[str, str]
    """The SHA-256 of each file by its path inside the bundle."""


def write_manifest(folder: Path, name: str) -> None:
    """Lists every file of a folder with its checksum, as `name` in it."""
    files = {file: checksum(folder / file) for file in _files_in(folder, name)}
    manifest = Manifest(version=lumbar.__version__, commit=current_commit(), files=files)
    write_record(manifest, folder / name)


def read_manifest(folder: Path, name: str) -> Manifest:
    """The list of a bundle's files; BundleError when it is not there or not a list."""
    try:
        return read_record(folder / name, Manifest, "a list of a bundle's files", BundleError)
    except FileNotFoundError:
        raise BundleError(f"{folder / name}: there is no such list of the bundle's files; make the bundle") from None


def find_file_faults(folder: Path, name: str) -> Iterator[str]:
    """Every way in which a folder is not what its list says, a sentence each."""
    try:
        manifest = read_manifest(folder, name)
    except BundleError as error:
        yield str(error)
        return
    if manifest.version != lumbar.__version__:
        yield (
            f"{folder / name}: the bundle was made by lumbar {manifest.version}, this is {lumbar.__version__}; "
            "make the bundle again"
        )
    for file, expected in manifest.files.items():
        yield from _find_faults_of(folder, name, file, expected)
    for file in sorted(set(_files_in(folder, name)) - set(manifest.files)):
        yield f"{folder / file}: {name} does not list this file; remove it, or make the bundle again"


def _find_faults_of(folder: Path, name: str, file: str, expected: str) -> Iterator[str]:
    path = PurePosixPath(file)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in file or str(path) != file:
        yield f"{folder / name}: lists '{file}', which is no path inside the bundle; make the bundle again"
    elif not (folder / file).is_file():
        yield (
            f"{folder / file}: the bundle lists this file, and it is not there; was it uploaded without `-r zip`, "
            "which leaves folders out?"
        )
    elif checksum(folder / file) != expected:
        yield f"{folder / file}: its checksum is not the one in {name}, the upload is damaged"


def _files_in(folder: Path, name: str) -> list[str]:
    """The files that a list must name: all but itself and Kaggle's description."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(set(files) - {name, METADATA})
