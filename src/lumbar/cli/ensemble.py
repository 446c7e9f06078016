"""`lumbar ensemble`: the run's stage; `fit` and `apply` blend any predictions in submission format, without a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lumbar.cli.options import DEMO, ConfigOption, DataOption, open_run
from lumbar.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer()

PredictionsOption = Annotated[
    list[Path], typer.Option("--predictions", help="A member's CSV in submission format (.gz too); several may follow.")
]
MoreArgument = Annotated[list[Path] | None, typer.Argument(metavar="PREDICTIONS", help="More members' CSVs.")]

RUNS_NAME = "oof"
"""What a run calls every member's file."""


@app.callback(invoke_without_command=True)
def ensemble(context: typer.Context, config: ConfigOption = DEMO, data: DataOption = None) -> None:
    """Stage: fit the run's ensemble to its out-of-fold predictions; fit and apply do it to any predictions."""
    from lumbar.pipeline import run_through

    if context.invoked_subcommand is None:
        run_through(open_run(config, data), last="ensemble")


@app.command()
def fit(
    labels: Annotated[Path, typer.Option(help="A train.csv.")],
    folds: Annotated[Path, typer.Option(help="study_id and fold of the studies that the members predict.")],
    predictions: PredictionsOption,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    more: MoreArgument = None,
) -> None:
    """Fit an ensemble to out-of-fold predictions, and score it inside the folds.

    A member's name is its file's, without .csv; that of a run's predictions/<member>/oof.csv is its folder's.
    Writes ensemble.json, the labels' prior (prior.csv), nested predictions (oof.csv) and report.json.
    """
    from lumbar.data.competition import read_labels
    from lumbar.data.folds import read_fold_file
    from lumbar.data.priors import PRIOR_FILE, fit_prior
    from lumbar.data.tables import write_table
    from lumbar.ensemble.fit import fit_ensemble, write_ensemble
    from lumbar.ensemble.members import read_member, refuse_other_studies
    from lumbar.ensemble.model import MODEL_FILE
    from lumbar.ensemble.report import format_report
    from lumbar.records import write_record

    fold_table = read_fold_file(folds)
    paths = _name_members([*predictions, *(more or [])])
    members = {name: read_member(path) for name, path in paths.items()}
    for name, path in paths.items():
        refuse_other_studies(members[name], path, fold_table["study_id"].tolist(), folds)
    graded = read_labels(labels)
    ensemble = fit_ensemble(members, graded, fold_table)
    write_ensemble(ensemble, out)
    write_record(ensemble.model, out / MODEL_FILE)
    write_table(fit_prior(graded), out / PRIOR_FILE)
    typer.echo(f"{format_report(ensemble.report)}\n\nwrote {out}")


@app.command()
def apply(
    model: Annotated[Path, typer.Option(help="The folder that `fit` wrote, or its ensemble.json.")],
    predictions: PredictionsOption,
    out: Annotated[Path, typer.Option(help="The CSV to write.")],
    more: MoreArgument = None,
    rows: Annotated[
        Path | None, typer.Option(help="A CSV whose row_id are written, all of them; the prior stands in for members.")
    ] = None,
) -> None:
    """Apply a fitted ensemble to its members' predictions of any studies, matched by their names as in fit."""
    from lumbar.data.priors import PRIOR_FILE
    from lumbar.data.tables import write_table
    from lumbar.ensemble.apply import apply_ensemble
    from lumbar.ensemble.members import read_member
    from lumbar.ensemble.model import MODEL_FILE, read_model

    file = model / MODEL_FILE if model.is_dir() else model
    fitted = read_model(file)
    paths = _name_members([*predictions, *(more or [])])
    unknown = sorted(set(paths) - set(fitted.members))
    if unknown:
        raise InputError(f"{paths[unknown[0]]}: the ensemble's members are {', '.join(fitted.members)}")
    members = {name: read_member(path) for name, path in paths.items()}
    applied, missing = apply_ensemble(fitted, members), sorted(set(fitted.members) - set(paths))
    told = [f"wrote {out}", *([f"without {', '.join(missing)}"] if missing else [])]
    if rows is not None:
        applied, from_prior = _complete(applied, rows, file.parent / PRIOR_FILE)
        told.append(f"{from_prior} of {len(applied)} rows by the prior")
    write_table(applied, out)
    typer.echo(", ".join(told))


def _complete(applied: "pd.DataFrame", rows: Path, prior: Path) -> "tuple[pd.DataFrame, int]":
    """The rows that a table asks for, and how many of them no member has."""
    from lumbar.data.competition import refuse_unknown_rows
    from lumbar.data.priors import read_prior
    from lumbar.data.rows import complete_rows
    from lumbar.data.tables import read_table, text

    asked = read_table(rows, [text("row_id")], unique=["row_id"])
    refuse_unknown_rows(asked, rows)
    completed = complete_rows(applied, asked["row_id"].tolist(), read_prior(prior))
    return completed.predictions, len(completed.fallback)


def _name_members(paths: list[Path]) -> dict[str, Path]:
    from lumbar.ensemble.model import POOL

    named: dict[str, Path] = {}
    for path in paths:
        name = path.name.removesuffix(".gz").removesuffix(".csv")
        name = path.resolve().parent.name if name == RUNS_NAME else name
        if name == POOL:
            raise InputError(f"{path}: '{POOL}' is what an ensemble calls all its members together, rename the file")
        if name in named:
            raise InputError(f"{path}: {named[name]} is called {name} already, expected members of different names")
        named[name] = path
    return named
