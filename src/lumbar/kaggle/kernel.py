"""What the inference kernel does: a valid submission of priors first, then the models' own in its place."""

import json
import logging
import tempfile
import traceback
from pathlib import Path

import lumbar
from lumbar.dataset import Competition, no_predictions
from lumbar.kaggle.bundle import check_bundle
from lumbar.kaggle.mounts import find_bundle, find_competition
from lumbar.submission import REPORT, format_report, predict_submission, read_prior
from lumbar.submit import complete_rows, write_submission
from lumbar.tables import write_text

logger = logging.getLogger(__name__)


def run_kernel(inputs: Path, working: Path) -> None:
    """Writes `submission.csv` and `run_report.json` into Kaggle's working folder.

    The priors stand there from the start and are replaced whole, so that a failure that no stage foresaw still leaves
    a submission that scores. The report then holds the error, and the log says it at its end.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("lumbar %s from %s", lumbar.__version__, Path(lumbar.__file__).parent)
    bundle, competition = find_bundle(inputs), Competition(find_competition(inputs))
    output = working / "submission.csv"
    _write_priors(bundle / "models" / "prior.csv", competition, output)
    try:
        check_bundle(bundle)
        with tempfile.TemporaryDirectory() as scratch:
            report = predict_submission(bundle / "models", competition, Path(scratch), output)
    except Exception:
        error = traceback.format_exc()
        row_ids = competition.sample_submission["row_id"].tolist()
        write_text(json.dumps({"error": error, "fallback": row_ids}, indent=2) + "\n", output.with_name(REPORT))
        logger.error("%s\nTHE MODELS FAILED, THE SUBMISSION HOLDS PRIORS ONLY", error)
        return
    logger.info("%s", format_report(report))


def _write_priors(prior: Path, competition: Competition, output: Path) -> None:
    row_ids = competition.sample_submission["row_id"].tolist()
    write_submission(complete_rows(no_predictions(), row_ids, read_prior(prior)), output)
