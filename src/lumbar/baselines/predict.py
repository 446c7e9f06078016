"""Grades of crops by a published system's net, in submission format."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lumbar.baselines.data import SystemDataset
from lumbar.baselines.net import SystemNet
from lumbar.baselines.samplers import Examples, Numbers, is_graded
from lumbar.config import Config, CropConfig, GradeConfig, PublishedConfig, ViewConfig
from lumbar.crop.crops import Crops
from lumbar.grade.predict import predict_outputs, tabulate
from lumbar.labels import CONDITIONS, GRADES, GROUPS, LEVELS
from lumbar.run.checkpoint import expect_card, load_weights


def load_system(stem: Path) -> SystemNet:
    """A trained net from its checkpoint, strictly."""
    said = expect_card(stem, "grader", GRADES).config
    view = ViewConfig.model_validate(said["view"])
    config = Config(
        name=stem.name,
        crop=CropConfig(views={group: view.model_copy(update={"group": group}) for group in GROUPS}),
        grade=GradeConfig.model_validate(said["grade"]),
        published=PublishedConfig.model_validate(said["published"]),
    )
    net = SystemNet(config, view.slices)
    load_weights(stem, net)
    return net.eval()


def outputs_of(net: SystemNet, crops: Crops, examples: Examples) -> torch.Tensor:
    """The net's outputs (N, O) for some crops or copies of them."""
    if not len(examples):
        return torch.zeros((0, net.target.outputs))
    return predict_outputs(net, net.inputs, SystemDataset(crops, examples, net.config))


def predict_system(net: SystemNet, crops: Crops, rows: Numbers) -> pd.DataFrame:
    """row_id, the three grades' probabilities (float64, summing to 1) and fold, for the given rows of the crops.

    Rows of cells that the system does not grade are left out; several crops of one cell are averaged.
    """
    rows = rows[is_graded(crops.index.iloc[rows], net.published.cells)]
    index = crops.index.iloc[rows]
    conditions, levels = (
        torch.tensor(index[name].map(list(names).index).to_numpy(dtype=np.int64))
        for name, names in (("condition", CONDITIONS), ("level", LEVELS))
    )
    return tabulate(net.grades(outputs_of(net, crops, Examples.of(rows)), conditions, levels).numpy(), index)
