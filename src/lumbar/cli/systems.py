"""`lumbar system`: the published systems by name."""

from pathlib import Path
from typing import Annotated

import typer

from lumbar.cli.options import COMPARE, ConfigOption, DataOption, FullSizeOption, open_run

app = typer.Typer(
    no_args_is_help=True,
    help="The published systems, five of papers and two classical ones: list, show, run, backbones, sweep.",
)
NameArgument = Annotated[str, typer.Argument(help="A system's name; `lumbar system list` has them.")]


@app.command("list")
def list_all(config: ConfigOption = COMPARE) -> None:
    """List the systems: what each grades, how many parameters it has, and what its paper reports."""
    from lumbar.systems.overview import format_list

    typer.echo(format_list(config))


@app.command()
def show(name: NameArgument, config: ConfigOption = COMPARE) -> None:
    """Show a system as its paper has it: its layers, input and training, and the paper's figures."""
    from lumbar.systems.overview import format_show

    typer.echo(format_show(config, name))


@app.command()
def run(
    name: NameArgument,
    config: ConfigOption = COMPARE,
    data: DataOption = None,
    full_size: FullSizeOption = False,
    boxes: Annotated[
        Path | None, typer.Option(help="vgg16_frozen's own kind of data: a CSV of boxes around lesions, and --images.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of the images that --boxes names.")] = None,
) -> None:
    """Run one system on the data set's own folds, at annotated points: its own figures, and what its paper shows."""
    from lumbar.baselines.opening import read_published
    from lumbar.systems.alone import open_system, run_system

    if boxes or images:
        if data:
            raise typer.BadParameter("boxes are their own data; leave it out", param_hint="--data")
        _run_on_boxes(name, config, boxes, images, full_size)
        return
    read_published(config, name)  # before a phantom is written
    opened = open_system(open_run(config, data), config, name, data, full_size)
    typer.echo(f"\n{run_system(opened, config)}\n\nwrote {opened.folder}")


def _run_on_boxes(name: str, config: Path, boxes: Path | None, images: Path | None, full_size: bool) -> None:
    from lumbar.systems.boxed import open_boxed, run_boxed

    if boxes is None or images is None:
        raise typer.BadParameter("a table of boxes and a folder of images go together", param_hint="--boxes, --images")
    folder = Path("runs") / images.resolve().name / "systems" / name
    typer.echo(f"\n{run_boxed(open_boxed(config, name, full_size), boxes, images, folder)}\n\nwrote {folder}")


@app.command()
def backbones(
    name: NameArgument,
    config: ConfigOption = COMPARE,
    data: DataOption = None,
    full_size: FullSizeOption = False,
    only: Annotated[str, typer.Option(help="The nets to train, by name, with commas; without it, all.")] = "",
) -> None:
    """Train a system with each backbone of its paper's table, and set that beside the paper's figures."""
    from lumbar.systems.backbones import choose_backbones, open_backbones, run_backbones

    chosen = choose_backbones(name, [each.strip() for each in only.split(",") if each.strip()])
    shared = open_backbones(open_run(config, data), config, name, data, full_size)
    typer.echo(f"\n{run_backbones(shared, chosen)}\n\nwrote {shared.folder}")


@app.command()
def sweep(
    name: NameArgument,
    over: Annotated[str, typer.Option(help="The setting; a wrong one lists those that there are.")],
    config: ConfigOption = COMPARE,
    data: DataOption = None,
    full_size: FullSizeOption = False,
) -> None:
    """Train a system with each value of one setting, such as those that a paper tried."""
    from lumbar.systems.sweeps import expect_sweep, run_sweep

    expect_sweep(name, over)  # before a phantom is written
    text, folder = run_sweep(open_run(config, data), config, name, over, data, full_size)
    typer.echo(f"\n{text}\n\nwrote {folder}")
