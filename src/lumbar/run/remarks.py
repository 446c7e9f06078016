"""What must be said of a result because of what went wrong on the way, in a sentence or two."""

from collections.abc import Iterable

from lumbar.data.annotations import STAGE as ANNOTATIONS
from lumbar.data.problems import Problem
from lumbar.data.studies import OTHER_SERIES


def remarks_on(problems: Iterable[Problem]) -> list[str]:
    """A sentence on the series that are absent or could not be read, one on the annotated points without an image, and
    one on the studies that a stage failed on."""
    found = list(problems)
    lost = [problem for problem in found if problem.stage == "read" and problem.instead == OTHER_SERIES]
    unplaced = [problem for problem in found if problem.stage == ANNOTATIONS]
    failed = [problem for problem in found if problem.stage not in ("read", ANNOTATIONS)]
    remarks = []
    if lost:
        remarks.append(f"{len(lost)} series of {_studies(lost)} are absent or cannot be read, {_first(lost)}")
    if unplaced:
        remarks.append(f"annotated points without a readable image: {len(unplaced)}, {_first(unplaced)}")
    if failed:
        remarks.append(f"{_studies(failed)} failed, {_first(failed)}")
    return remarks


def _studies(problems: list[Problem]) -> str:
    count = len({problem.study_id for problem in problems})
    return "1 study" if count == 1 else f"{count} studies"


def _first(problems: list[Problem]) -> str:
    return f"the first: {problems[0].message}"
