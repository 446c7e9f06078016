"""Grades of crops by a trained grader, in submission format."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lumbar.config import GraderConfig, ViewConfig
from lumbar.crop.crops import Crops
from lumbar.grade.data import GPU_WORKERS, STRAIGHT, Look, ViewDataset
from lumbar.grade.graders import AnyGrader, build_grader
from lumbar.labels import GRADES
from lumbar.run.checkpoint import expect_card, load_weights

BATCH = 64
ASKED_WITH = frozenset({"turns", "shifts_mm"})
"""The keys of a grader's config that say how a net that is trained already is asked."""
Predictor = Callable[[Crops, NDArray[np.integer]], pd.DataFrame]
"""What a trained grader says of some rows of the crops: row_id, the grades' probabilities and fold."""


def load_grader(stem: Path, asked: GraderConfig | None = None) -> AnyGrader:
    """A trained grader from its checkpoint, strictly; it is asked as its card says, or as another config does."""
    card = expect_card(stem, "grader", GRADES)
    config = GraderConfig.model_validate(card.config["grader"])
    if asked is not None:
        config = config.model_copy(update={key: getattr(asked, key) for key in ASKED_WITH})
    views = [ViewConfig.model_validate(card.config["views"][name]) for name in config.views]
    grader = build_grader(config, views)
    load_weights(stem, grader)
    return grader.eval()


@torch.inference_mode()
def predict_outputs(net: nn.Module, inputs: tuple[str, ...], examples: Dataset[dict[str, Any]]) -> torch.Tensor:
    """A net's outputs (N, O) for examples, of which it takes the `inputs`; on the CPU. On a GPU in half precision."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    net = net.to(device)
    many = len(examples) > BATCH  # type: ignore[arg-type]  # ours have a length
    batches = DataLoader(examples, batch_size=BATCH, num_workers=GPU_WORKERS if on_gpu and many else 0)
    with torch.autocast(device.type, enabled=on_gpu):
        outputs = [net(*(batch[name].to(device) for name in inputs)).float().cpu() for batch in batches]
    return torch.cat(outputs)


def predict_grades(grader: AnyGrader, crops: Crops, rows: NDArray[np.integer]) -> pd.DataFrame:
    """row_id, the three grades' probabilities (float64, summing to 1) and fold, for the given rows of the crops: the
    mean over the looks that the grader's config asks for."""
    index = crops.index.iloc[rows]
    if not len(rows):
        return tabulate(np.zeros((0, len(GRADES))), index)
    answers = [predict_look(grader, crops, rows, look) for look in looks_of(grader)]
    return tabulate(np.mean(answers, axis=0), index)


def predict_look(
    grader: AnyGrader, crops: Crops, rows: NDArray[np.integer], look: Look = STRAIGHT
) -> NDArray[np.float64]:
    """The grades' probabilities (N, 3) of some rows of the crops in one look."""
    examples = ViewDataset(crops, rows, grader.config, grader.views, look=look)
    outputs = predict_outputs(grader, grader.inputs, examples)
    return torch.softmax(outputs.double(), dim=1).numpy()


def looks_of(grader: AnyGrader) -> Iterator[Look]:
    """The turns and shifts in which a grader is asked."""
    config, scale = grader.config, grader.views[0].mm_per_pixel
    for turn, right, down in product(config.turns, config.shifts_mm, config.shifts_mm):
        yield Look(turn, right / scale, down / scale)


def tabulate(grades: NDArray[np.float64], index: pd.DataFrame) -> pd.DataFrame:
    """Probabilities (N, 3) as a table with row_id and fold; several crops of one cell are averaged."""
    table = pd.DataFrame(grades, columns=list(GRADES))
    table = table.assign(row_id=index["row_id"].to_numpy(), fold=index["fold"].to_numpy())
    means = dict.fromkeys(GRADES, "mean") | {"fold": "first"}
    return table.groupby("row_id", sort=False, as_index=False).agg(means)
