"""The commands around Kaggle: packing for training there, checking what is packed, and pushing it."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from lumbar.kaggle import PLACEHOLDER
from lumbar.labels import GROUPS

app = typer.Typer()

Group = Enum("Group", {name: name for name in GROUPS})  # type: ignore[misc]  # typer takes its choices from an Enum
Kernel = Enum("Kernel", {name: name for name in ("inference", "training")})  # type: ignore[misc]
OwnerOption = Annotated[str, typer.Option("--owner", help="Your Kaggle user name.")]
FolderOption = Annotated[Path, typer.Option("--folder", help="What the bundle commands have written.")]
FromOption = Annotated[list[str], typer.Option("--from", help="A kernel, owner/slug, whose output is taken over.")]
SUBMISSION = Path("submission")


@app.command("bundle-training")
def bundle_training(
    config: Annotated[Path, typer.Option("--config", help="The run's YAML config.")] = Path("configs/demo.yaml"),
    owner: OwnerOption = PLACEHOLDER,
    fold: Annotated[int | None, typer.Option(min=0, help="Train this fold's models only.")] = None,
    group: Annotated[Group | None, typer.Option(help="Train this condition group's graders only.")] = None,
    run: Annotated[int, typer.Option(min=1, help="Which run of this part it is; each goes on from the last.")] = 1,
    sources: FromOption = [],  # noqa: B006  # typer copies it
    third_party: Annotated[bool, typer.Option(help="Download the wheels that Kaggle lacks.")] = True,
    folder: FolderOption = SUBMISSION,
) -> None:
    """Pack a config, its folds and the code for training on Kaggle, and write the training kernel."""
    from lumbar.baselines.nets import expect_backbone
    from lumbar.config import read_config
    from lumbar.kaggle.bundle import build_training_bundle
    from lumbar.kaggle.kernels import write_training_kernel
    from lumbar.run.run import Part

    wanted = read_config(config)
    expect_backbone(wanted)
    build_training_bundle(wanted, folder / "training", Path(), owner, third_party)
    part = Part(fold, group.value if group else None)
    kernel = write_training_kernel(Path(), folder / "kernels" / "training", owner, part, run, sources)
    typer.echo(f"wrote {folder / 'training'} and the kernel {kernel}")


@app.command("inference-kernel")
def inference_kernel(sources: FromOption, owner: OwnerOption = PLACEHOLDER, folder: FolderOption = SUBMISSION) -> None:
    """Write the inference kernel for models that were trained on Kaggle and never left it."""
    from lumbar.kaggle.kernels import write_inference_kernel

    write_inference_kernel(Path(), folder / "kernels" / "inference", owner, sources)
    typer.echo(f"wrote {folder / 'kernels' / 'inference'}, which takes its bundle from {', '.join(sources)}")


@app.command("lint-kaggle")
def lint_kaggle(folder: FolderOption = SUBMISSION) -> None:
    """Check the packed data sets and kernels against Kaggle's rules."""
    from lumbar.kaggle.lint import lint_submission

    _stop_at(lint_submission(folder, Path()))
    typer.echo(f"{folder}: fit to be pushed")


@app.command()
def push(
    kernel: Annotated[Kernel, typer.Argument(help="The kernel.")] = Kernel.inference,  # type: ignore[attr-defined]
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the lines, run nothing.")] = False,
    data: Annotated[bool, typer.Option(help="Upload the kernel's data set, too.")] = True,
    folder: FolderOption = SUBMISSION,
) -> None:
    """Check a kernel and its data set, upload both with the kaggle command, and print the line that submits."""
    from lumbar.kaggle.lint import lint_kernel
    from lumbar.kaggle.push import Push, PushError, lines_by_hand, run_push

    _stop_at(lint_kernel(folder, kernel.value, Path()))
    wanted = Push(folder, kernel.value, data)
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
