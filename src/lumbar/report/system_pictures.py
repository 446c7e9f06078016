"""Pictures of what a published system saw and said, as its paper shows them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lumbar.baselines.data import SystemDataset, changes_of
from lumbar.baselines.samplers import Examples, true_classes
from lumbar.baselines.targets import TARGETS
from lumbar.labels import level_title
from lumbar.report.system_charts import save
from lumbar.report.system_view import Seen, SystemView, middle_slice
from lumbar.report.words import class_words, percent

SAMPLES = 4
"""Predictions titled with what is true: as many as the papers show."""
TITLED = 8
"""Predictions titled with class, level and probability."""
EXPLAINED = 4
COPIES = 4
"""Augmented copies beside each crop."""
TILE = 2.5
"""Inches of a picture's side."""
Tile = Callable[[Axes], None]


def write_pictures(view: SystemView, folder: Path) -> None:
    """Writes what a system saw, with what it said of it, what spoke for that, and how its crops are augmented.

    Without a trained net there is nothing.
    """
    if not view.has_answers:
        return
    seed = view.run.config.seed
    seen = list(view.look(view.choose(TITLED, seed)))
    drawn = {
        "sample_predictions.png": tile([_sample(each) for each in seen[:SAMPLES]], SAMPLES),
        "predictions.png": tile([_titled(each) for each in seen], SAMPLES),
        "gradcam.png": _explain(view, seen[:EXPLAINED]),
    }
    if changes_of(view.run.config.system.examples.augmentation):
        drawn["augmented_samples.png"] = tile(_augmented(view), 1 + COPIES)
    for name, figure in drawn.items():
        save(figure, folder / name)


def tile(tiles: Sequence[Tile], columns: int) -> Figure:
    """Pictures in rows, without axes."""
    rows = -(-len(tiles) // columns)
    size = (TILE * columns, (TILE + 0.45) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, draw in zip(axes.flat, tiles, strict=False):
        draw(axis)
    return figure


def _grey(axis: Axes, image: NDArray[np.float64], title: str, **options: Any) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=8, **options)


def _sample(seen: Seen) -> Tile:
    colour = "tab:green" if seen.predicted == seen.truth else "tab:red"
    title = f"Predicted: {class_words(seen.predicted)}\nTrue: {class_words(seen.truth)}"
    return lambda axis: _grey(axis, seen.image, title, color=colour)


def _titled(seen: Seen) -> Tile:
    title = f"{class_words(seen.predicted)}, {level_title(seen.level)}\n{percent(seen.probability)}"
    return lambda axis: _grey(axis, seen.image, title)


def _explain(view: SystemView, chosen: Sequence[Seen]) -> Figure:
    """A row for each crop: as it is, and under the Grad-CAM of each of the net's heads."""
    tiles, columns = [], 1
    for seen in chosen:
        words = {"class": class_words(seen.predicted), "level": level_title(seen.level)}
        maps = view.explain(seen)
        tiles += [_sample(seen), *(overlaid(seen.image, words[head], heat) for head, heat in maps.items())]
        columns = 1 + len(maps)
    return tile(tiles, columns)


def overlaid(image: NDArray[np.float64], words: str, heat: NDArray[np.float64] | None) -> Tile:
    """A grey image (S, S) in [0, 1] under the map of what spoke for something."""

    def draw(axis: Axes) -> None:
        spoke = "no feature map to read" if heat is None else f"what spoke for {words}"
        _grey(axis, image, spoke)
        if heat is not None:
            side = len(image)
            extent = (-0.5, side - 0.5, side - 0.5, -0.5)
            axis.imshow(heat, cmap="inferno", alpha=0.6 * np.sqrt(heat), vmin=0, vmax=1, extent=extent)

    return draw


def _augmented(view: SystemView) -> list[Tile]:
    """A row for each class: a crop as it is, and augmented copies of it."""
    config, crops = view.run.config, view.crops
    target = TARGETS[config.system.target]
    tiles = []
    for row in view.choose(len(target.classes), config.seed).tolist():
        name = class_words(target.classes[true_classes(crops.index.iloc[[row]], target)[0]])
        dataset = SystemDataset(crops, Examples(np.full(1 + COPIES, row), np.arange(1 + COPIES)), config)
        images = [middle_slice(dataset[number]["crop"]) for number in range(len(dataset))]
        titles = [f"{name}, as it is", *[f"{name}, augmented"] * COPIES]
        tiles += [named(*each) for each in zip(images, titles, strict=True)]
    return tiles


def named(image: NDArray[np.float64], title: str) -> Tile:
    """A grey image (S, S) in [0, 1] below a title."""
    return lambda axis: _grey(axis, image, title)
