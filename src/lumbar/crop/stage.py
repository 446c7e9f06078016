"""The crop stage: the views around the out-of-fold points, and around the annotated ones where graders want them."""

from functools import partial
from typing import Any

import pandas as pd

from lumbar.config import Config
from lumbar.crop.store import write_crops
from lumbar.crop.view import ViewCutter
from lumbar.data.points import read_points
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, run_stage


def run_crop(run: Run) -> None:
    """Writes `crop/<view>/`. A view that is there already stays as it is."""
    run_stage("crop", run.folder / "crop", crops_made_from(run), lambda: _cut_views(run))


def _cut_views(run: Run) -> None:
    points = _points(run)
    for name, view in run.config.crop.views.items():
        folder = run.folder / "crop" / name
        cut = partial(write_crops, run.competition, "train", points, ViewCutter(view), folder)
        run_stage(f"crop: {name}", folder, view_made_from(run, name), cut)


def wants_annotated(config: Config) -> bool:
    """Whether a grader trains at annotated points."""
    return any(grader.points != "detected" for grader in config.trained_graders.values())


def _points(run: Run) -> pd.DataFrame:
    found = read_points(run.points_file)
    return pd.concat([found, read_points(run.annotated_points_file)]) if wants_annotated(run.config) else found


def view_made_from(run: Run, name: str) -> Origin:
    """What a view's crops are made from."""
    return _made_from(run, run.config.crop.view(name).model_dump())


def crops_made_from(run: Run) -> Origin:
    """What the crops of all views are made from."""
    return _made_from(run, {name: view.model_dump() for name, view in run.config.crop.views.items()})


def _made_from(run: Run, config: dict[str, Any]) -> Origin:
    annotated = [run.annotated_points_file] if wants_annotated(run.config) else []
    return fingerprint(
        code=hash_code("crop.store", "crop.view"),
        data=run.data_fingerprint,
        points=hash_files(run.points_file, *annotated),
        config=config,
    )
