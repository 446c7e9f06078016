"""From the journal to `submission.csv` and the report beside it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.data.competition import ROW_ID_PARTS
from lumbar.data.problems import Problem
from lumbar.data.rows import complete_rows, write_submission
from lumbar.labels import CELLS, group_of
from lumbar.records import write_json
from lumbar.submit.asked import Asked
from lumbar.submit.journal import ATTEMPTS, Entry, predictions_of

REPORT = "run_report.json"
"""The report's name, beside the submission."""
ALARMING_SHARE = 0.05
"""More cells than this on the prior, or studies with an error, is more than a test set's usual quirks: three of the
1,975 training studies lack a series."""
UNEXPLAINED = "graded under another row_id"
SHOWN = 10
"""Problems that the log shows; the report has all."""


def write_results(
    finished: Mapping[int, Entry],
    fatal: Mapping[int, int],
    asked: Asked,
    prior: pd.DataFrame,
    floor: float,
    output: Path,
    died: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes the submission as far as it is graded, with priors for the rest, and the report; returns the report.

    `finished` and `fatal` are of all journals: the studies that were graded, and how often processes died of others.
    `died` says of each process that was lost how it ended.
    """
    completed = complete_rows(predictions_of(list(finished.values())), asked.row_ids, prior, floor)
    write_submission(completed, output)
    report = _report(asked, finished, _given_up(fatal), completed.fallback, died)
    write_json(report, output.with_name(REPORT))
    return report


def _given_up(fatal: Mapping[int, int]) -> list[Problem]:
    """The studies that the process died of."""
    message = "the process died while it graded this study"
    return [
        Problem(study_id, "grade", message, "the prior" if deaths >= ATTEMPTS else "another try, after all others")
        for study_id, deaths in fatal.items()
    ]


def _report(
    asked: Asked, entries: Mapping[int, Entry], given_up: list[Problem], fallback: list[str], died: tuple[str, ...]
) -> dict[str, Any]:
    noted = [problem for entry in entries.values() for problem in entry.problems]
    problems = [*asked.problems, *given_up, *noted]
    graded = [entries[study_id] for study_id in asked.study_ids if study_id in entries]
    return {
        "warning": _warning(asked, len(fallback), problems, died),
        "studies": len(asked.study_ids),
        "studies_graded": len(graded),
        "studies_by_folds": dict(Counter(str(len(entry.folds)) for entry in graded)),
        "rows": len(asked.row_ids),
        "rows_from_prior": len(fallback),
        "fallback_reasons": dict(Counter(_explain(row_id, entries) for row_id in fallback).most_common()),
        "fallback": fallback,
        "died": list(died),
        "problems": [asdict(problem) for problem in problems],
        "seconds": {
            "read": round(sum(entry.reading for entry in graded), 1),
            "grade": round(sum(entry.grading for entry in graded), 1),
        },
    }


def _warning(asked: Asked, fallback: int, problems: list[Problem], died: tuple[str, ...]) -> str | None:
    """What must not be overlooked, or None."""
    failed = {problem.study_id for problem in problems if problem.stage != "read"}
    reasons = []
    if fallback > ALARMING_SHARE * len(asked.row_ids):
        reasons.append(f"{fallback} of {len(asked.row_ids)} rows hold the prior")
    if len(failed) > ALARMING_SHARE * max(1, len(asked.study_ids)):
        reasons.append(f"{len(failed)} of {len(asked.study_ids)} studies met an error of a stage")
    if died:
        reasons.append(f"grading processes were lost {len(died)} times (the last: {died[-1]})")
    return "; ".join(reasons) or None


def _explain(row_id: str, entries: Mapping[int, Entry]) -> str:
    """Why a row has no prediction, in words to count by."""
    match = re.match(ROW_ID_PARTS, row_id)
    if match is None:
        return "its row_id names no cell"
    entry = entries.get(int(match["study_id"]))
    if entry is None:
        return "its study was not graded"
    return f"{group_of(CELLS[match['cell']].condition)}: {entry.gaps.get(match['cell'], UNEXPLAINED)}"


def format_report(report: dict[str, Any]) -> str:
    """The report in a few lines, with what is alarming on top."""
    lines = [f"{'!' * 20} {report['warning']} {'!' * 20}"] if report["warning"] else []
    lines.append(f"{report['rows']} rows, {report['studies_graded']} of {report['studies']} studies")
    seconds = sum(report["seconds"].values())
    lines.append(f"  reading and grading took {seconds:.0f} s, of all processes together")
    lines += [f"  {count} studies by {folds} folds" for folds, count in report["studies_by_folds"].items()]
    lines.append(f"{report['rows_from_prior']} rows fell back on the prior")
    lines += [f"  {count} times: {reason}" for reason, count in report["fallback_reasons"].items()]
    problems = [Problem(**said) for said in report["problems"]]
    harmful = [problem for problem in problems if problem.is_harmful]
    lines += [_line(problem) for problem in harmful[:SHOWN]]
    if len(harmful) > SHOWN:
        lines.append(f"  ... and {len(harmful) - SHOWN} more, all in {REPORT}")
    if harmless := len(problems) - len(harmful):
        lines.append(f"{harmless} remarks on what does no harm stand in {REPORT}")
    return "\n".join(lines)


def _line(problem: Problem) -> str:
    subject = "tables" if problem.study_id is None else f"study {problem.study_id}"
    return f"  {subject}, {problem.stage}: {problem.message} (instead: {problem.instead})"
