"""The thesis' system on data as its own were: boxes in images, its dominant lesion type against all others."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupKFold

from lumbar.baselines.boxes import Boxes, cut_boxes, read_boxes
from lumbar.baselines.cases import predict_cases
from lumbar.baselines.figures import measure
from lumbar.baselines.net import SystemNet
from lumbar.baselines.opening import read_published
from lumbar.baselines.own_split import split_rows
from lumbar.baselines.papers import PAPERS
from lumbar.baselines.predict import outputs_of
from lumbar.baselines.samplers import Examples, Numbers
from lumbar.baselines.train import train_on
from lumbar.config import Config, ConfigError, check_config, merge, read_config
from lumbar.crop.crops import Crops
from lumbar.data.tables import write_table
from lumbar.errors import InputError
from lumbar.grade.train import Curves
from lumbar.records import write_json, write_text
from lumbar.report.boxed_pictures import write_boxed_pictures
from lumbar.report.system_charts import write_charts
from lumbar.report.system_names import SHOWN_FOLDER
from lumbar.report.systems import describe_system
from lumbar.run.code import hash_code
from lumbar.run.lock import hold
from lumbar.run.stamps import fingerprint, hash_files, hash_listing, run_stage
from lumbar.systems.alone import align_figures

TARGET = "affected"
"""The target of a net that tells one class from all others."""


@dataclass(frozen=True, eq=False)
class Part:
    """A training: its name, the split that it is of, and the numbers of the crops that are trained on and tested."""

    name: str
    split: str
    trained: Numbers
    tested: Numbers


def open_boxed(config_path: Path, name: str, full_size: bool = False) -> Config:
    """A system's config, at the size of the config's comparison or its paper's.

    ConfigError for a system that does not tell one class from all others.
    """
    published = read_published(config_path, name)
    if published.system.target != TARGET:
        raise ConfigError(f"{name}: its paper had the competition's data; vgg16_frozen is the one that had boxes")
    changes = {} if full_size else read_config(config_path).compare.systems.get(name, {})
    return check_config(config_path, merge(published.model_dump(), {**changes, "name": name}))


def run_boxed(config: Config, table: Path, images: Path, folder: Path) -> str:
    """Trains and measures a system on boxes, under its paper's split and with whole images held out, as far as
    anything has changed; writes what its paper shows into `folder` and returns the figures as text."""
    boxes = read_boxes(table, images)
    origin = fingerprint(
        code=hash_code("systems.boxed", "report.boxed_pictures"),
        table=hash_files(table),
        images=hash_listing(images),
        config=config.model_dump(mode="json"),
    )

    def work() -> tuple[str, ...]:
        _train_and_show(config, boxes, folder, folder / "boxes" / f"training_{origin.key}")
        return boxes.remarks

    with hold(folder):
        run_stage(f"{config.name} on boxes", folder / "boxes", origin, work)
    return (folder / "figures.txt").read_text(encoding="utf-8")


def _train_and_show(config: Config, boxes: Boxes, folder: Path, training: Path) -> None:
    crops = cut_boxes(boxes, config.crop.views[config.cells.groups[0]].size)
    answers: dict[str, list[pd.DataFrame]] = {}
    curves: dict[str, dict[str, Curves]] = {}
    nets: dict[int, SystemNet] = {}
    for part in _parts(config, crops):
        net, curve = _train(config, crops, part, training / part.name)
        answers.setdefault(part.split, []).append(_answer(net, crops, part, boxes.classes))
        curves.setdefault(part.split, {})[part.name] = curve
        nets |= {int(row): net for row in part.tested if part.split == "grouped"}
    classes = boxes.classes
    cases = {split: pd.concat(tables, ignore_index=True) for split, tables in answers.items()}
    measured = {split: measure(table, classes, ordered=True, seed=config.seed) for split, table in cases.items()}
    figures = {"system": config.name, "title": config.title, "classes": list(classes), "curves": curves, **measured}
    shown = folder / SHOWN_FOLDER
    for split, table in cases.items():
        write_table(table, folder / "cases" / f"{split}.csv")
    write_json(figures, folder / "figures.json")
    write_charts(figures, cases, shown)
    write_boxed_pictures(boxes, crops, nets, cases["grouped"], shown)
    write_text(_format(config, boxes, figures), folder / "figures.txt")
    for leftover in training.parent.glob("training_*"):
        shutil.rmtree(leftover)


def _parts(config: Config, crops: Crops) -> Iterator[Part]:
    """The paper's split, of boxes, and as many folds of whole images, so that none lies on both sides."""
    truth, images = crops.index["grade"].to_numpy(), crops.index["study_id"].to_numpy()
    split = config.system.own_split
    if split is None:
        raise ConfigError(f"{config.name}: published.own_split is needed for boxes")
    count = round(1 / split.share)
    if min(np.bincount(truth).min(), len(np.unique(images))) < count:
        raise InputError(f"{len(images)} boxes in {len(np.unique(images))} images are too few to be split in {count}")
    tested_in = split_rows(truth, split, config.seed)
    numbers = np.arange(len(truth))
    yield Part("part0", "own_split", numbers[tested_in != 0], numbers[tested_in == 0])
    for fold, (trained, tested) in enumerate(GroupKFold(count).split(numbers, groups=images)):
        yield Part(f"fold{fold}", "grouped", trained, tested)


def _train(config: Config, crops: Crops, part: Part, folder: Path) -> tuple[SystemNet, Curves]:
    torch.manual_seed(config.seed)
    net = SystemNet(config, crops.pixels.shape[1])
    if config.grade.weights:
        net.start_backbone_from(config.grade.weights)
    label = f"{config.name}: train {part.name}"
    examples, where = Examples.of(part.trained), (folder, config.seed, label)
    _, curves = train_on(net, crops, examples, part.split == "grouped", *where)
    return net.cpu().eval(), curves


def _answer(net: SystemNet, crops: Crops, part: Part, classes: tuple[str, str]) -> pd.DataFrame:
    """The cases of what a net has not been trained on: row_id, study_id (the image), truth, predicted and the
    probabilities of both classes."""
    examples = Examples.of(part.tested)
    cases = predict_cases(net.target, outputs_of(net, crops, examples), crops, examples)
    names = dict(zip(net.target.classes, classes, strict=True))
    said = {column: cases[column].map(names) for column in ("truth", "predicted")}
    kept = ["row_id", "study_id", "copy", *names.values()]
    return cases.rename(columns=names).assign(**said, part=part.name)[[*kept, "truth", "predicted", "part"]]


def _format(config: Config, boxes: Boxes, figures: dict[str, Any]) -> str:
    system = describe_system(config.title, figures)
    counts = boxes.findings["lesion_type"].value_counts()
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    lines = [f"{config.title}: {boxes.dominant} against all others", "", *align_figures(system), "", f"boxes: {said}"]
    return "\n".join([*lines, f"its paper reports: {PAPERS[config.name].headline}"])
