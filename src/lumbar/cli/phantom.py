"""`lumbar phantom`: a synthetic competition, and pictures of it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.callback(invoke_without_command=True)
def write(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="The folder to write.")] = None,
    studies: Annotated[int, typer.Option(min=1, help="Training studies.")] = 60,
    test_studies: Annotated[int, typer.Option(min=0, help="Test studies.")] = 8,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Same seed, same bytes.")] = 0,
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
    from lumbar.errors import InputError
    from lumbar.phantom.keep import compose_phantom

    if context.invoked_subcommand is not None:
        return
    if out is None:
        raise typer.BadParameter("name the folder to write", param_hint="--out")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; name a folder of its own")
    wanted = PhantomConfig(studies=studies, test_studies=test_studies, max_size=max_size, seed=seed)
    record = compose_phantom(out, wanted, rendered, faults)
    if record is not None:
        typer.echo(f"broke it by {len(record)} faults of {record['fault'].nunique()} kinds, see hidden/faults.csv")
    typer.echo(f"wrote {out}")


@app.command()
def pictures(out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("docs/pictures")) -> None:
    """Draw the documentation's pictures of the phantom."""
    from lumbar.phantom.pictures import draw_pictures

    for path in draw_pictures(out, seed=0):
        typer.echo(f"wrote {path}")


@app.command()
def check(
    data: Annotated[
        Path | None, typer.Option(help="A folder whose train.csv to measure in place of the figures kept here.")
    ] = None,
    studies: Annotated[int, typer.Option(min=100, help="Studies to simulate; no image is made.")] = 4000,
) -> None:
    """Compare how the phantom's labels hang together with how real ones do."""
    from lumbar.data.competition import read_labels
    from lumbar.phantom.check import describe_labels, widen

    typer.echo(describe_labels(widen(read_labels(data / "train.csv")) if data else None, studies))
