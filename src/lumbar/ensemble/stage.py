"""The ensemble stage: the graders' out-of-fold predictions as one table, and the model that makes it of others."""

from pathlib import Path

from lumbar.ensemble.fit import fit_ensemble, write_ensemble
from lumbar.ensemble.members import read_member
from lumbar.ensemble.model import MODEL_FILE
from lumbar.records import write_record
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, run_stage


def run_ensemble(run: Run) -> None:
    """Writes `ensemble/oof.csv` (nested, for the cells that some member predicts), its report, and
    `models/ensemble.json`.

    A member is a net of the run's graders, and its predictions lie below `predictions/` under its name.
    """
    run_stage("ensemble", run.folder / "ensemble", ensemble_made_from(run), lambda: _fit(run))


def _sources(run: Run) -> dict[str, Path]:
    """The members' predictions out of fold."""
    return {name: run.folder / "predictions" / name / "oof.csv" for name in run.config.members}


def ensemble_made_from(run: Run) -> Origin:
    """What the ensemble is made from."""
    sources = _sources(run)
    return fingerprint(
        code=hash_code("ensemble.fit"),
        labels=run.labels_fingerprint,
        members=list(sources),
        predictions=hash_files(*sources.values()),
    )


def _fit(run: Run) -> None:
    members = {name: read_member(path) for name, path in _sources(run).items()}
    ensemble = fit_ensemble(members, run.competition.labels, run.parts)
    write_ensemble(ensemble, run.folder / "ensemble")
    write_record(ensemble.model, run.models / MODEL_FILE)
