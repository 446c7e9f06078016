"""Images with boxes around lesions, as the data of "Automated Detection and Classification of Spinal Disc Herniation"
(Al-Ajaj, thesis) are: a table of boxes and a folder of images, cut into the crops that its net sees."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.baselines.crops import PLACE
from lumbar.crop.crops import Crops
from lumbar.data.tables import TableError, read_table, real, text
from lumbar.errors import InputError
from lumbar.labels import CONDITIONS, LEVELS

CORNERS = ("xmin", "ymin", "xmax", "ymax")
"""A box's corners in pixels; empty in the row of an image without a finding."""
COLUMNS = (text("image_id"), text("lesion_type"), *(replace(real(name), may_be_empty=True) for name in CORNERS))
SUFFIXES = (".png", ".jpg", ".jpeg")
OTHERS = "others"
"""What all lesion types but the dominant one are called together."""
LEAST_SIDE = 2
"""Pixels; what is smaller is no box."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """A readable table of boxes, the file of each of its images, and what had to be left out of it."""

    table: pd.DataFrame
    """image_id, lesion_type and, where there is a finding, `CORNERS`; a row for each box or image without one, by
    image."""
    files: Mapping[str, Path]
    remarks: tuple[str, ...]

    @property
    def findings(self) -> pd.DataFrame:
        """The rows with a box."""
        return self.table[self.table["xmin"].notna()].reset_index(drop=True)

    @property
    def dominant(self) -> str:
        """The lesion type with the most boxes."""
        return str(self.findings["lesion_type"].value_counts().sort_index().idxmax())

    @property
    def classes(self) -> tuple[str, str]:
        """What is told apart."""
        return OTHERS, self.dominant


def read_boxes(path: Path, folder: Path) -> Boxes:
    """Reads a table of boxes, one or none a row, and finds their images in a folder by their names.

    Rows whose image is missing or cannot be read, or whose box lies outside it or has no area, are left out with a
    remark. TableError where nothing is left to tell apart: fewer than two lesion types with boxes.
    """
    table = read_table(path, COLUMNS)
    files = {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES}
    sizes = {name: _size(files[name]) for name in sorted(set(table["image_id"]) & set(files))}
    remarks = [_fault(row, sizes) for row in table.itertuples()]
    kept = table[[remark is None for remark in remarks]].sort_values("image_id", kind="stable", ignore_index=True)
    boxes = Boxes(kept, files, tuple(f"{path}: {remark}; left out" for remark in remarks if remark))
    types = sorted(boxes.findings["lesion_type"].unique())
    if len(types) < 2:
        found = f"only {types[0]!r}" if types else "none"
        first = f" ({boxes.remarks[0]})" if boxes.remarks else ""
        raise TableError(f"{path}: expected boxes of two lesion types or more with images in {folder}, {found}{first}")
    return boxes


def _size(path: Path) -> tuple[int, int] | None:
    """An image's width and height, or None where it cannot be read."""
    try:
        height, width = read_grey(path).shape
    except (OSError, InputError):
        return None
    return width, height


def _fault(row: object, sizes: Mapping[str, tuple[int, int] | None]) -> str | None:
    """What is wrong with a row of the table, by its line; None where nothing is."""
    values = row._asdict()  # type: ignore[attr-defined]  # a row of itertuples
    line, name = f"row {values['Index'] + 1}", values["image_id"]
    if sizes.get(name) is None:
        return f"{line}: image {name!r} {'cannot be read' if name in sizes else 'is not there'}"
    corners = np.array([values[corner] for corner in CORNERS], dtype=float)
    if np.isnan(corners).all():
        return None
    if np.isnan(corners).any():
        return f"{line}: a box needs all of {', '.join(CORNERS)}"
    inside = _clip(corners, *sizes[name])  # type: ignore[misc]  # None has been seen to
    if (inside[2:] - inside[:2]).min() < LEAST_SIDE:
        return f"{line}: the box has no area in its image of {sizes[name][0]} x {sizes[name][1]} pixels"  # type: ignore[index]
    return None


def _clip(corners: NDArray[np.float64], width: int, height: int) -> NDArray[np.int64]:
    return np.clip(np.round(corners), 0, [width, height, width, height]).astype(np.int64)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """An image (H, W) in 8 bits; one with more is stretched to its range. InputError for what is no image."""
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    # Not Pillow: where it knows no format, Ultralytics, once imported, looks for a plugin to install.
    image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) if len(content) else None
    if image is None:
        raise InputError(f"{path}: expected a PNG or JPEG image")
    if image.dtype == np.uint8:
        return np.asarray(image, dtype=np.uint8)
    deep = image.astype(np.float64)
    return np.round(255 * (deep - deep.min()) / max(float(np.ptp(deep)), 1.0)).astype(np.uint8)


def cut_boxes(boxes: Boxes, size: int) -> Crops:
    """A crop (1, size, size) of each box, stretched to a square as in the thesis.

    The index has what a system's net is told of crops, of which the image stands in the study's place and `grade` is 1
    for the dominant lesion type and 0 for all others. Condition and level are the same in all rows and mean nothing.
    """
    findings = boxes.findings
    pixels = np.stack([cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) for part in _parts(boxes)])
    index = pd.DataFrame(
        {
            "study_id": pd.factorize(findings["image_id"], sort=True)[0],
            "row_id": [f"{row.image_id} {row.Index}" for row in findings.itertuples()],
            "condition": next(iter(CONDITIONS)),
            "level": LEVELS[0],
            "source": "box",
            "grade": (findings["lesion_type"] == boxes.dominant).astype("int64"),
            **dict.fromkeys(PLACE, 0.5),
        }
    )
    return Crops(pixels[:, None], index)


def _parts(boxes: Boxes) -> Iterator[NDArray[np.uint8]]:
    for name, rows in boxes.findings.groupby("image_id"):
        image = read_grey(boxes.files[str(name)])
        for corners in rows[list(CORNERS)].to_numpy():
            left, top, right, bottom = _clip(corners, *image.shape[::-1])
            yield image[top:bottom, left:right]
