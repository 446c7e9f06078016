"""The crop stage: views around the out-of-fold points, or around points that a config names in their place."""

from pathlib import Path

import pandas as pd

from lumbar.baselines.clustered import clustered_points
from lumbar.crop.store import write_crops
from lumbar.data import annotations as annotated
from lumbar.data.points import COLUMNS, read_points
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, hash_files, hash_sources, run_stage


def run_crop(run: Run) -> None:
    """Writes `crop/<group>.npy` and `crop/<group>.csv`."""
    folder, cells = run.folder / "crop", run.config.grade.cells
    made_from = fingerprint(
        code=[hash_sources("crop"), hash_files(Path(annotated.__file__))],
        data=run.data_fingerprint,
        points=hash_files(run.points_file) if run.config.crop.points == "detected" else None,
        crop=run.config.crop.model_dump(),
        cells=cells.model_dump(),
    )

    def work() -> None:
        points = choose_points(run)
        graded = points["condition"].isin(cells.conditions) & points["level"].isin(cells.levels)
        write_crops(run.competition, "train", points[graded], run.config.crop, folder)

    run_stage("crop", folder, made_from, work)


def choose_points(run: Run) -> pd.DataFrame:
    """The points of the training studies that the config asks for."""
    if run.config.crop.points == "annotated":
        return annotated.annotated_points(run.competition, run.folds)[COLUMNS]
    if run.config.crop.points == "clustered":
        return clustered_points(run.competition, "train", run.folds)
    return read_points(run.points_file)
