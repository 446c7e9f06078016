"""What the inference kernel does: a valid submission from its first second, and the models' own as it is graded."""

import logging
import tempfile
import time
import traceback
from pathlib import Path

import pandas as pd

import lumbar
from lumbar.data.competition import Competition, no_predictions
from lumbar.data.priors import PRIOR_FILE, read_prior
from lumbar.data.rows import complete_rows, write_submission
from lumbar.kaggle.bundle import check_bundle
from lumbar.kaggle.mounts import find_bundle, find_competition
from lumbar.labels import CONDITIONS, GRADES, LEVELS
from lumbar.records import write_json
from lumbar.submit.asked import Asked, read_asked
from lumbar.submit.results import REPORT, format_report
from lumbar.submit.supervisor import predict_supervised

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 9 * 3600.0
"""Kaggle stops a kernel after nine hours."""
RESERVE_SECONDS = 20 * 60.0
"""Kept free of grading: for the machine's start, which counts, and for the last writing."""


def run_kernel(inputs: Path, working: Path, started: float | None = None) -> None:
    """Writes `submission.csv` and `run_report.json` into Kaggle's working folder.

    `started` is when the kernel began, in seconds since the epoch. A failure that no stage foresaw still leaves a
    submission that scores: the report then holds the error, and the log says it at its end.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("lumbar %s from %s", lumbar.__version__, Path(lumbar.__file__).parent)
    deadline = (started or time.time()) + LIMIT_SECONDS - RESERVE_SECONDS
    competition, output = Competition(find_competition(inputs)), working / "submission.csv"
    asked = read_asked(competition)
    _write_constant(asked, _uniform_prior(), output)
    try:
        bundle = find_bundle(inputs)
        check_bundle(bundle)
    except Exception:
        _fall_back_on_priors(asked, inputs, output)
        _tell(output, "the models were refused, the submission holds priors only")
        return
    try:
        with tempfile.TemporaryDirectory() as scratch:
            report = predict_supervised(bundle / "models", competition, Path(scratch), output, deadline)
    except Exception:
        _tell(output, "grading broke off, the submission holds what was graded until then, and priors")
        return
    logger.info("%s", format_report(report))


def _fall_back_on_priors(asked: Asked, inputs: Path, output: Path) -> None:
    """Writes the bundle's priors; where even they cannot be read, the uniform answer stays."""
    try:
        _write_constant(asked, read_prior(find_bundle(inputs) / "models" / PRIOR_FILE), output)
    except Exception:
        logger.exception("the priors cannot be read either, the submission holds the uniform answer")


def _tell(output: Path, warning: str) -> None:
    """Says loudly, in the log and in the report, that the error at hand has cost the models' answers."""
    error = traceback.format_exc()
    write_json({"warning": warning, "error": error}, output.with_name(REPORT))
    logger.error("%s\n%s", error, warning.upper())


def _write_constant(asked: Asked, prior: pd.DataFrame, output: Path) -> None:
    write_submission(complete_rows(no_predictions(), asked.row_ids, prior), output)


def _uniform_prior() -> pd.DataFrame:
    """A third for each grade: what needs no bundle."""
    cells = pd.MultiIndex.from_product([CONDITIONS, LEVELS], names=["condition", "level"])
    return pd.DataFrame(1 / len(GRADES), index=cells, columns=list(GRADES)).reset_index()
