"""Pictures of a system on images with boxes: the images, what was predicted, and what spoke for it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lumbar.baselines.boxes import CORNERS, Boxes, read_grey
from lumbar.baselines.net import SystemNet
from lumbar.crop.crops import Crops
from lumbar.report.gradcam import explain
from lumbar.report.system_charts import save
from lumbar.report.system_pictures import SAMPLES, Tile, named, overlaid, tile
from lumbar.report.system_regions import COLOURS, COLUMNS, SHOWN
from lumbar.report.system_view import inputs_of, middle_slice


def write_boxed_pictures(
    boxes: Boxes, crops: Crops, nets: Mapping[int, SystemNet], cases: pd.DataFrame, folder: Path
) -> None:
    """Writes the images with their boxes, and of some crops the prediction and its Grad-CAM, by the nets that have not
    seen their images: `nets` by the numbers of crops, `cases` with the row_id of each."""
    kinds = [rows for _, rows in boxes.table.groupby("lesion_type", sort=True)]
    first = pd.concat([rows.drop_duplicates("image_id").head(SHOWN) for rows in kinds])
    names = first.assign(turn=first.groupby("lesion_type").cumcount()).sort_values("turn", kind="stable")["image_id"]
    images = [partial(_draw, boxes=boxes, name=name) for name in names.unique()[:SHOWN]]
    save(tile(images, COLUMNS), folder / "regions.png")
    chosen = [rows.head(SAMPLES // 2) for _, rows in cases.groupby("truth", sort=True)]
    samples, maps = list[Tile](), list[Tile]()
    for case in pd.concat(chosen).itertuples():
        row = int(np.flatnonzero(crops.index["row_id"] == case.row_id)[0])
        net = nets[row]
        inputs = inputs_of(net, crops, row)
        image = middle_slice(inputs[0][0])
        sample = named(image, f"Predicted: {case.predicted}\nTrue: {case.truth}")
        heat = explain(net, inputs, boxes.classes.index(case.predicted))
        samples.append(sample)
        maps += [sample, overlaid(image, case.predicted, heat)]
    save(tile(samples, SAMPLES), folder / "sample_predictions.png")
    save(tile(maps, SAMPLES), folder / "gradcam.png")


def _draw(axis: Axes, boxes: Boxes, name: str) -> None:
    """An image with its boxes and the names of what is in them, or "No finding"."""
    axis.imshow(read_grey(boxes.files[name]), cmap="gray", vmin=0, vmax=255)
    findings = boxes.findings
    mine = findings[findings["image_id"] == name]
    axis.set_title(name if len(mine) else f"{name}: No finding", fontsize=8)
    kinds = sorted(findings["lesion_type"].unique())
    for row in mine.itertuples():
        colour = COLOURS[kinds.index(row.lesion_type) % len(COLOURS)]
        left, top, right, bottom = (getattr(row, corner) for corner in CORNERS)
        axis.add_patch(plt.Rectangle((left, top), right - left, bottom - top, fill=False, color=colour, linewidth=1.2))
        axis.text(left, top, row.lesion_type, color=colour, fontsize=6, verticalalignment="bottom")
