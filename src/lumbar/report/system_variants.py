"""A system with each of several backbones, or values of a setting, in pictures: their accuracies side by side, and what
each says of one crop."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lumbar.labels import level_title
from lumbar.report.system_charts import save
from lumbar.report.system_pictures import named, tile
from lumbar.report.system_view import SystemView
from lumbar.report.words import class_words, percent
from lumbar.run.run import Run

COLUMNS = 4
"""Nets beside each other, at most."""
MARKS = {"own_split": "o", "grouped": "D", "paper": "x"}
OFFSETS = {"own_split": 0.16, "grouped": -0.16, "paper": 0.0}
"""Where a split's marks lie in a net's line, so that none hides another."""


def draw_accuracies(rows: Sequence[Mapping[str, Any]], splits: Mapping[str, str]) -> Figure:
    """A dot plot: a line for each net, a mark for each split, with its 95 % interval over studies if there is one.

    `rows` are those of the table of backbones, `splits` the words for their splits.
    """
    table = pd.DataFrame(rows)
    nets = list(dict.fromkeys(table["net"]))
    figure, axis = plt.subplots(figsize=(8, 1.4 + 0.5 * len(nets)), layout="constrained")
    places = {net: -number for number, net in enumerate(nets)}
    for number, (split, words) in enumerate(splits.items()):
        _draw_split(axis, table[table["split"] == split].dropna(subset=["accuracy"]), places, words, f"C{number}")
    _draw_constant(axis, table[table["split"] == "grouped"])
    axis.set_yticks(list(places.values()), list(places))
    axis.set(xlabel="accuracy in the system's own classes", xlim=(0, 1))
    axis.grid(axis="both", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(splits) + 1, fontsize=8)
    return figure


def _draw_split(axis: Axes, table: pd.DataFrame, places: Mapping[str, int], words: str, colour: str) -> None:
    if table.empty:
        return
    split = table["split"].iloc[0]
    heights = table["net"].map(places) + OFFSETS[split]
    axis.plot(table["accuracy"], heights, MARKS[split], color=colour, label=words)
    if split != "paper":
        axis.hlines(heights, table["accuracy_low"], table["accuracy_high"], color=colour, alpha=0.5)


def _draw_constant(axis: Axes, grouped: pd.DataFrame) -> None:
    """The share of the most frequent class, which is the same for all nets."""
    shares = grouped["most_frequent_class"].dropna()
    if len(shares):
        axis.axvline(shares.iloc[0], color="grey", linestyle=":", label="most frequent class")


def draw_one_crop(runs: Mapping[str, Run], path: Path) -> None:
    """Writes one crop that no net was trained on, once for each net, titled with class, level and probability.

    `runs` are trained ones of one system by their nets' titles, which share their crops; without a net that has an
    answer nothing is written, and an older picture removed.
    """
    views = {title: SystemView(run) for title, run in runs.items()}
    able = {title: view for title, view in views.items() if view.has_answers}
    if not able:
        path.unlink(missing_ok=True)
        return
    first = next(iter(able.values()))
    row = int(first.choose(2, first.run.config.seed)[-1])  # the second is of another class than the first
    tiles, truth = [], ""
    for title, view in able.items():
        (seen,) = view.look(np.array([row]))
        truth = f"true: {class_words(seen.truth)} (study {seen.study_id})"
        said = f"{class_words(seen.predicted)}, {level_title(seen.level)}\n{percent(seen.probability)}"
        tiles.append(named(seen.image, f"{title}\n{said}"))
    figure = tile(tiles, min(COLUMNS, len(tiles)))
    figure.suptitle(truth, fontsize=9)
    save(figure, path)
