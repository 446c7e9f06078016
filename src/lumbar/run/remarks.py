"""What must be said of a result because of what went wrong on the way, in a sentence or two."""

from collections.abc import Iterable

from lumbar.data.problems import Problem
from lumbar.data.studies import OTHER_SERIES


def remarks_on(problems: Iterable[Problem]) -> list[str]:
    """A sentence on the series that are absent or could not be read, and one on the studies that a stage failed on."""
    found = list(problems)
    lost = [problem for problem in found if problem.stage == "read" and problem.instead == OTHER_SERIES]
    failed = [problem for problem in found if problem.stage != "read"]
    remarks = []
    if lost:
        remarks.append(f"{len(lost)} series of {_studies(lost)} are absent or cannot be read, {_first(lost)}")
    if failed:
        remarks.append(f"{_studies(failed)} failed, {_first(failed)}")
    return remarks


def _studies(problems: list[Problem]) -> str:
    count = len({problem.study_id for problem in problems})
    return "1 study" if count == 1 else f"{count} studies"


def _first(problems: list[Problem]) -> str:
    return f"the first: {problems[0].message}"
