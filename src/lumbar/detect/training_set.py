"""The detector's training images: annotated slices as PNG with a YOLO label file each, and the annotated points."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.config import DetectConfig
from lumbar.data.annotations import place_annotations
from lumbar.data.competition import Competition
from lumbar.data.points import NO_FOLD, Point, points_table
from lumbar.data.problems import Problem, Problems
from lumbar.data.studies import Study, map_studies, series_by_id
from lumbar.detect.canvas import Canvas, draw_canvas
from lumbar.detect.landmarks import class_of
from lumbar.labels import GROUPS, group_of
from lumbar.mri.series import Series

SHOWN_WITHIN_MM = {"spinal": 6.0, "foraminal": 5.0, "subarticular": 3.0}
"""A slice shows a landmark whose point is this near to its plane: half the width of a canal, a foramen, a disc."""


def write_training_set(
    competition: Competition, config: DetectConfig, folder: Path, folds: pd.DataFrame | None = None, jobs: int = -1
) -> tuple[pd.DataFrame, pd.DataFrame, list[Problem]]:
    """Writes `images/` and `labels/` of every annotated study, in one pass over the files.

    `folds` has study_id and fold. Returns study_id and image of each image, the annotated points as a table, which bear
    the fold of their study, and what could not be read.
    """
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    coordinates = competition.coordinates
    studies = sorted(set(coordinates["study_id"]) & set(competition.study_ids))
    fold_of = {} if folds is None else dict(zip(folds["study_id"], folds["fold"], strict=True))
    given = {
        study_id: (rows, int(fold_of.get(study_id, NO_FOLD))) for study_id, rows in coordinates.groupby("study_id")
    }
    work = partial(_write_study, config, folder)
    images: list[tuple[int, str]] = []
    points: list[Point] = []
    problems: list[Problem] = []
    done = map_studies(competition, "train", studies, work, "detector images", given=given, jobs=jobs)
    for result in done:
        names, annotated = result.value or ([], [])
        images += [(result.study_id, name) for name in names]
        points += annotated
        problems += result.problems
    return pd.DataFrame(images, columns=["study_id", "image"]), points_table(points), problems


def _write_study(
    config: DetectConfig,
    folder: Path,
    study_id: int,
    study: Study,
    problems: Problems,
    given: tuple[pd.DataFrame, int],
) -> tuple[list[str], list[Point]]:
    """The names of a study's images, and its annotated points."""
    series, (coordinates, fold) = series_by_id(study), given
    points = list(place_annotations(coordinates, series, problems, fold))
    kinds = {stack.series_id: description for description, stacks in study.items() for stack in stacks}
    names = []
    for series_id in sorted(series):
        shown = [point for point in points if _description_of(point) == kinds[series_id]]
        for canvas in _choose_slices(series[series_id], shown, config):
            names.append(f"{study_id}_{series_id}_{canvas.instance_number}")
            _write_image(canvas.pixels, folder / "images" / f"{names[-1]}.png")
            (folder / "labels" / f"{names[-1]}.txt").write_text("".join(_label_lines(canvas, shown, config)))
    return names, points


def _write_image(pixels: NDArray[np.uint8], path: Path) -> None:
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f"{path}: cannot be written")


def _description_of(point: Point) -> str:
    return GROUPS[group_of(point.condition)].series_description


def _shown_within(point: Point) -> float:
    return SHOWN_WITHIN_MM[group_of(point.condition)]


def _choose_slices(series: Series, points: list[Point], config: DetectConfig) -> list[Canvas]:
    """The slices nearest to each point, and some that are far from all of them; none where nothing is annotated."""
    if not points:
        return []
    distances = np.array([series.distances(point.patient) for point in points])  # (points, slices)
    limits = np.array([_shown_within(point) for point in points])[:, None]
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


def _label_lines(canvas: Canvas, points: list[Point], config: DetectConfig) -> Iterator[str]:
    """YOLO's lines: class, centre x, centre y, width, height, as shares of the image."""
    side = config.box_mm / (config.mm_per_pixel * config.image_size)
    for point in points:
        if abs(float(canvas.plane.distance(point.patient))) > _shown_within(point):
            continue
        x, y = (canvas.plane.to_pixels(point.patient) + 0.5) / config.image_size
        if 0 < x < 1 and 0 < y < 1:
            yield f"{class_of(point.condition, point.level)} {x:.6f} {y:.6f} {side:.6f} {side:.6f}\n"
