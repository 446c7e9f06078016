"""Rehearsals of the inference kernel: in both layouts of Kaggle's inputs, and killed at random moments."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbar.config import PhantomConfig
from lumbar.data.competition import Competition, read_labels, read_predictions
from lumbar.data.priors import PRIOR_FILE, predict_prior, read_prior
from lumbar.data.tables import TableError, read_table, real, text
from lumbar.errors import InputError
from lumbar.kaggle import COMPETITION
from lumbar.kaggle.bundle import build_bundle
from lumbar.kaggle.rehearse.broken import changed_rows, costly_faults, keep_intact_only, read_faults, untold_faults
from lumbar.kaggle.rehearse.interpreter import build_interpreter
from lumbar.kaggle.rehearse.sandbox import LAYOUTS, Ending, Sandbox
from lumbar.labels import GRADES
from lumbar.metric import score
from lumbar.phantom.keep import keep_phantom
from lumbar.records import write_json
from lumbar.run.run import Run
from lumbar.submit.asked import read_asked
from lumbar.submit.results import REPORT

logger = logging.getLogger(__name__)

HIDDEN_TEST_STUDIES = 722
"""About as many studies the hidden test has."""


HIDDEN_SEED = 722
"""The seed of the phantom that stands for the hidden test: not a config's, whose studies the models have seen."""

RENDERED_TO_BREAK = 40
"""Studies that are rendered where faults are rehearsed: what breaks a copy breaks the original, and a thousand copies
take seconds."""
LAYOUT_NAMES = tuple(LAYOUTS)
FIRST_WRITE_SECONDS = 1.0
"""By then an interpreter has started, and the script's first act, a copy of the sample, is done."""


class RehearsalError(InputError):
    """The kernel did not do what it must; the message says what, and where its log lies."""


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed: a kernel's script, a bundle and a competition, with the interpreter that runs it."""

    python: Path
    script: Path
    bundle: Path
    competition: Competition
    slug: str
    folder: Path
    memory_cap: int
    """Bytes."""

    def sandbox(self, layout: str) -> Sandbox:
        """A fresh machine in one of the layouts."""
        sandbox = Sandbox(self.folder / layout, self.competition.root, self.bundle, layout, self.slug)
        sandbox.prepare()
        return sandbox

    @property
    def command(self) -> list[str]:
        """The command by which Kaggle runs a script, with nothing of this project on the path."""
        return [str(self.python.absolute()), "-I", str(self.script.resolve())]


def prepare_rehearsal(
    run: Run, studies: int, max_size: int | None, memory_cap: int, faults: bool = False, rendered: int | None = None
) -> Rehearsal:
    """Builds all of it below the run's folder; the phantom is kept for the next time.

    Images have at most `max_size` pixels a side, or their native sizes; studies beyond those `rendered` are copies.
    """
    if faults and rendered is None:
        rendered = RENDERED_TO_BREAK
    folder, source = run.folder / "rehearsal", Path()
    wanted = PhantomConfig(studies=1, test_studies=studies, max_size=max_size, seed=HIDDEN_SEED)
    hidden = keep_phantom(wanted, rendered, faults)
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    build_bundle(run.models, folder / "bundle", source, "somebody", python_version=version)
    return Rehearsal(
        python=build_interpreter(folder / "interpreter", source / "requirements.txt"),
        script=source / "kernels" / "inference" / "inference.py",
        bundle=folder / "bundle",
        competition=Competition(hidden),
        slug=COMPETITION,
        folder=folder,
        memory_cap=memory_cap,
    )


