"""The `lumbar` command: the stages at the top, what goes around them, and a group for each larger thing."""

import logging
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from lumbar import __version__
from lumbar.cli import data, ensemble, fetch, kaggle, look, phantom, stages, systems
from lumbar.cli.profile import profiled
from lumbar.errors import InputError
from lumbar.offline import go_offline
from lumbar.run.lock import IN_USE, InUseError
from lumbar.run.stamps import UNTRAINED, UntrainedError

logger = logging.getLogger(__name__)

NETWORKED = (("data", "download"), ("weights", "get"))
"""The only commands that touch a network; Kaggle's own command does when `lumbar kaggle push` calls it, and pip does
when `lumbar kaggle bundle`, `train` or `rehearse` collects the wheels that Kaggle lacks."""

app = typer.Typer(
    help="From lumbar spine MRI to a submission for RSNA 2024 Lumbar Spine Degenerative Classification.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, command in {**stages.COMMANDS, **look.COMMANDS}.items():
    app.command(name)(command)
app.add_typer(ensemble.app, name="ensemble")
app.add_typer(systems.app, name="system")
app.add_typer(phantom.app, name="phantom")
app.add_typer(kaggle.app, name="kaggle")
app.add_typer(data.app, name="data")
app.add_typer(fetch.weights, name="weights")


@app.callback(invoke_without_command=True)
def _before(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE", help="Write where the command's time went, as an HTML page: --profile p.html cv ..."
        ),
    ] = None,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if profile:
        context.with_resource(profiled(profile))


def main() -> None:
    """Runs the command; an error of the user's input, or of the system's files, is one line, not a traceback."""
    if not any(pair in NETWORKED for pair in pairwise(sys.argv[1:])):  # `--profile PAGE` may stand before it
        go_offline()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        _run()
    except UntrainedError as untrained:
        typer.secho(f"lumbar: {untrained}", fg="yellow", err=True)
        raise SystemExit(UNTRAINED) from None
    except InUseError as in_use:
        typer.secho(f"lumbar: {in_use}", fg="red", err=True)
        raise SystemExit(IN_USE) from None
    except BrokenPipeError:  # whoever read what was printed, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (InputError, OSError) as error:
        logger.debug("the error", exc_info=True)
        typer.secho(f"lumbar: {_tell(error)}", fg="red", err=True)
        raise SystemExit(2) from None


def _run() -> None:
    try:
        app()
    finally:
        sys.stdout.flush()  # what is not printed by now would fail when nobody can say so any more


def _tell(error: InputError | OSError) -> str:
    """The error in a line; one of the system begins with the file, as ours do."""
    if isinstance(error, OSError) and error.filename is not None and error.filename2 is None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
