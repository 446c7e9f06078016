"""The detector's training images: annotated slices as PNG with a YOLO label file each."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

from lumbar.config import DetectConfig
from lumbar.data.annotations import place_annotations
from lumbar.data.competition import Competition
from lumbar.detect.detector import Canvas, draw_canvas
from lumbar.detect.landmarks import class_of
from lumbar.labels import GROUPS, group_of, plane_of
from lumbar.mri.series import Series, SeriesError, read_series

logger = logging.getLogger(__name__)

SHOWN_WITHIN_MM = {"spinal": 6.0, "foraminal": 5.0, "subarticular": 3.0}
"""A slice shows a landmark whose point is this near to its plane: half the width of a canal, a foramen, a disc."""


@dataclass(frozen=True, eq=False)
class Target:
    """A landmark to be found: its class and its patient point (3,)."""

    landmark: int
    group: str
    point: NDArray[np.float64]


def write_training_set(competition: Competition, config: DetectConfig, folder: Path, jobs: int = -1) -> pd.DataFrame:
    """Writes images and labels of every annotated study, and returns their table: study_id, image.

    A study without coordinates gives no image; a series that cannot be read is left out with a warning.
    """
    descriptions = competition.series("train")
    coordinates = competition.coordinates
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    studies = sorted(set(coordinates["study_id"]) & set(competition.study_ids))
    tasks = [
        delayed(_write_study)(
            competition,
            study_id,
            descriptions[descriptions["study_id"] == study_id],
            coordinates[coordinates["study_id"] == study_id],
            config,
            folder,
        )
        for study_id in studies
    ]
    written = Parallel(n_jobs=jobs, return_as="generator")(tasks)
    rows = [row for part in tqdm(written, total=len(tasks), desc="detector images", unit="study") for row in part]
    return pd.DataFrame(rows, columns=["study_id", "image"])


def _write_study(
    competition: Competition,
    study_id: int,
    descriptions: pd.DataFrame,
    coordinates: pd.DataFrame,
    config: DetectConfig,
    folder: Path,
) -> list[tuple[int, str]]:
    kinds = dict(zip(descriptions["series_id"], descriptions["series_description"], strict=True))
    series = {}
    for series_id in sorted(kinds):
        try:
            directory = competition.series_directory("train", study_id, series_id)
            series[series_id] = read_series(directory, plane_of(kinds[series_id]))
        except SeriesError as error:
            logger.warning("%s; it is left out of training", error)
    targets = [
        Target(class_of(one.condition, one.level), group_of(one.condition), one.point)
        for one in place_annotations(coordinates, series)
    ]
    names = []
    for series_id, one in series.items():
        shown = [target for target in targets if GROUPS[target.group].series_description == kinds[series_id]]
        for canvas in _choose_slices(one, shown, config):
            name = f"{study_id}_{series_id}_{canvas.instance_number}"
            cv2.imwrite(str(folder / "images" / f"{name}.png"), canvas.pixels)
            (folder / "labels" / f"{name}.txt").write_text("".join(_label_lines(canvas, shown, config)))
            names.append((study_id, name))
    return names


def _choose_slices(series: Series, targets: list[Target], config: DetectConfig) -> list[Canvas]:
    """The slices nearest to each point, and some that are far from all of them; none where nothing is annotated."""
    if not targets:
        return []
    distances = np.array([series.distances(target.point) for target in targets])  # (T, S)
    limits = np.array([SHOWN_WITHIN_MM[target.group] for target in targets])[:, None]
    shown = np.flatnonzero((distances <= limits).any(axis=0)) if config.every_slice else ()
    nearest = {
        int(index) for index, near in zip(distances.argmin(1), distances.min(1) <= limits[:, 0], strict=True) if near
    }
    far = np.flatnonzero((distances > 2 * limits).all(axis=0))
    spread = far[np.linspace(0, len(far) - 1, min(config.background, len(far))).astype(int)] if len(far) else []
    return [
        draw_canvas(series, series.slices[index], config)
        for index in sorted(nearest.union(map(int, shown), map(int, spread)))
    ]


def _label_lines(canvas: Canvas, targets: list[Target], config: DetectConfig) -> Iterator[str]:
    """YOLO's lines: class, centre x, centre y, width, height, as shares of the image."""
    side = config.box_mm / (config.mm_per_pixel * config.image_size)
    for target in targets:
        if abs(float(canvas.plane.distance(target.point))) > SHOWN_WITHIN_MM[target.group]:
            continue
        x, y = canvas.plane.to_pixels(target.point) + 0.5
        x, y = x / config.image_size, y / config.image_size
        if 0 < x < 1 and 0 < y < 1:
            yield f"{target.landmark} {x:.6f} {y:.6f} {side:.6f} {side:.6f}\n"
