"""`lumbar kaggle`: packing for Kaggle, checking what is packed, rehearsing it there, and pushing it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lumbar.cli.options import (
    DEMO,
    SUBMISSION,
    ConfigOption,
    DataOption,
    FoldOption,
    GroupOption,
    open_trained_run,
    select,
)
from lumbar.kaggle import PLACEHOLDER

app = typer.Typer(help="Pack, check, rehearse and push what runs on Kaggle.", no_args_is_help=True)

OwnerOption = Annotated[str, typer.Option("--owner", help="Your Kaggle user name.")]
FolderOption = Annotated[Path, typer.Option("--folder", help="Where what is packed lies.")]
FromOption = Annotated[list[str], typer.Option("--from", help="A kernel, owner/slug, whose output is taken over.")]
WheelsOption = Annotated[
    bool, typer.Option("--third-party/--no-third-party", help="Download the wheels that Kaggle lacks.")
]


@app.command()
def bundle(
    config: ConfigOption = DEMO,
    data: DataOption = None,
    owner: OwnerOption = PLACEHOLDER,
    trained_by: FromOption = [],  # noqa: B006  # typer copies it
    third_party: WheelsOption = True,
    folder: FolderOption = SUBMISSION,
) -> None:
    """Pack a run's models, as they are, with the code and its wheels, and write the inference kernel.

    With --from, only the kernel is written, for models that were trained on Kaggle and never left it.
    """
    from lumbar.kaggle.bundle import build_bundle
    from lumbar.kaggle.kernels import write_inference_kernel
    from lumbar.submit.cards import are_of_phantom

    kernel = folder / "kernels" / "inference"
    if trained_by:
        write_inference_kernel(Path(), kernel, owner, trained_by)
        typer.echo(f"wrote {kernel}, which takes its bundle from {', '.join(trained_by)}")
        return
    models = open_trained_run(config, data, reads_data=False).models
    build_bundle(models, folder / "bundle", Path(), owner, third_party)
    write_inference_kernel(Path(), kernel, owner)
    typer.echo(f"wrote {folder / 'bundle'} and {kernel}")
    if are_of_phantom(models):
        typer.secho(
            f"{models}: these were trained on synthetic images; to grade real ones, bundle another run (CONFIG=...)",
            fg="yellow",
            err=True,
        )


@app.command()
def train(
    config: ConfigOption = DEMO,
    owner: OwnerOption = PLACEHOLDER,
    fold: FoldOption = None,
    group: GroupOption = None,
    run: Annotated[int, typer.Option(min=1, help="Which run of this selection it is; each goes on from the last.")] = 1,
    sources: FromOption = [],  # noqa: B006  # typer copies it
    third_party: WheelsOption = True,
    folder: FolderOption = SUBMISSION,
) -> None:
    """Pack a config, its folds and the code for training on Kaggle, and write the training kernel."""
    from lumbar.baselines.stage import expect_net
    from lumbar.config import read_config
    from lumbar.kaggle.bundle import build_training_bundle
    from lumbar.kaggle.kernels import write_training_kernel
    from lumbar.pipeline import expect_fold, expect_weights

    wanted = read_config(config)
    expect_net(wanted)
    expect_weights(wanted)
    expect_fold(wanted.folds_file, fold)
    build_training_bundle(wanted, folder / "training", Path(), owner, third_party)
    kernel = write_training_kernel(Path(), folder / "kernels" / "training", owner, select(fold, group), run, sources)
    typer.echo(f"wrote {folder / 'training'} and the kernel {kernel}")


@app.command()
def lint(folder: FolderOption = SUBMISSION) -> None:
    """Check the packed data sets and kernels against Kaggle's rules."""
    from lumbar.kaggle.lint import lint_submission

    _stop_at(lint_submission(folder, Path()))
    typer.echo(f"{folder}: fit to be pushed")


@app.command()
def rehearse(
    config: ConfigOption = Path("configs/rehearsal.yaml"),
    data: DataOption = None,
    studies: Annotated[int, typer.Option(min=1, help="Studies of the hidden test, a phantom.")] = 24,
    max_size: Annotated[int | None, typer.Option(min=64, help="Its largest image side in pixels.")] = None,
    rendered: Annotated[int | None, typer.Option(min=1, help="Studies to render; the others are copies.")] = None,
    layout: Annotated[
        Literal["old", "new", "both"], typer.Option(help="One of Kaggle's two layouts of inputs, or both.")
    ] = "both",
    memory: Annotated[float, typer.Option(min=1, help="The cap in GB; 24 where there is a GPU.")] = 8.0,
    kills: Annotated[int, typer.Option(min=0, help="Kill the kernel at so many random moments, too.")] = 0,
    faults: Annotated[bool, typer.Option("--faults", help="Break most of the studies first.")] = False,
) -> None:
    """Run the kernel as Kaggle would, on a phantom's hidden test: offline, inputs read-only, memory capped."""
    from lumbar.kaggle.rehearse.rehearsal import LAYOUT_NAMES, format_figures, prepare_rehearsal, rehearse_all

    run = open_trained_run(config, data, reads_data=False)
    rehearsal = prepare_rehearsal(run, studies, max_size, int(memory * 1e9), faults, rendered)
    layouts = LAYOUT_NAMES if layout == "both" else (layout,)
    for told in rehearse_all(rehearsal, layouts, kills, faults, run.config.seed):
        typer.echo(told if isinstance(told, str) else format_figures(told))


@app.command()
def replay(
    fold: Annotated[int, typer.Option(min=0, help="The fold whose training studies are predicted again.")],
    config: ConfigOption = DEMO,
    data: DataOption = None,
) -> None:
    """Check that the kernel's code reproduces a fold's out-of-fold predictions."""
    from lumbar.submit.replay import format_parity, replay_fold

    parity = replay_fold(open_trained_run(config, data), fold)
    typer.echo(format_parity(parity))
    raise typer.Exit(0 if parity.holds else 1)


@app.command()
def push(
    kernel: Annotated[Literal["inference", "training"], typer.Argument(help="The kernel.")] = "inference",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the lines, run nothing.")] = False,
    data: Annotated[bool, typer.Option(help="Upload the kernel's data set, too.")] = True,
    folder: FolderOption = SUBMISSION,
) -> None:
    """Check a kernel and its data set, upload both with the kaggle command, and print what is left to do."""
    from lumbar.kaggle.lint import lint_kernel
    from lumbar.kaggle.push import Push, PushError, lines_by_hand, run_push

    _stop_at(lint_kernel(folder, kernel, Path()))
    wanted = Push(folder, kernel, data)
    if dry_run:
        typer.echo("\n".join(lines_by_hand(wanted)))
        return
    try:
        left = run_push(wanted)
    except PushError as error:
        by_hand = "\n  ".join(lines_by_hand(wanted))
        raise PushError(f"{error}\nBy hand:\n  {by_hand}") from error
    typer.echo("\n".join(["pushed; what is left to do:", *left]))


def _stop_at(complaints: list[str]) -> None:
    for complaint in complaints:
        typer.secho(complaint, fg="red", err=True)
    if complaints:
        raise typer.Exit(1)