def rehearse(rehearsal: Rehearsal, layout: str) -> dict[str, Any]:
    """Runs the kernel to its end and returns its figures; RehearsalError when it did anything that it must not."""
    sandbox = rehearsal.sandbox(layout)
    logger.info("rehearse in the %s layout; its log: %s", layout, sandbox.log)
    ending = sandbox.run(rehearsal.command, rehearsal.memory_cap)
    complaints = [*_check_ending(ending, rehearsal), *check_submission(sandbox.working, rehearsal.competition)]
    if complaints:
        raise RehearsalError(f"{sandbox.log}: " + "; ".join(complaints))
    report = json.loads((sandbox.working / REPORT).read_text(encoding="utf-8"))
    if "error" in report:
        raise RehearsalError(f"{sandbox.log}: the models failed: {report['error']}")
    return _figures(rehearsal, sandbox, ending, report) | {"layout": layout}


def _check_ending(ending: Ending, rehearsal: Rehearsal) -> Iterator[str]:
    if ending.too_much_memory:
        yield f"it took {ending.peak_memory / 1e9:.1f} GB of memory, the cap is {rehearsal.memory_cap / 1e9:.1f} GB"
    elif ending.status:
        yield f"it ended with status {ending.status}"
    if ending.sockets:
        yield f"it opened {len(ending.sockets)} sockets, the first: {ending.sockets[0]}"


def check_submission(working: Path, competition: Competition) -> Iterator[str]:
    """What is wrong with a submission, which may stand there unfinished but never invalid."""
    path = working / "submission.csv"
    try:
        submission = read_table(path, [text("row_id"), *(real(grade) for grade in GRADES)])
    except TableError as error:
        yield str(error)
        return
    if tuple(submission["row_id"]) != read_asked(competition).row_ids:
        yield f"{path}: its rows are not those of sample_submission.csv"
    values = submission[list(GRADES)].to_numpy()
    if (values < 0).any() or not np.allclose(values.sum(axis=1), 1, atol=1e-9):
        yield f"{path}: a row does not sum to 1"


def _figures(rehearsal: Rehearsal, sandbox: Sandbox, ending: Ending, report: dict[str, Any]) -> dict[str, Any]:
    per_study = ending.seconds / max(1, report["studies"])
    return {
        "studies": report["studies"],
        "files": sum(1 for _ in (rehearsal.competition.root / "test_images").rglob("*.dcm")),
        "seconds": round(ending.seconds, 1),
        "studies_per_second": round(1 / per_study, 3),
        "hours_for_the_hidden_test": round(per_study * HIDDEN_TEST_STUDIES / 3600, 2),
        "peak_memory_gb": round(ending.peak_memory / 1e9, 2),
        "sockets": len(ending.sockets),
        "warning": report["warning"],
        "rows": report["rows"],
        "rows_from_prior": report["rows_from_prior"],
        "fallback_reasons": report["fallback_reasons"],
        "died": report["died"],
        "score": _scores(rehearsal, sandbox.working / "submission.csv"),
    }


def _scores(rehearsal: Rehearsal, path: Path) -> dict[str, float]:
    """The submission's score by the labels that the kernel could not see, beside the prior's and the best possible."""
    hidden = rehearsal.competition.root / "hidden"
    submission = pd.read_csv(path, dtype={"row_id": str}).drop_duplicates("row_id")
    labels = read_labels(hidden / "test_labels.csv")
    labels = labels[labels["row_id"].isin(submission["row_id"])]  # a broken sample may not ask for all
    prior = predict_prior(read_prior(rehearsal.bundle / "models" / PRIOR_FILE), labels["study_id"].unique().tolist())
    answers = {"score": submission, "prior": prior, "oracle": read_predictions(hidden / "oracle.csv")}
    return {name: round(score(labels, answer).score, 4) for name, answer in answers.items()}


