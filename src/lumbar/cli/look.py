"""Commands beside the stages: what predictions, runs and graders are worth, and predict, which grades one study."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lumbar.cli.options import COMPARE, DEMO, ConfigOption, DataOption, FullSizeOption, open_run
from lumbar.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from lumbar.metric import Score


def score(
    labels: Annotated[Path, typer.Option(help="The true grades, laid out as train.csv.")],
    predictions: Annotated[
        list[Path],
        typer.Option(help="A CSV in submission format; several, each with the option before it, are parts of one."),
    ],
    fill_missing: Annotated[
        Literal["error", "uniform"], typer.Option(help="`uniform` gives rows without a prediction 1/3 each.")
    ] = "error",
    folds: Annotated[Path | None, typer.Option(help="A fold file, with --fold.")] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Score the studies of this fold of the file only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score predictions by the competition's metric."""
    import pandas as pd

    from lumbar import metric
    from lumbar.data.competition import read_labels, read_predictions, refuse_unknown_rows
    from lumbar.data.folds import studies_of_fold
    from lumbar.data.tables import TableError

    if (fold is None) != (folds is None):
        raise typer.BadParameter("a fold needs its file, and a file says which fold", param_hint="--fold, --folds")
    truth = read_labels(labels)
    if folds is not None and fold is not None:
        truth = truth[truth["study_id"].isin(studies_of_fold(folds, fold))]
    if truth.empty:
        raise TableError(f"{labels}: no cell has a label, so there is nothing to score")
    tables = [read_predictions(path) for path in predictions]
    for path, rows in zip(predictions, tables, strict=True):
        refuse_unknown_rows(rows, path)
    table = pd.concat(tables, ignore_index=True)
    if fill_missing == "uniform":
        table = metric.fill_missing(truth, table)
    try:
        losses = metric.study_losses(truth, table)
    except ValueError as error:
        hint = "; --fill-missing uniform accepts that" if isinstance(error, metric.MissingRowsError) else ""
        raise TableError(f"{', '.join(map(str, predictions))}: {error}{hint}") from error
    result = metric.score_losses(losses)
    low, high = metric.interval(metric.bootstrap_scores(losses, seed=0))
    sums, scaled = metric.odd_sums(truth, table), metric.score(truth, metric.normalised(table))
    if len(sums):
        typer.secho(f"lumbar: warning: {_warn_of_sums(sums, len(truth))}", fg="yellow", err=True)
    if as_json:
        told = {"ci95": [low, high], "studies": len(losses), "rows_not_summing_to_1": len(sums)}
        typer.echo(json.dumps({**result.as_dict(), **told, "normalised": scaled.as_dict()}, indent=2))
        return
    typer.echo("\n".join(_format_components(result)))
    typer.echo(f"{'95 % interval':18s} {low:.6f} to {high:.6f}, over {len(losses)} studies")
    if len(sums):
        lines = [f"warning: {_warn_of_sums(sums, len(truth))}", "with every row scaled to sum to 1:"]
        typer.echo("\n".join(["", *lines, *_format_components(scaled)]))


def _format_components(result: "Score") -> list[str]:
    shown = {"score": result.score, **result.components}
    return [f"{name:18s} {'-' if value is None else f'{value:.6f}'}" for name, value in shown.items()]


def _warn_of_sums(sums: "pd.Series", rows: int) -> str:
    return (
        f"{len(sums)} of {rows} rows do not sum to 1, the first, '{sums.index[0]}', to {sums.iloc[0]:.6g}. Kaggle's "
        "metric scales rows to 1, but takes `severe` as it stands for any_severe_spinal: that component and the score "
        "are not comparable with those of probabilities"
    )


