"""The crop stage: the views around the out-of-fold points, and around the annotated ones where graders want them."""

from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.crop.store import Cutter, write_crops
from lumbar.crop.view import ViewCutter
from lumbar.data.points import read_points
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import STAMP, Origin, fingerprint, hash_files, run_stage, stamped


def run_crop(run: Run) -> None:
    """Writes `crop/<view>/` of every view, or, without a stamp of them all, of those that the run's selection needs. A
    view that is there already stays as it is."""
    if run.views == list(run.config.crop.views):
        run_stage("crop", run.folder / "crop", crops_made_from(run), lambda: _cut_views(run), in_turns=True)
        return
    _disown_outdated(run)
    _cut_views(run)


def _cut_views(run: Run) -> None:
    for name in run.views:
        _cut_view(run, name)


def _disown_outdated(run: Run) -> None:
    """Removes the stamps of crops that a run of everything would cut anew: what is not selected must not pass for
    finished."""
    folder = run.folder / "crop"
    current = {folder: crops_made_from(run)}
    current |= {folder / name: view_made_from(run, name) for name in run.config.crop.views}
    for place, origin in current.items():
        if stamped(place) not in (None, origin):
            (place / STAMP).unlink(missing_ok=True)  # jobs of other views do the same beside this one


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
