"""The `lumbar` command: one sub-command for each stage, and the ones around them."""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from lumbar import __version__
from lumbar.config import read_config
from lumbar.data.tables import TableError
from lumbar.ensemble import commands as ensemble_commands
from lumbar.errors import InputError
from lumbar.kaggle import commands as kaggle_commands
from lumbar.kaggle.commands import Group
from lumbar.run.stamps import UNTRAINED, UntrainedError

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
FoldOption = Annotated[
    int | None, typer.Option("--fold", min=0, help="Train this fold's models only, take the others as they are.")
]
GroupOption = Annotated[
    Group | None,
    typer.Option("--group", help="Train this condition group's graders only, take the others as they are."),
]
DEMO = Path("configs/demo.yaml")


def main() -> None:
    """Runs the command; an error of the user's input is one line, not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app()
    except UntrainedError as untrained:
        typer.secho(f"lumbar: {untrained}", fg="yellow", err=True)
        raise SystemExit(UNTRAINED) from None
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
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    max_size: Annotated[int | None, typer.Option(min=64, help="Largest image side in pixels.")] = None,
    rendered: Annotated[
        int | None, typer.Option(min=1, help="Test studies to render; the others are copies of them under new ids.")
    ] = None,
    faults: Annotated[
        bool, typer.Option("--faults", help="Break the test part; hidden/faults.csv says what was broken.")
    ] = False,
) -> None:
    """Write a synthetic competition in the real one's layout."""
    from lumbar.config import PhantomConfig
    from lumbar.phantom.keep import compose_phantom

    wanted = PhantomConfig(studies=studies, test_studies=test_studies, max_size=max_size, seed=seed)
    record = compose_phantom(out, wanted, rendered, faults)
    if record is not None:
        typer.echo(f"broke it by {len(record)} faults of {record['fault'].nunique()} kinds, see hidden/faults.csv")
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
    from lumbar.data.competition import read_labels, read_predictions

    if fill_missing not in ("error", "uniform"):
        raise typer.BadParameter(f"expected error or uniform, got {fill_missing}", param_hint="--fill-missing")
    truth = read_labels(labels)
    if truth.empty:
        raise TableError(f"{labels}: no cell has a label, so there is nothing to score")
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
def cv(
    config: ConfigOption = DEMO, data: DataOption = None, fold: FoldOption = None, group: GroupOption = None
) -> None:
    """Run every stage on the training studies and score what they predict out of fold."""
    from lumbar.pipeline import format_table, run_through, score_run

    run = _open_run(config, data, fold, group)
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
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a study's first error.")] = False,
) -> None:
    """Predict the test studies with the run's models and write the submission."""
    from lumbar.pipeline import run_through
    from lumbar.submit.results import format_report
    from lumbar.submit.stage import run_submission

    run = _open_run(config, data)
    run_through(run)
    report = run_submission(run, output, strict)
    typer.echo(f"{format_report(report)}\nwrote {output}")


@app.command()
def replay(
    fold: Annotated[int, typer.Option(min=0, help="The fold whose training studies are predicted again.")],
    config: ConfigOption = DEMO,
    data: DataOption = None,
) -> None:
    """Check that the kernel's code reproduces a fold's out-of-fold predictions."""
    from lumbar.pipeline import run_through
    from lumbar.submit.replay import format_parity, replay_fold

    run = _open_run(config, data)
    run_through(run)
    parity = replay_fold(run, fold)
    typer.echo(format_parity(parity))
    raise typer.Exit(0 if parity.holds else 1)


@app.command()
def bundle(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    owner: Annotated[str, typer.Option(help="Your Kaggle user name.")] = "OWNER",
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("submission/bundle"),
    third_party: Annotated[bool, typer.Option(help="Download the wheels that Kaggle lacks.")] = True,
) -> None:
    """Pack a run's models, the package and its wheels for Kaggle, and write the inference kernel."""
    from lumbar.kaggle.bundle import build_bundle
    from lumbar.kaggle.kernels import write_inference_kernel
    from lumbar.pipeline import run_through

    run, kernel = _open_run(config, data), out.parent / "kernels" / "inference"
    run_through(run)
    build_bundle(run.models, out, Path(), owner, third_party)
    write_inference_kernel(Path(), kernel, owner)
    typer.echo(f"wrote {out} and {kernel}")