def rehearse_faults(rehearsal: Rehearsal, layout: str) -> str:
    """After `rehearse` on broken studies: checks that its report names each fault that needs a word, that harmless ones
    cost nothing, and that the intact studies get the same rows, to the last digit, when they are alone. Returns this in
    words."""
    working = rehearsal.folder / layout / "working"
    record, report = read_faults(rehearsal.competition.root), json.loads((working / REPORT).read_text(encoding="utf-8"))
    if untold := untold_faults(record, report):
        raise RehearsalError(f"{working / REPORT}: {len(untold)} faults are not named, the first: {untold[:5]}")
    if costly := costly_faults(record, report):
        raise RehearsalError(f"{working / REPORT}: {len(costly)} harmless faults cost images, the first: {costly[:5]}")
    alone = replace(
        rehearsal,
        competition=keep_intact_only(rehearsal.competition, rehearsal.folder / "intact"),
        folder=rehearsal.folder / "alone",
    )
    figures = rehearse(alone, layout)
    changed = changed_rows(working / "submission.csv", alone.folder / layout / "working" / "submission.csv")
    if changed:
        raise RehearsalError(
            f"{len(changed)} rows of intact studies differ beside broken ones, the first: {changed[0]}"
        )
    same = f"{figures['studies']} intact studies get the same rows without their broken neighbours"
    return f"{_count_faults(record)}; {same}"


def _count_faults(record: pd.DataFrame) -> str:
    silent = record["tell"] == ""
    named, quiet = (
        f"{len(part)} faults of {part['fault'].nunique()} kinds" for part in (record[~silent], record[silent])
    )
    return f"each of {named} is named in the report, and {quiet} that need no word cost nothing"


def rehearse_kills(rehearsal: Rehearsal, layout: str, moments: int, longest: float, seed: int) -> list[float]:
    """Kills the kernel at random moments of its run and checks what is left; returns the moments in seconds.

    `longest` is how long an undisturbed run takes. RehearsalError when one leaves no valid submission.
    """
    times = sorted(np.random.default_rng(seed).uniform(FIRST_WRITE_SECONDS, longest, moments).round(2).tolist())
    for moment in times:
        sandbox = rehearsal.sandbox(layout)
        sandbox.run(rehearsal.command, rehearsal.memory_cap, kill_after=moment)
        if complaints := list(check_submission(sandbox.working, rehearsal.competition)):
            raise RehearsalError(f"{sandbox.log}: killed after {moment} s: {'; '.join(complaints)}")
        logger.info("killed after %.2f s: the submission is valid", moment)
    return times


def format_figures(figures: dict[str, Any]) -> str:
    """A rehearsal's figures in a few lines."""
    scores = figures["score"]
    lines = [
        f"{figures['layout']} layout: {figures['studies']} studies, {figures['files']} files in {figures['seconds']} s",
        f"  {figures['studies_per_second']} studies a second, {figures['hours_for_the_hidden_test']} h for the hidden "
        f"test's {HIDDEN_TEST_STUDIES}; at most {figures['peak_memory_gb']} GB of memory; {figures['sockets']} sockets",
        f"  score {scores['score']} (prior {scores['prior']}, oracle {scores['oracle']})",
        f"  {figures['rows_from_prior']} of {figures['rows']} rows fell back on the prior",
        *(f"    {count} times: {reason}" for reason, count in figures["fallback_reasons"].items()),
    ]
    return "\n".join([*lines, f"  WARNING: {figures['warning']}"] if figures["warning"] else lines)


def rehearse_all(
    rehearsal: Rehearsal, layouts: Sequence[str], kills: int, faults: bool, seed: int
) -> Iterator[dict[str, Any] | str]:
    """Rehearses in each layout, then what is asked for in the last of them, and yields what there is to tell: figures,
    or a sentence. Writes the figures to `rehearsal.json`."""
    figures: list[dict[str, Any]] = []
    for layout in layouts:
        figures.append(rehearse(rehearsal, layout))
        yield figures[-1]
    write_json(figures, rehearsal.folder / "rehearsal.json")
    if faults:
        yield rehearse_faults(rehearsal, layouts[-1])
    if kills:
        moments = rehearse_kills(rehearsal, layouts[-1], kills, figures[-1]["seconds"], seed)
        yield f"killed at {len(moments)} moments, each time a valid submission was left"
