"""The papers' figures, measured on a table of cases."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from lumbar.baselines.own_split import KINDS, TRIALS, trained_rows
from lumbar.baselines.targets import TARGETS
from lumbar.metric import BOOTSTRAP_DRAWS, interval
from lumbar.records import write_json
from lumbar.run.checkpoint import read_card
from lumbar.run.run import Run

BETA = 2.0
"""The F-beta score's beta: a missed stenosis counts more than a false one. "Lumbar Spine Degenerative Condition
Classification" (IIT Delhi) names none, and none explains its figures: an F-beta lies between precision and recall
whatever its beta, and in all eight columns of its table theirs lies outside."""
THRESHOLD = 0.5
"""The least probability that the papers' precision and recall take for a yes, as Keras does."""
SPLIT_TABLES = dict(zip(("own_split", "own_split_copied"), KINDS, strict=True))
"""The names of a split's figures and of its tables of cases."""


def write_figures(run: Run) -> dict[str, Any]:
    """Writes a run's `figures.json` and returns it: its figures on its own split and out of fold, and its curves.

    Where it was not tested so, the figures are None.
    """
    config = run.config
    target_name = config.published.target if config.published else "grades"
    target = TARGETS[target_name]
    tables, split = case_files(run), run.folder / "own_split"
    figures = {
        kind: measure(pd.read_csv(path), target.classes, target.ordered, config.seed) for kind, path in tables.items()
    }
    graders = [run.models / f"{name}_fold{fold}" for name in config.members for fold in run.fold_numbers]
    trials = {
        kind: [path.with_suffix("") for path in sorted(split.glob(f"*_{word}*.json"))]
        for kind, word in zip(SPLIT_TABLES, TRIALS, strict=True)
    }
    result = {
        "system": config.name,
        "title": config.title,
        "target": target_name,
        "classes": list(target.classes),
        "training_rows": round(sum(trained_rows(run, name) for name in config.members)),
        "own_split": None,
        "grouped": None,
        "detected": None,
        **figures,
        "curves": {"grouped": read_curves(graders), **{kind: read_curves(stems) for kind, stems in trials.items()}},
    }
    write_json(result, run.folder / "figures.json")
    return result


def case_files(run: Run) -> dict[str, Path]:
    """The tables of cases that a finished run has, by how it was tested."""
    published, folder = run.config.published, run.folder / "cases"
    files = {"grouped": folder / "grouped.csv"} if published else {}
    if published is None or published.points == "detected":
        files["detected"] = folder / "detected.csv"
    if published and published.own_split:
        wanted = SPLIT_TABLES if published.own_split.tested_each else ("own_split",)
        files |= {kind: run.folder / "own_split" / f"{SPLIT_TABLES[kind]}.csv" for kind in wanted}
    return files


def read_curves(stems: Iterable[Path]) -> dict[str, dict[str, list[float]]]:
    """`loss`, `accuracy`, `watched_loss` and `watched_accuracy` of each epoch, of each grader that is there."""
    return {stem.name: card.curves for stem in stems if (card := read_card(stem))}


def measure(cases: pd.DataFrame, classes: tuple[str, ...], ordered: bool, seed: int) -> dict[str, Any]:
    """All figures of some cases, as `cases.predict_cases` gives them, ready for JSON; without a case, nothing but that.

    Precision, recall, F1, F-beta and the two areas are means over the classes, without those that no case is of.
    `rmse` is of the classes' numbers, where their order means something. What ends in `_as_published` is
    measured in the papers' way.
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
        "log_loss": float(metrics.log_loss(truth, cases[list(classes)].to_numpy(), labels=range(len(classes)))),
        "rmse": float(np.sqrt(np.mean((truth - predicted) ** 2.0))) if ordered else None,
        "level_accuracy": float(cases["level_right"].mean()) if "level_right" in cases else None,
        **measure_as_published(truth, cases[list(classes)].to_numpy()),
        "confusion_matrix": metrics.confusion_matrix(truth, predicted, labels=range(len(classes))).tolist(),
        "classification_report": report,
    }


def measure_as_published(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """The figures of classes (N,) and probabilities (N, C) as the papers must have computed them.

    Every class of every case is a question of its own, as in Keras' metrics: `precision`, `recall`, `f1` and `f_beta`
    count probabilities of at least `THRESHOLD`, `rmse` is of the probabilities; the names end in `_as_published`. In
    the table of "Lumbar Spine Degenerative Condition Classification" (IIT Delhi), an RMSE of .417 can only be of
    probabilities: of class numbers its own confusion matrix gives .78. That its precision and recall are these is most
    likely, and not said.
    """
    labels = np.eye(probabilities.shape[1])[truth]
    said, options = probabilities >= THRESHOLD, {"average": "micro", "zero_division": 0}
    figures = {
        "rmse": float(np.sqrt(np.mean((labels - probabilities) ** 2))),
        "precision": float(metrics.precision_score(labels, said, **options)),
        "recall": float(metrics.recall_score(labels, said, **options)),
        "f1": float(metrics.f1_score(labels, said, **options)),
        "f_beta": float(metrics.fbeta_score(labels, said, beta=BETA, **options)),
        "roc_auc": float(metrics.roc_auc_score(labels.ravel(), probabilities.ravel())),
        "pr_auc": float(metrics.average_precision_score(labels.ravel(), probabilities.ravel())),
    }
    return {f"{name}_as_published": value for name, value in figures.items()}


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
