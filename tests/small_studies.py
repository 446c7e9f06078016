"""Studies of five small images a series, with a real one's tags: what tests of broken studies break."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from pydicom.uid import RLELossless

from lumbar.data.competition import Competition
from lumbar.labels import CELLS, SERIES_DESCRIPTIONS, plane_of, sequence_of
from lumbar.mri.series import SeriesError, read_series
from lumbar.phantom import FAULTS
from lumbar.phantom.faults.catalogue import FILES
from lumbar.phantom.faults.damage import edit_tags, files_of
from lumbar.phantom.faults.tables import SERIES_TABLE, SUBMISSION_TABLE
from scans import axial_planes, balls, plane_tags, sagittal_planes, write_image

SIDE, OFFSETS = 32, (-8, -4, 0, 4, 8)
HEADER = {
    "SliceThickness": 4,
    "SpacingBetweenSlices": 4,
    "WindowCenter": 1500,
    "WindowWidth": 3000,
}
OF_FILES = sorted(name for name, fault in FAULTS.items() if fault.scope == FILES)
"""The faults of a series."""


def write_series(folder: Path, description: str, study_id: int = 0) -> None:
    """A series of five small images, with the tags and the encoding of a real one."""
    planes = (axial_planes if plane_of(description) == "axial" else sagittal_planes)(OFFSETS, side=SIDE)
    said = {"SeriesDescription": sequence_of(description), "PatientID": str(study_id)}
    for number, (plane, offset) in enumerate(zip(planes, OFFSETS, strict=True), start=1):
        pixels = balls(plane, [[0, 0, offset], [5, 5, 5]], SIDE) + np.uint16(number)
        tags = HEADER | plane_tags(plane) | said | {"SliceLocation": offset}
        write_image(folder / f"{number}.dcm", pixels, number, **tags)
    edit_tags(files_of(folder), compress)


def compress(dataset: pydicom.Dataset) -> None:
    """As a phantom's files are."""
    dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)


def write_competition(root: Path, studies: int) -> Competition:
    """A phantom's test part, but for the anatomy: studies of three series, and the tables about them."""
    rows = []
    for study_id, (place, description) in itertools.product(range(studies), enumerate(SERIES_DESCRIPTIONS)):
        rows.append((4_000_000_000 + 2 * study_id, 50_000 + 10 * study_id + place, description))
        write_series(root / "test_images" / str(rows[-1][0]) / str(rows[-1][1]), description, rows[-1][0])
    (root / "hidden").mkdir()
    pd.DataFrame(rows, columns=["study_id", "series_id", "series_description"]).to_csv(root / SERIES_TABLE, index=False)
    asked = [f"{study_id}_{cell}" for study_id in sorted({row[0] for row in rows}) for cell in CELLS]
    answers = pd.DataFrame({"row_id": asked, "normal_mild": 0.4, "moderate": 0.3, "severe": 0.3})
    for name in (SUBMISSION_TABLE, "hidden/oracle.csv"):
        answers.to_csv(root / name, index=False)
    pd.DataFrame({"study_id": sorted({row[0] for row in rows})}).to_csv(root / "hidden/test_labels.csv", index=False)
    return Competition(root)


def say(folder: Path, description: str) -> list[str]:
    """Everything that the reader says of a series."""
    try:
        series = read_series(folder, plane_of(description), sequence_of(description))
    except SeriesError as error:
        return [str(error)]
    return [*series.problems, *series.remarks]


def fingerprint(folder: Path) -> str:
    """A hash of every name and byte below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()
