"""What the inference kernel does: a valid submission of priors first, then the models' own in its place."""

import logging
import tempfile
import traceback
from pathlib import Path

from lumbar.dataset import Competition, no_predictions
from lumbar.kaggle.bundle import check_bundle
from lumbar.kaggle.mounts import find_bundle, find_competition
from lumbar.submission import format_report, predict_submission, read_prior
from lumbar.submit import complete_rows, write_submission

logger = logging.getLogger(__name__)


def run_kernel(inputs: Path, working: Path) -> None:
    """Writes `submission.csv` and `run_report.json` into Kaggle's working folder.

    The priors stand there from the start and are replaced whole, so that a kernel that is stopped, or a failure that
    no stage foresaw, still leaves a submission that scores.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bundle, competition = find_bundle(inputs), Competition(find_competition(inputs))
    check_bundle(bundle)
    output = working / "submission.csv"
    _write_priors(bundle / "models" / "prior.csv", competition, output)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            report = predict_submission(bundle / "models", competition, Path(scratch), output)
    except Exception:
        logger.error("THE MODELS FAILED, THE SUBMISSION HOLDS PRIORS ONLY\n%s", traceback.format_exc())
        return
    logger.info("%s", format_report(report))


def _write_priors(prior: Path, competition: Competition, output: Path) -> None:
    row_ids = competition.sample_submission["row_id"].tolist()
    write_submission(complete_rows(no_predictions(), row_ids, read_prior(prior)), output)
