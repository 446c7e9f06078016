"""`lumbar weights get`: with `lumbar data download` the only command that fetches anything, and only when typed."""

from pathlib import Path
from typing import Annotated

import typer

weights = typer.Typer(help="Weights to start training from.", no_args_is_help=True)


@weights.callback()
def _weights() -> None:
    """Weights to start training from."""


@weights.command()
def get(
    name: Annotated[str, typer.Argument(help="A timm model, such as tf_efficientnet_lite0, or yolov8n to yolov8x.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("weights"),
) -> None:
    """Fetch a net's published weights, and store them as safetensors with a checksum and a card."""
    from lumbar.fetch.weights import describe_use, get_weights

    path = get_weights(name, out)
    typer.echo(f"wrote {path}\n{describe_use(name, path)}")
