"""The crop stage: views around the out-of-fold points."""

from lumbar.crop.store import write_crops
from lumbar.detect.schema import read_points
from lumbar.run import Run
from lumbar.stages import fingerprint, hash_files, hash_sources, run_stage


def run_crop(run: Run) -> None:
    """Writes `crop/<group>.npy` and `crop/<group>.csv`."""
    points, folder = run.folder / "detect" / "points.csv", run.folder / "crop"
    made_from = fingerprint(code=hash_sources("crop"), points=hash_files(points), crop=run.config.crop.model_dump())
    run_stage(
        "crop",
        folder,
        made_from,
        lambda: write_crops(run.competition, "train", read_points(points), run.config.crop, folder),
    )
