"""What several commands have in common: their options, and how a run is opened. Heavy imports come late everywhere."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from lumbar.labels import GROUPS

if TYPE_CHECKING:
    from lumbar.run.run import Run, Selection

Group = Enum("Group", {name: name for name in GROUPS})  # type: ignore[misc]  # typer takes its choices from an Enum
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
NetOption = Annotated[
    str | None,
    typer.Option("--net", metavar="NAME", help="Train this net of the config only, take the others as they are."),
]
ViewOption = Annotated[
    str | None, typer.Option("--view", metavar="NAME", help="Cut the crops of this view of the config only.")
]
FullSizeOption = Annotated[
    bool, typer.Option("--full-size", help="Every system at its paper's size, not at the config's.")
]
DEMO = Path("configs/demo.yaml")
COMPARE = Path("configs/compare.yaml")
SUBMISSION = Path("submission")


def open_run(config_path: Path, data: Path | None, selection: Selection | None = None) -> Run:
    """The run of a config on a data folder, or on the config's phantom, which is written where it is not there."""
    from lumbar.config import read_config
    from lumbar.data.competition import Competition
    from lumbar.phantom.keep import keep_phantom
    from lumbar.run.run import Run, Selection

    config = read_config(config_path)
    root = data or keep_phantom(config.phantom)
    if not (root / "train.csv").is_file():
        raise FileNotFoundError(f"{root}: expected a folder in the competition's layout, with train.csv in it")
    return Run(config, Competition(root), Path("runs") / config.name, selection or Selection())


def select(
    fold: int | None = None, group: Group | None = None, net: str | None = None, view: str | None = None
) -> Selection:
    """What the options of a command select."""
    from lumbar.run.run import Selection

    return Selection(fold, group.value if group else None, net, view)


def open_trained_run(config_path: Path, data: Path | None, reads_data: bool = True) -> Run:
    """A run whose models are all there, however they were made: nothing is ever trained for those who only use them.

    For those who do not even read its data no phantom is written, and nothing is told of what has changed in it.
    """
    from lumbar.config import read_config
    from lumbar.data.competition import Competition
    from lumbar.phantom.keep import phantom_folder
    from lumbar.pipeline import expect_models, tell_changes
    from lumbar.run.run import Run

    command = f"make cv CONFIG={quote(str(config_path))}{f' DATA={quote(str(data))}' if data else ''}"
    config = read_config(config_path)
    folder = Path("runs") / config.name
    expect_models(folder, command)  # before a phantom is written
    if not (reads_data or data or phantom_folder(config.phantom).is_dir()):
        return Run(config, Competition(phantom_folder(config.phantom)), folder)
    run = open_run(config_path, data)
    tell_changes(run)
    return run
