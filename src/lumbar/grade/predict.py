"""Grades of crops by a trained grader, in submission format."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from lumbar.checkpoint import expect_card, load_weights
from lumbar.config import GradeConfig, ViewConfig
from lumbar.crop.store import Crops
from lumbar.grade.data import CropDataset, centre
from lumbar.grade.network import Grader
from lumbar.labels import GRADES

BATCH = 64


def load_grader(stem: Path) -> tuple[Grader, GradeConfig]:
    """A trained grader from its checkpoint, strictly, and the config that it was trained with."""
    card = expect_card(stem, "grader", GRADES)
    config = GradeConfig.model_validate(card.config["grade"])
    grader = Grader(config, ViewConfig.model_validate(card.config["view"]).slices)
    load_weights(stem, grader)
    return grader.eval(), config


@torch.inference_mode()
def predict_grades(grader: Grader, config: GradeConfig, crops: Crops, rows: np.ndarray) -> pd.DataFrame:
    """row_id, the three grades' probabilities (float64, summing to 1) and fold, for the given rows of the crops."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    grader = grader.to(device)
    loader = DataLoader(CropDataset(crops, rows, centre(config.image_size)), batch_size=BATCH)
    parts = [
        torch.softmax(grader(batch["crop"].to(device), batch["level"].to(device)).double(), dim=1).cpu().numpy()
        for batch in loader
    ]
    probabilities = np.concatenate(parts) if parts else np.zeros((0, len(GRADES)))
    index = crops.index.iloc[rows]
    table = pd.DataFrame(probabilities, columns=list(GRADES))
    return table.assign(row_id=index["row_id"].to_numpy(), fold=index["fold"].to_numpy())[["row_id", *GRADES, "fold"]]