def report(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    studies: Annotated[
        int, typer.Option(min=0, help="Studies with a page of their own: best, worst, surprising.")
    ] = 12,
) -> None:
    """Draw what a run has found as one HTML page; it only reads what is there."""
    from lumbar.config import read_config
    from lumbar.phantom.keep import phantom_folder
    from lumbar.pipeline import tell_changes
    from lumbar.report.page import write_report
    from lumbar.run.run import refuse_other_layout

    wanted = read_config(config)
    folder, root = Path("runs") / wanted.name, data or phantom_folder(wanted.phantom)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such run; `make cv CONFIG={config}` makes it")
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: the phantom is gone; a run on other data is reported with --data (DATA=)")
    run = open_run(config, root)
    refuse_other_layout(folder)
    tell_changes(run)
    typer.echo(f"wrote {write_report(run, config, studies)}")


def compare(
    config: ConfigOption = COMPARE,
    data: DataOption = None,
    full_size: FullSizeOption = False,
    systems: Annotated[
        str | None, typer.Option(help="Some systems only, by name and comma: cnn_lstm,vgg16_frozen.")
    ] = None,
) -> None:
    """Set the published systems beside the main pipeline, in one table."""
    from lumbar.baselines.opening import open_main
    from lumbar.comparison import run_compare

    run = open_main(open_run(config, data), data)
    wanted = [name.strip() for name in (systems or "").split(",") if name.strip()]
    typer.echo(f"\n{run_compare(run, config, full_size, wanted)}\n\nwrote {run.folder / 'compare.json'}")


def predict(
    study: Annotated[Path, typer.Argument(help="A folder of one study's DICOM files, nested and named in any way.")],
    models: Annotated[Path, typer.Option(help="A run's models folder, or a bundle's.")] = Path("runs/demo/models"),
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; without it, nothing but what is printed.")
    ] = None,
) -> None:
    """Grade one study: which series is which is read from its files. Prints the 25 grades, writes a CSV and a page."""
    from lumbar.data.tables import write_table
    from lumbar.report.study import write_study_page
    from lumbar.submit.single import format_study, grade_folder

    if out and out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; expected a folder to write into")
    graded = grade_folder(study, models)
    typer.echo(format_study(graded))
    if out:
        name = study.resolve().name
        write_table(graded.grades, out / f"{name}.csv")
        write_study_page(graded, name, out / f"{name}.html")
        typer.echo(f"\nwrote {out / name}.csv and .html")


def ablation(config: ConfigOption = Path("configs/ablation.yaml"), data: DataOption = None) -> None:
    """Train the graders of a config, each a row, and say what each is worth beside the first."""
    from lumbar.ablation import run_ablation

    run = open_run(config, data)
    typer.echo(f"\n{run_ablation(run)}\n\nwrote {run.folder / 'ablation.json'}")


def noise(config: ConfigOption = DEMO, data: DataOption = None) -> None:
    """List the labels that the run's predictions out of fold contradict, for training to doubt."""
    import pandas as pd

    from lumbar.data.competition import read_predictions
    from lumbar.data.tables import write_table
    from lumbar.grade.noise import find_suspects, measure_suspects

    run = open_run(config, data)
    predictions, truth = run.folder / "ensemble" / "oof.csv", run.competition.root / "hidden" / "train_truth.csv"
    if not predictions.is_file():
        raise InputError(f"{predictions}: is not there; `lumbar cv --config {config}` predicts the studies out of fold")
    labels = run.competition.labels
    suspects = find_suspects(labels, read_predictions(predictions))
    write_table(suspects, run.folder / "suspects.csv")
    typer.echo(f"{len(suspects)} of {len(labels)} labels are suspect, see {run.folder / 'suspects.csv'}")
    if truth.is_file():
        found = measure_suspects(labels, suspects, pd.read_csv(truth))
        typer.echo(
            f"of the phantom's {found.wrong} labels that a rater's noise has changed {found.recall:.1%} are among "
            f"them, and {found.precision:.1%} of them are such"
        )


COMMANDS = {command.__name__: command for command in (score, report, compare, ablation, noise, predict)}
