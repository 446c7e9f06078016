"""The crop stage: views around the out-of-fold points."""

from lumbar.crop.store import write_crops
from lumbar.crop.view import ViewCutter
from lumbar.data.points import read_points
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, run_stage


def run_crop(run: Run) -> None:
    """Writes `crop/<group>.npy` and `crop/<group>.csv`."""
    folder = run.folder / "crop"

    def work() -> None:
        cutter = ViewCutter(run.config.crop)
        write_crops(run.competition, "train", read_points(run.points_file), cutter, folder)

    run_stage("crop", folder, crops_made_from(run), work)


def crops_made_from(run: Run) -> Origin:
    """What the crops are made from."""
    return fingerprint(
        code=hash_code("crop.store", "crop.view"),
        data=run.data_fingerprint,
        points=hash_files(run.points_file),
        config=run.config.crop.model_dump(),
    )
