"""Grades of crops by a trained grader, in submission format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lumbar.config import GradeConfig, ViewConfig
from lumbar.crop.crops import Crops
from lumbar.grade.data import CropDataset
from lumbar.grade.net import Grader
from lumbar.labels import GRADES
from lumbar.run.checkpoint import expect_card, load_weights

BATCH = 64
Predictor = Callable[[Crops, NDArray[np.integer]], pd.DataFrame]
"""What a trained grader says of some rows of the crops: row_id, the grades' probabilities and fold."""


def load_grader(stem: Path) -> Grader:
    """A trained grader from its checkpoint, strictly."""
    card = expect_card(stem, "grader", GRADES)
    config = GradeConfig.model_validate(card.config["grade"])
    grader = Grader(config, ViewConfig.model_validate(card.config["view"]).slices)
    load_weights(stem, grader)
    return grader.eval()


@torch.inference_mode()
def predict_outputs(net: nn.Module, inputs: tuple[str, ...], examples: Dataset[dict[str, Any]]) -> torch.Tensor:
    """A net's outputs (N, O) for examples, of which it takes the `inputs`; on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = net.to(device)
    batches = DataLoader(examples, batch_size=BATCH)
    return torch.cat([net(*(batch[name].to(device) for name in inputs)).cpu() for batch in batches])


def predict_grades(grader: Grader, crops: Crops, rows: NDArray[np.integer]) -> pd.DataFrame:
    """row_id, the three grades' probabilities (float64, summing to 1) and fold, for the given rows of the crops."""
    if not len(rows):
        return tabulate(np.zeros((0, len(GRADES))), crops.index.iloc[rows])
    examples = CropDataset(crops, rows, grader.config.image_size)
    outputs = predict_outputs(grader, grader.inputs, examples)
    return tabulate(torch.softmax(outputs.double(), dim=1).numpy(), crops.index.iloc[rows])


def tabulate(grades: NDArray[np.float64], index: pd.DataFrame) -> pd.DataFrame:
    """Probabilities (N, 3) as a table with row_id and fold; several crops of one cell are averaged."""
    table = pd.DataFrame(grades, columns=list(GRADES))
    table = table.assign(row_id=index["row_id"].to_numpy(), fold=index["fold"].to_numpy())
    means = dict.fromkeys(GRADES, "mean") | {"fold": "first"}
    return table.groupby("row_id", sort=False, as_index=False).agg(means)
