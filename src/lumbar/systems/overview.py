"""The systems in words: all of them in one table, or one with its layers, its training and its paper's figures."""

from collections.abc import Iterator
from pathlib import Path

from lumbar.baselines.layers import build_bare, count_all, format_layers
from lumbar.baselines.needs import series_needed
from lumbar.baselines.opening import describe_cells, list_systems, read_published
from lumbar.baselines.papers import PAPERS, Paper
from lumbar.config import Config
from lumbar.records import Record, align

UNKNOWN = "-"
WATCHED = {
    None: "nothing",
    "watched_loss": "the loss of a part that is not trained on",
    "watched_accuracy": "the accuracy on a part that is not trained on",
    "accuracy": "the accuracy on what is trained on",
}
"""What a training's best epoch is the best by, in words."""


def format_list(config_path: Path) -> str:
    """A table of the systems beside a config: name, title, cells, parameters, and the paper's headline figure."""
    rows = [("name", "title", "cells", "parameters", "its paper reports")]
    for name in list_systems(config_path):
        config = read_published(config_path, name)
        headline = PAPERS[name].headline if name in PAPERS else UNKNOWN
        parameters = f"{count_all(build_bare(config)):,}"
        rows.append((name, config.title, describe_cells(config.cells), parameters, headline))
    return "\n".join(align(rows, left=(0, 1, 2, 4)))


def format_show(config_path: Path, name: str) -> str:
    """A system as its paper has it; ConfigError, which lists the right names, for a wrong one."""
    config = read_published(config_path, name)
    lines = [f"{name}: {config.title}", "", *format_layers(build_bare(config)), ""]
    lines += align([*_describe_input(config), *_describe_training(config)], left=(0, 1))
    if name in PAPERS:
        lines += _describe_paper(PAPERS[name])
    return "\n".join(lines)


def _describe_input(config: Config) -> Iterator[tuple[str, str]]:
    published, grade = config.system, config.grade
    view = config.crop.views[config.cells.groups[0]]
    seen = "whole slices" if published.slices.whole_slice else f"{view.size * view.mm_per_pixel:g} mm around the point"
    prepared = [name for name in ("mirror", "equalise", "denoise") if getattr(published.slices, name)]
    channels = "its grey in 3 channels" if published.input.repeat_channels else f"{view.slices} in a row"
    yield "cells", describe_cells(config.cells)
    yield "series", ", ".join(series_needed(published))
    yield "input", f"{grade.image_size} x {grade.image_size} pixels of a slice, {channels}; {seen}"
    yield "prepared", ", ".join([*prepared, f"scaling {published.input.scaling}"])
    if published.input.coordinates:
        yield "second input", "x and y of the point, as shares of the slice"
    yield "tells apart", published.target.replace("_", " ")


def _describe_training(config: Config) -> Iterator[tuple[str, str]]:
    published, grade = config.system, config.grade
    fit, examples, split = published.fit, published.examples, published.own_split
    yield "optimiser", f"{fit.optimiser}, learning rate {grade.learning_rate:g}, schedule {fit.schedule}"
    yield "epochs", f"at most {grade.epochs}, batches of {grade.batch_size}"
    patience = f", stops after {fit.patience} epochs without progress" if fit.patience else ""
    yield "watches", f"{WATCHED[fit.best_by]}{patience}"
    yield "class weights", fit.class_weights
    yield "trained", "what comes behind the backbone" if fit.frozen else "all of it"
    changes = examples.augmentation
    yield "augmentation", changes if isinstance(changes, str) else _words(changes)
    kept = "without studies that are normal everywhere, " if examples.drop_all_normal else ""
    to = f" to {examples.balance_to} of each class" if examples.balance_to else ""
    yield "examples", f"{kept}balance {examples.balance}{to}"
    yield "own split", _words(split) if split else "the folds"


def _words(settings: Record) -> str:
    """The settings of a section that are not off; `nothing` where all are."""
    said = [f"{name} {value}" for name, value in settings if value not in (0, False, None)]
    return ", ".join(said).replace("_", " ") or "nothing"


def _describe_paper(paper: Paper) -> list[str]:
    lines = ["", f'"{paper.title}" ({paper.authors})', f"reports {paper.headline}, on its own split"]
    if paper.parameters is not None:
        lines.append(f"counts {paper.parameters:,} parameters, {paper.trainable:,} of them trained")
    for table in paper.tables:
        lines += ["", f"{table.title}:", *align([table.heads, *table.rows], left=(0,))]
    return lines
