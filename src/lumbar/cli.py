"""The `lumbar` command: one sub-command for each stage, and the ones around them."""

import json
import logging
import shutil
from pathlib import Path
from typing import Annotated

import typer

from lumbar import __version__
from lumbar.config import Config, read_config
from lumbar.ensemble import commands
from lumbar.errors import InputError
from lumbar.tables import TableError

app = typer.Typer(
    help="From lumbar spine MRI to a submission for RSNA 2024 Lumbar Spine Degenerative Classification.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path, typer.Option("--config", help="The run's YAML config.")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="A folder in the competition's layout; without it, the phantom of the config."),
]
DEMO = Path("configs/demo.yaml")


def main() -> None:
    """Runs the command; an error of the user's input is one line, not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app()
    except (InputError, FileNotFoundError, FileExistsError) as error:
        typer.secho(f"lumbar: {error}", fg="red", err=True)
        raise SystemExit(2) from None


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    studies: Annotated[int, typer.Option(min=1, help="Training studies.")] = 60,
    test_studies: Annotated[int, typer.Option(min=0, help="Test studies.")] = 8,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    max_size: Annotated[int | None, typer.Option(min=64, help="Largest image side in pixels.")] = None,
) -> None:
    """Write a synthetic competition in the real one's layout."""
    from lumbar.phantom import write_phantom

    write_phantom(out, studies=studies, seed=seed, test_studies=test_studies, max_size=max_size)
    typer.echo(f"wrote {out}")


@app.command()
def score(
    labels: Annotated[Path, typer.Option(help="A train.csv.")],
    predictions: Annotated[list[Path], typer.Option(help="CSVs in submission format, together one prediction.")],
    fill_missing: Annotated[str, typer.Option(help="`uniform` gives rows without a prediction 1/3 each.")] = "error",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score predictions by the competition's metric."""
    import pandas as pd

    from lumbar import metric
    from lumbar.dataset import read_labels, read_predictions

    if fill_missing not in ("error", "uniform"):
        raise typer.BadParameter(f"expected error or uniform, got {fill_missing}", param_hint="--fill-missing")
    truth = read_labels(labels)
    tables = [read_predictions(path) for path in predictions]
    for path, part in zip(predictions, tables, strict=True):
        metric.refuse_unknown_rows(part, path)
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
    if as_json:
        typer.echo(json.dumps({**result.as_dict(), "ci95": [low, high], "studies": len(losses)}, indent=2))
        return
    for name, value in {"score": result.score, **result.components}.items():
        typer.echo(f"{name:18s} {'-' if value is None else f'{value:.6f}'}")
    typer.echo(f"{'95 % interval':18s} {low:.6f} to {high:.6f}, over {len(losses)} studies")


@app.command()
def cv(config: ConfigOption = DEMO, data: DataOption = None) -> None:
    """Run every stage on the training studies and score what they predict out of fold."""
    from lumbar.crossvalidation import format_table, run_through, score_run

    run = _open_run(config, data)
    run_through(run)
    result = score_run(run)
    table = format_table(result)
    (run.folder / "cv.txt").write_text(table + "\n", encoding="utf-8")
    typer.echo(f"\n{table}\n\nwrote {run.folder / 'cv.json'}")


@app.command()
def submission(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    output: Annotated[Path, typer.Option(help="The CSV to write.")] = Path("submission/submission.csv"),
) -> None:
    """Predict the test studies with the run's models and write the submission."""
    from lumbar.crossvalidation import run_through
    from lumbar.submission import format_report, run_submission

    run = _open_run(config, data)
    run_through(run)
    report = run_submission(run, output)
    typer.echo(f"{format_report(report)}\nwrote {output}")


@app.command()
def bundle(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    owner: Annotated[str, typer.Option(help="Your Kaggle user name.")] = "OWNER",
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("submission/bundle"),
    third_party: Annotated[bool, typer.Option(help="Download the wheels that Kaggle lacks.")] = True,
) -> None:
    """Pack a run's models, the package and its wheels for Kaggle."""
    from lumbar.crossvalidation import run_through
    from lumbar.kaggle.bundle import build_bundle

    run = _open_run(config, data)
    run_through(run)
    build_bundle(run.models, out, Path(), owner, third_party)
    typer.echo(f"wrote {out}")


@app.command()
def pictures(out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("docs/pictures")) -> None:
    """Draw the README's pictures of the phantom."""
    from lumbar.phantom.pictures import draw_pictures

    for path in draw_pictures(out, seed=0):
        typer.echo(f"wrote {path}")


def _stage_command(name: str, text: str) -> None:
    def command(config: ConfigOption = DEMO, data: DataOption = None) -> None:
        from lumbar.crossvalidation import run_through

        run_through(_open_run(config, data), last=name)

    app.command(name, help=text)(command)


for _name, _text in {
    "folds": "Write the fold file, or check the one that is there.",
    "detect": "Train the detectors and write the out-of-fold points.",
    "crop": "Cut the crops around the points.",
    "grade": "Train the graders and write their out-of-fold predictions.",
}.items():
    _stage_command(_name, _text)

ensemble = typer.Typer()
ensemble.command()(commands.fit)
ensemble.command()(commands.apply)
app.add_typer(ensemble, name="ensemble")


@ensemble.callback(invoke_without_command=True)
def _ensemble_stage(context: typer.Context, config: ConfigOption = DEMO, data: DataOption = None) -> None:
    """Fit the run's ensemble to its out-of-fold predictions; fit and apply do it to any predictions."""
    from lumbar.crossvalidation import run_through

    if context.invoked_subcommand is None:
        run_through(_open_run(config, data), last="ensemble")


def _open_run(config_path: Path, data: Path | None):  # type: ignore[no-untyped-def]  # Run is imported late
    from lumbar.dataset import Competition
    from lumbar.run import Run

    config = read_config(config_path)
    root = data or _phantom_of(config)
    if not (root / "train.csv").is_file() and not (root / "sample_submission.csv").is_file():
        raise FileNotFoundError(f"{root}: expected a folder in the competition's layout, with train.csv in it")
    return Run(config, Competition(root), Path("runs") / config.name)


def _phantom_of(config: Config) -> Path:
    """The config's phantom, written when it is not there yet."""
    from lumbar.phantom import write_phantom
    from lumbar.stages import fingerprint, run_stage

    wanted = config.phantom
    made_from = fingerprint(phantom=wanted.model_dump())
    root = Path("data") / f"phantom-{made_from[:8]}"

    def write() -> None:
        shutil.rmtree(root)  # what an interrupted writing left
        write_phantom(root, wanted.studies, wanted.seed, wanted.test_studies, wanted.max_size)

    run_stage("phantom", root, made_from, write)
    return root


if __name__ == "__main__":
    main()
