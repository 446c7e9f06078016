"""`lumbar data`: fetch the competition's data, look at their tables, and export them in the papers' forms."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lumbar.errors import InputError
from lumbar.labels import CONDITIONS

if TYPE_CHECKING:
    from lumbar.data.competition import Competition

app = typer.Typer(help="The competition's data.", no_args_is_help=True)
export = typer.Typer(help="The data in the forms that the published systems start from.", no_args_is_help=True)
app.add_typer(export, name="export")

AnyCondition = Enum("AnyCondition", {name: name for name in CONDITIONS})  # type: ignore[misc]  # typer's choices
DataOption = Annotated[Path, typer.Option("--data", help="A folder in the competition's layout.")]
OutOption = Annotated[Path, typer.Option("--out", help="The folder to write.")]


@app.callback()
def _data() -> None:
    """The competition's data."""


@app.command()
def download(out: Annotated[Path, typer.Option(help="The folder to unpack it into.")] = Path("data")) -> None:
    """Fetch the competition's data with Kaggle's command, which must be signed in; 30 GB, twice that on the way."""
    from lumbar.fetch.competition import download_competition

    typer.echo(f"wrote {download_competition(out)}")


@app.command()
def explore(
    data: DataOption,
    out: Annotated[
        Path | None, typer.Option(help="A folder for text, CSV and pictures; without it, they are only printed.")
    ] = None,
) -> None:
    """Count what the tables hold: conditions, levels, grades, series, and what is missing. No image is read."""
    from lumbar.report.explore import explore_tables, format_tables, write_tables
    from lumbar.report.explore_pictures import draw_tables

    tables = explore_tables(_open(data))
    typer.echo(format_tables(tables))
    if out:
        write_tables(tables, out)
        draw_tables(tables, out)
        typer.echo(f"\nwrote {out}")


@export.callback()
def _export() -> None:
    """The data in the forms that the published systems start from."""


@export.command()
def yolo(
    data: DataOption,
    out: OutOption,
    folds: Annotated[
        Path | None, typer.Option(help="A fold file; without it, one of these studies is looked for, or made.")
    ] = None,
    fold: Annotated[int, typer.Option(min=0, help="The fold whose studies are the validation part.")] = 0,
) -> None:
    """Images, label files and data.yaml for `yolo train`, as the detector is trained; parted by study."""
    from lumbar.config import DetectConfig
    from lumbar.export.detection_set import choose_folds, export_yolo

    competition = _open(data, images=True)
    _refuse_filled(out)
    _tell(export_yolo(competition, choose_folds(competition, folds), fold, out, DetectConfig()), out)


@export.command()
def png(
    data: DataOption,
    out: OutOption,
    condition: Annotated[AnyCondition, typer.Option(help="Whose slices.")] = AnyCondition["spinal_canal_stenosis"],
    field_mm: Annotated[
        float | None, typer.Option(min=1, help="Cut this square around the point; without it, whole slices.")
    ] = None,
) -> None:
    """The annotated slices of a condition, one PNG for each level, in a folder for each grade."""
    from lumbar.export.graded_slices import export_png

    competition = _open(data, images=True)
    _refuse_filled(out)
    _tell(export_png(competition, condition.value, out, field_mm), out)


@export.command()
def master(data: DataOption, out: OutOption) -> None:
    """Labels, coordinates and series in one table, a row for each annotated point. No image is read."""
    from lumbar.export.tables import export_master

    _tell(export_master(_open(data), out), out / "master.csv")


@export.command()
def annotations(data: DataOption, out: OutOption) -> None:
    """The annotated points with the paths of their DICOM files. No image is read."""
    from lumbar.export.tables import export_annotations

    _tell(export_annotations(_open(data), out), out / "annotations.csv")


def _open(data: Path, images: bool = False) -> "Competition":
    from lumbar.data.competition import Competition

    for name in ("train.csv", "train_images")[: 1 + images]:
        if not (data / name).exists():
            raise FileNotFoundError(f"{data}: expected a folder in the competition's layout, with {name} in it")
    return Competition(data)


def _refuse_filled(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is not an empty folder; name one of its own")


def _tell(lines: list[str], written: Path) -> None:
    typer.echo("\n".join([*lines, f"wrote {written}"]))
