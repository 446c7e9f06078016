"""The ensemble stage: the graders' out-of-fold predictions as one table."""

import pandas as pd

from lumbar.dataset import read_predictions
from lumbar.ensemble import average_folds
from lumbar.run import Run
from lumbar.stages import fingerprint, hash_files, run_stage
from lumbar.tables import write_table


def run_ensemble(run: Run) -> None:
    """Writes `ensemble/oof.csv` in submission format, for the rows that some model predicts."""
    sources = [run.folder / "predictions" / name / "oof.csv" for name in run.config.graders]
    run_stage(
        "ensemble",
        run.folder / "ensemble",
        fingerprint(sources=hash_files(*sources)),
        lambda: write_table(
            average_folds(pd.concat([read_predictions(path) for path in sources], ignore_index=True)),
            run.folder / "ensemble" / "oof.csv",
        ),
    )
