"""The crop stage: views around the out-of-fold points."""

import pandas as pd

from lumbar.crop.store import write_crops
from lumbar.run import Run
from lumbar.stages import fingerprint, hash_files, run_stage


def run_crop(run: Run) -> None:
    """Writes `crop/<group>.npy` and `crop/<group>.csv`."""
    points, folder = run.folder / "detect" / "points.csv", run.folder / "crop"
    made_from = fingerprint(points=hash_files(points), crop=run.config.crop.model_dump())
    run_stage(
        "crop",
        folder,
        made_from,
        lambda: write_crops(run.competition, "train", pd.read_csv(points), run.config.crop, folder),
    )
