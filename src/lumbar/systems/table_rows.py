"""What a variant of a system comes to: on its paper's own split, on the folds, and in the paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lumbar.baselines.layers import build_bare, count_all
from lumbar.baselines.papers import PAPERS
from lumbar.config import FitConfig
from lumbar.run.run import Run
from lumbar.run.stamps import stage_seconds

PAPER = "paper"
"""In place of a split: what the paper prints."""
STAGES = {"own_split": "own_split", "grouped": "grade"}
"""How a net is tested, and the stage that trains for it."""
PRINTED = {
    "train accuracy": "train_accuracy",
    "accuracy": "accuracy",
    "accuracy of the disease": "accuracy",
    "AUC": "roc_auc_as_published",
    "ROC-AUC": "roc_auc_as_published",
}
"""The heads of the papers' tables, and the keys of what they mean."""
MEASURED = (
    "cases",
    "accuracy",
    "most_frequent_class",
    "precision_as_published",
    "recall_as_published",
    "roc_auc_as_published",
    "pr_auc_as_published",
    "rmse_as_published",
    "f1_as_published",
    "f_beta_as_published",
    "level_accuracy",
)
"""The figures that are taken as `baselines.figures.measure` gives them."""
TableRow = dict[str, Any]
"""One variant under one split, or in the paper, by the table's keys."""


def describe_variant(system: str, run: Run, figures: Mapping[str, Any]) -> list[TableRow]:
    """The rows of a system's variant, which goes by its title, once it is measured: its own split, the folds, and the
    paper if that has it."""
    told = {
        "net": run.config.title,
        "backbone": run.config.grade.backbone,
        "weights": "pretrained" if run.config.grade.weights else "from scratch",
        "parameters": count_all(build_bare(run.config)),
        "batch_size": run.config.grade.batch_size,
    }
    rows = [told | {"split": split, **_describe_split(run, split, figures)} for split in STAGES]
    printed = read_printed(system, run.config.title)
    return [*rows, told | {"split": PAPER, **printed}] if printed else rows


def _describe_split(run: Run, split: str, figures: Mapping[str, Any]) -> TableRow:
    measured = figures[split] or {}
    low, high = measured.get("accuracy_ci95") or (None, None)
    curves = figures["curves"].get(split, {})
    return {
        **{key: measured.get(key) for key in MEASURED},
        "accuracy_low": low,
        "accuracy_high": high,
        **describe_training(list(curves.values()), run.config.system.fit),
        "seconds": stage_seconds(run.folder / STAGES[split]),
    }


def describe_training(curves: Sequence[Mapping[str, Sequence[float]]], fit: FitConfig) -> TableRow:
    """The epochs that some nets were trained for, the accuracy in training in the epoch that was kept, and the last
    loss in training; each a mean over the nets."""
    if not curves:
        return {"epochs": None, "train_accuracy": None, "final_loss": None}
    return {
        "epochs": float(np.mean([len(each["loss"]) for each in curves])),
        "train_accuracy": float(np.mean([each["accuracy"][kept_epoch(each, fit)] for each in curves])),
        "final_loss": float(np.mean([each["loss"][-1] for each in curves])),
    }


def kept_epoch(curves: Mapping[str, Sequence[float]], fit: FitConfig) -> int:
    """The number, from 0, of the epoch whose weights were kept: the best by what is watched, or the last."""
    if fit.best_by is None or not curves[fit.best_by]:
        return len(curves["loss"]) - 1
    best = np.argmin if fit.best_by.endswith("loss") else np.argmax
    return int(best(curves[fit.best_by]))


def read_printed(system: str, net: str) -> TableRow:
    """What the first table of a system's paper says of a net; nothing of one that is not in it."""
    table = PAPERS[system].tables[0]
    row = next((row for row in table.rows if row[0] == net), None)
    if row is None:
        return {}
    return {PRINTED[head]: as_number(text) for head, text in zip(table.heads[1:], row[1:], strict=True)}


def as_number(text: str) -> float | None:
    """A figure as a paper prints it, `.618` or `61.8 %`, as a share; None of a dash."""
    if text == "-":
        return None
    return round(float(text.removesuffix("%")) / 100, 6) if text.endswith("%") else float(text)
