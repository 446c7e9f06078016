"""Grades of crops by a trained grader, in submission format."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from lumbar.baselines.samplers import Examples, is_graded
from lumbar.config import GradeConfig, ViewConfig
from lumbar.crop.store import Crops
from lumbar.grade.data import CropDataset
from lumbar.grade.net import Grader
from lumbar.labels import CONDITIONS, GRADES, LEVELS
from lumbar.run.checkpoint import expect_card, load_weights

BATCH = 64


def load_grader(stem: Path) -> tuple[Grader, GradeConfig]:
    """A trained grader from its checkpoint, strictly, and the config that it was trained with."""
    card = expect_card(stem, "grader", GRADES)
    config = GradeConfig.model_validate(card.config["grade"])
    grader = Grader(config, ViewConfig.model_validate(card.config["view"]).slices)
    load_weights(stem, grader)
    return grader.eval(), config


@torch.inference_mode()
def predict_outputs(grader: Grader, crops: Crops, examples: Examples) -> torch.Tensor:
    """The grader's outputs (N, O) for some crops or copies of them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    grader = grader.to(device)
    parts = [
        grader(*(batch[name].to(device) for name in ("crop", "level", "place"))).cpu()
        for batch in DataLoader(CropDataset(crops, examples, grader.config), batch_size=BATCH)
    ]
    return torch.cat(parts) if parts else torch.zeros((0, grader.target.outputs))


def predict_grades(grader: Grader, config: GradeConfig, crops: Crops, rows: np.ndarray) -> pd.DataFrame:
    """row_id, the three grades' probabilities (float64, summing to 1) and fold, for the given rows of the crops.

    Rows of cells that the config does not grade are left out; several crops of one cell are averaged.
    """
    rows = rows[is_graded(crops.index.iloc[rows], config.cells)]
    index = crops.index.iloc[rows]
    conditions, levels = (
        torch.tensor(index[name].map(list(names).index).to_numpy(dtype=np.int64))
        for name, names in (("condition", CONDITIONS), ("level", LEVELS))
    )
    outputs = predict_outputs(grader, crops, Examples.of(rows))
    grades = grader.grades(outputs, conditions, levels)
    table = pd.DataFrame(grades.numpy(), columns=list(GRADES))
    table = table.assign(row_id=index["row_id"].to_numpy(), fold=index["fold"].to_numpy())
    means = dict.fromkeys(GRADES, "mean") | {"fold": "first"}
    return table.groupby("row_id", sort=False, as_index=False).agg(means)
