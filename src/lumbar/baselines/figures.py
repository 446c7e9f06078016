"""The papers' figures, measured on a table of cases."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from lumbar.baselines.own_split import trained_rows
from lumbar.baselines.systems import described
from lumbar.baselines.targets import TARGETS
from lumbar.metric import BOOTSTRAP_DRAWS, EPSILON, interval
from lumbar.records import write_json
from lumbar.run.checkpoint import read_card
from lumbar.run.run import Run

BETA = 2.0
"""The F-beta score's beta: a missed stenosis counts more than a false one. The paper that reports it names none."""


def write_figures(run: Run) -> dict[str, Any]:
    """Writes a run's `figures.json` and returns it: its figures on its own split and out of fold, and its curves."""
    config, published = run.config, described(run)
    target = TARGETS[published.target]
    tables = {kind: run.folder / "cases" / f"{kind}.csv" for kind in ("grouped", "detected")}
    if published.own_split:
        tables["own_split"] = run.folder / "own_split" / "cases.csv"
    figures = {
        kind: measure(pd.read_csv(path), target.classes, target.ordered, config.seed) for kind, path in tables.items()
    }
    graders = [run.models / f"{group}_fold{fold}" for group in config.cells.graders for fold in run.fold_numbers]
    trials = [path.with_suffix("") for path in sorted((run.folder / "own_split").glob("*_part*.json"))]
    result = {
        "system": config.name,
        "title": config.title,
        "target": published.target,
        "classes": list(target.classes),
        "training_rows": round(sum(trained_rows(run, group) for group in config.cells.graders)),
        "own_split": None,
        **figures,
        "curves": {"grouped": read_curves(graders), "own_split": read_curves(trials)},
    }
    write_json(result, run.folder / "figures.json")
    return result


def read_curves(stems: Iterable[Path]) -> dict[str, dict[str, list[float]]]:
    """`loss`, `accuracy`, `watched_loss` and `watched_accuracy` of each epoch, of each grader that is there."""
    return {stem.name: card.curves for stem in stems if (card := read_card(stem))}


def measure(cases: pd.DataFrame, classes: tuple[str, ...], ordered: bool, seed: int) -> dict[str, Any]:
    """All figures of some cases, as `cases.predict_cases` gives them, ready for JSON; without a case, nothing but that.

    Precision, recall, F1, F-beta and the two areas are means over the classes, without those that no case is of.
    `rmse` is of the classes' numbers, where their order means something.
    """
    if cases.empty:
        return dict.fromkeys(("accuracy", "accuracy_ci95", "most_frequent_class")) | {"cases": 0}
    truth, predicted = (cases[name].map(classes.index).to_numpy() for name in ("truth", "predicted"))
    present = sorted(set(truth))
    right = truth == predicted
    options = {"labels": present, "average": "macro", "zero_division": 0}
    counts = {name: int((cases["truth"] == name).sum()) for name in classes}
    report = metrics.classification_report(
        truth, predicted, labels=range(len(classes)), target_names=classes, output_dict=True, zero_division=0
    )
    return {
        "cases": len(cases),
        "studies": int(cases["study_id"].nunique()),
        "class_counts": counts,
        "accuracy": float(right.mean()),
        "accuracy_ci95": interval(_bootstrap_shares(right, cases["study_id"].to_numpy(), seed)),
        "most_frequent_class": max(counts.values()) / len(cases),
        "precision": float(metrics.precision_score(truth, predicted, **options)),
        "recall": float(metrics.recall_score(truth, predicted, **options)),
        "f1": float(metrics.f1_score(truth, predicted, **options)),
        "f_beta": float(metrics.fbeta_score(truth, predicted, beta=BETA, **options)),
        "beta": BETA,
        **_areas(truth, cases[list(classes)].to_numpy()),
        "log_loss": _log_loss(truth, cases[list(classes)].to_numpy()),
        "rmse": float(np.sqrt(np.mean((truth - predicted) ** 2.0))) if ordered else None,
        "level_accuracy": float(cases["level_right"].mean()) if "level_right" in cases else None,
        "confusion_matrix": metrics.confusion_matrix(truth, predicted, labels=range(len(classes))).tolist(),
        "classification_report": report,
    }


def _log_loss(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(chosen, EPSILON, 1)).mean())


def _areas(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float | None]:
    """The areas under the ROC and the precision-recall curve, one class against the rest, averaged over the classes
    that some cases are of and some are not."""
    usable = [number for number in range(probabilities.shape[1]) if 0 < (truth == number).sum() < len(truth)]
    if not usable:
        return {"roc_auc": None, "pr_auc": None}
    pairs = [(truth == number, probabilities[:, number]) for number in usable]
    return {
        "roc_auc": float(np.mean([metrics.roc_auc_score(*pair) for pair in pairs])),
        "pr_auc": float(np.mean([metrics.average_precision_score(*pair) for pair in pairs])),
    }


def _bootstrap_shares(right: NDArray[np.bool_], study_ids: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """The share of right cases in draws of studies with replacement: the cases of one study are not independent."""
    by_study = pd.DataFrame({"study_id": study_ids, "right": right}).groupby("study_id")["right"].agg(["sum", "count"])
    count = len(by_study)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_DRAWS)
    return (drawn @ by_study["sum"].to_numpy()) / (drawn @ by_study["count"].to_numpy())
