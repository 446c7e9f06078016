"""What a system must find in a data set: series of the types that it looks at, and graded cells on them."""

import logging

from lumbar.baselines.cases import open_cases
from lumbar.config import PublishedConfig
from lumbar.errors import InputError
from lumbar.labels import GROUPS, SERIES_DESCRIPTIONS
from lumbar.run.run import Run

logger = logging.getLogger(__name__)


def series_needed(published: PublishedConfig) -> tuple[str, ...]:
    """The types of the series that a system looks at."""
    if published.points == "clustered":
        return (GROUPS["subarticular"].series_description,)
    needed = {GROUPS[group].series_description for group in published.cells.groups}
    return tuple(description for description in SERIES_DESCRIPTIONS if description in needed)


def expect_series(run: Run) -> None:
    """InputError where the data set lists no series that the system looks at; where some lack, a warning of each type.

    Whether the files of those that are listed can be read shows when they are read.
    """
    studies, table = set(run.competition.study_ids), run.competition.series("train")
    listed = {kind: studies & set(rows["study_id"]) for kind, rows in table.groupby("series_description")}
    needed = series_needed(run.config.system)
    path = run.competition.root / "train_series_descriptions.csv"
    if not any(listed.get(kind) for kind in needed):
        there = ", ".join(sorted(kind for kind, found in listed.items() if found)) or "none"
        raise InputError(
            f"{path}: {run.config.name} looks at {' and '.join(needed)}, which no study has; it has {there}"
        )
    for kind in needed:
        lacking = sorted(studies - listed.get(kind, set()))
        if lacking:
            said = f"{len(lacking)} of {len(studies)} studies have no {kind} series, the first: {lacking[0]}"
            logger.warning("%s: %s; their cells are left out", run.config.name, said)


def expect_cells(run: Run) -> None:
    """InputError where not one crop of the system's cells has a grade."""
    if any(len(open_cases(run, grader)[1]) for grader in run.config.trained_graders):
        return
    where = "" if run.config.system.points == "clustered" else " and a point in train_label_coordinates.csv"
    raise InputError(
        f"{run.competition.root}: {run.config.name} has nothing to learn from: none of its cells has a grade in "
        f"train.csv{where} on a readable series ({', '.join(series_needed(run.config.system))})"
    )