@app.command()
def rehearse(
    config: ConfigOption = Path("configs/rehearsal.yaml"),
    data: DataOption = None,
    studies: Annotated[int, typer.Option(min=1, help="Studies of the hidden test, a phantom.")] = 24,
    max_size: Annotated[int | None, typer.Option(min=64, help="Its largest image side in pixels.")] = 256,
    layout: Annotated[str, typer.Option(help="`old`, `new` or `both` of Kaggle's layouts of inputs.")] = "both",
    memory: Annotated[float, typer.Option(min=1, help="The cap in GB.")] = 8.0,
    kills: Annotated[int, typer.Option(min=0, help="Kill the kernel at so many random moments, too.")] = 0,
    faults: Annotated[bool, typer.Option("--faults", help="Break most of the studies first.")] = False,
) -> None:
    """Run the kernel as Kaggle would, on a phantom's hidden test: offline, inputs read-only, memory capped."""
    from lumbar.data.tables import write_text
    from lumbar.kaggle.rehearse.prepare import prepare_rehearsal
    from lumbar.kaggle.rehearse.rehearsal import LAYOUT_NAMES, format_figures, rehearse, rehearse_faults, rehearse_kills
    from lumbar.pipeline import run_through

    if layout not in ("both", *LAYOUT_NAMES):
        raise typer.BadParameter(f"expected both, {' or '.join(LAYOUT_NAMES)}, got {layout}", param_hint="--layout")
    run = _open_run(config, data)
    run_through(run)
    rehearsal = prepare_rehearsal(run, studies, max_size, int(memory * 1e9), faults)
    figures = [rehearse(rehearsal, name) for name in (LAYOUT_NAMES if layout == "both" else (layout,))]
    for part in figures:
        typer.echo(format_figures(part))
    if faults:
        typer.echo(rehearse_faults(rehearsal, figures[-1]["layout"]))
    if kills:
        moments = rehearse_kills(rehearsal, figures[-1]["layout"], kills, figures[-1]["seconds"], run.config.seed)
        typer.echo(f"killed at {len(moments)} moments, each time a valid submission was left")
    write_text(json.dumps(figures, indent=2) + "\n", rehearsal.folder / "rehearsal.json")


@app.command()
def report(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    studies: Annotated[
        int, typer.Option(min=0, help="Studies with a page of their own: best, worst, surprising.")
    ] = 12,
) -> None:
    """Draw what a run has found as one HTML page; it only reads what is there."""
    from lumbar.phantom.keep import phantom_folder
    from lumbar.report.page import write_report

    wanted = read_config(config)
    folder, root = Path("runs") / wanted.name, data or phantom_folder(wanted.phantom)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such run; `make cv CONFIG={config}` makes it")
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: the phantom is gone; a run on other data is reported with --data (DATA=)")
    typer.echo(f"wrote {write_report(_open_run(config, root), config, studies)}")


@app.command()
def compare(
    config: ConfigOption = Path("configs/compare.yaml"),
    data: DataOption = None,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="Every system at its paper's size, not at the config's.")
    ] = False,
) -> None:
    """Set the published systems beside the main pipeline, in one table."""
    from lumbar.comparison import run_compare

    run = _open_run(config, data)
    typer.echo(f"\n{run_compare(run, config, full_size)}\n\nwrote {run.folder / 'compare.json'}")


@app.command()
def pictures(out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("docs/pictures")) -> None:
    """Draw the README's pictures of the phantom."""
    from lumbar.phantom.pictures import draw_pictures

    for path in draw_pictures(out, seed=0):
        typer.echo(f"wrote {path}")


@app.command()
def detect(config: ConfigOption = DEMO, data: DataOption = None, fold: FoldOption = None) -> None:
    """Train the detectors and write the out-of-fold points."""
    from lumbar.pipeline import run_through

    run_through(_open_run(config, data, fold), last="detect")


@app.command()
def grade(
    config: ConfigOption = DEMO, data: DataOption = None, fold: FoldOption = None, group: GroupOption = None
) -> None:
    """Train the graders and write their out-of-fold predictions."""
    from lumbar.pipeline import run_through

    run_through(_open_run(config, data, fold, group), last="grade")


app.add_typer(kaggle_commands.app)


def _stage_command(name: str, text: str) -> None:
    def command(config: ConfigOption = DEMO, data: DataOption = None) -> None:
        from lumbar.pipeline import run_through

        run_through(_open_run(config, data), last=name)

    app.command(name, help=text)(command)


for _name, _text in {
    "folds": "Write the fold file, or check the one that is there.",
    "crop": "Cut the crops around the points.",
}.items():
    _stage_command(_name, _text)

ensemble = typer.Typer()
ensemble.command()(ensemble_commands.fit)
ensemble.command()(ensemble_commands.apply)
app.add_typer(ensemble, name="ensemble")


@ensemble.callback(invoke_without_command=True)
def _ensemble_stage(context: typer.Context, config: ConfigOption = DEMO, data: DataOption = None) -> None:
    """Fit the run's ensemble to its out-of-fold predictions; fit and apply do it to any predictions."""
    from lumbar.pipeline import run_through

    if context.invoked_subcommand is None:
        run_through(_open_run(config, data), last="ensemble")


def _open_run(config_path: Path, data: Path | None, fold: int | None = None, group: Group | None = None):  # type: ignore[no-untyped-def]  # Run is imported late
    from lumbar.data.competition import Competition
    from lumbar.phantom.keep import keep_phantom
    from lumbar.run.run import Part, Run

    config = read_config(config_path)
    root = data or keep_phantom(config.phantom)
    if not (root / "train.csv").is_file():
        raise FileNotFoundError(f"{root}: expected a folder in the competition's layout, with train.csv in it")
    part = Part(fold, group.value if group else None)
    return Run(config, Competition(root), Path("runs") / config.name, part)


if __name__ == "__main__":
    main()
