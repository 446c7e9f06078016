"""The crop stage: the views around the out-of-fold points, and around the annotated ones where graders want them."""

from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.crop.store import Cutter, write_crops
from lumbar.crop.view import ViewCutter
from lumbar.data.points import read_points
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, run_stage


def run_crop(run: Run) -> None:
    """Writes `crop/<view>/`, or that of the view that is selected. A view that is there already stays as it is."""
    if run.selection.view is not None:
        _cut_view(run, run.selection.view)
        return
    run_stage("crop", run.folder / "crop", crops_made_from(run), lambda: _cut_views(run), in_turns=True)


def _cut_views(run: Run) -> None:
    for name in run.config.crop.views:
        _cut_view(run, name)


def _cut_view(run: Run, name: str) -> None:
    points = pd.concat([read_points(path) for path in _points_files(run, name)])
    cut_view(run, name, ViewCutter(run.config.crop.views[name]), points, view_made_from(run, name))


def cut_view(run: Run, name: str, cutter: Cutter, points: pd.DataFrame, origin: Origin) -> None:
    """Writes `crop/<name>/`, unless it is there and of this origin."""
    folder = run.folder / "crop" / name

    def cut() -> None:
        write_crops(run.competition, "train", points, cutter, folder)

    # A process that cuts all views may meet one that cuts this view only.
    run_stage(f"crop: {name}", folder, origin, cut, in_turns=True)


def _points_files(run: Run, view: str) -> list[Path]:
    """Where a view's points lie: those that were found, and the annotated ones where a grader of it trains at them."""
    readers = (grader for grader in run.config.trained_graders.values() if view in grader.views)
    annotated = any(grader.points != "detected" for grader in readers)
    return [run.points_file, run.annotated_points_file] if annotated else [run.points_file]


def view_made_from(run: Run, name: str) -> Origin:
    """What a view's crops are made from."""
    return _made_from(run, _points_files(run, name), run.config.crop.views[name].model_dump())


def crops_made_from(run: Run) -> Origin:
    """What the crops of all views are made from."""
    views = run.config.crop.views
    return _made_from(
        run,
        [path for name in views for path in _points_files(run, name)],
        {name: view.model_dump() for name, view in views.items()},
    )


def _made_from(run: Run, points: list[Path], config: dict[str, Any]) -> Origin:
    return fingerprint(
        code=hash_code("crop.store", "crop.view"),
        data=run.data_fingerprint,
        points=hash_files(*points),
        config=config,
    )
