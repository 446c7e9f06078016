"""Cross-validation: the stages in order on the training studies, and the score of what they predict out of fold."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbar.baselines.nets import expect_backbone
from lumbar.config import ConfigError
from lumbar.crop.stage import run_crop
from lumbar.data.competition import read_predictions
from lumbar.data.folds import make_folds
from lumbar.data.priors import fit_prior, nested_prior
from lumbar.data.rows import complete_rows
from lumbar.data.tables import write_table, write_text
from lumbar.detect.stage import run_detect
from lumbar.ensemble import report as ensemble_report
from lumbar.ensemble.stage import run_ensemble
from lumbar.grade.stage import run_grade
from lumbar.labels import CELLS, row_id
from lumbar.metric import COMPONENTS, Score, bootstrap_scores, interval, score_losses, study_losses
from lumbar.run.run import Run
from lumbar.run.stamps import UntrainedError, stage_seconds

logger = logging.getLogger(__name__)


def run_folds(run: Run) -> None:
    """Writes the fold file where there is none; one that is there is only read and checked."""
    path, competition = run.config.folds_file, run.competition
    if not path.is_file():
        annotated = competition.coordinates["study_id"].unique()
        count, seed = run.config.folds.count, run.config.seed
        write_table(make_folds(competition.study_ids, competition.labels, annotated, count, seed), path)
        logger.info("folds: wrote %s; commit it, from now on it is only read", path)
    if len(run.fold_numbers) != run.config.folds.count:
        raise ConfigError(
            f"{path}: has {len(run.fold_numbers)} folds, the config's folds.count is {run.config.folds.count}; "
            f"change the config, or remove the file to make it anew"
        )
    if run.part.fold not in (None, *run.fold_numbers):
        raise ConfigError(f"{path}: there is no fold {run.part.fold}, it has {', '.join(map(str, run.fold_numbers))}")
    logger.info("folds: studies by fold %s", run.folds["fold"].value_counts().sort_index().to_dict())


STAGES: dict[str, Callable[[Run], None]] = {
    "folds": run_folds,
    "detect": run_detect,
    "crop": run_crop,
    "grade": run_grade,
    "ensemble": run_ensemble,
}
"""In the order in which each needs the ones before it."""


def run_through(run: Run, last: str = "ensemble") -> None:
    """Runs every stage up to `last`; the ones that have nothing new to do are kept.

    A run that trains only a part may leave `last` incomplete; UntrainedError where an earlier stage is.
    """
    expect_backbone(run.config)  # now, and not when the detectors are trained
    for name, stage in STAGES.items():
        try:
            stage(run)
        except UntrainedError as untrained:
            if name != last:
                raise
            logger.info("%s", untrained)
        if name == last:
            return


def score_run(run: Run) -> dict[str, Any]:
    """Scores the out-of-fold predictions, writes `cv.json` and returns what it holds."""
    labels, folds = run.competition.labels, run.folds
    predictions, fallback = _complete_out_of_fold(run)
    write_table(predictions, run.folder / "oof.csv")
    losses = study_losses(labels, predictions)
    prior = study_losses(labels, nested_prior(labels, folds))
    oracle = _oracle_losses(run)
    draws, prior_draws = (bootstrap_scores(part, run.config.seed) for part in (losses, prior))
    by_fold = folds.set_index("study_id")["fold"].reindex(losses.index)
    score, prior_score = score_losses(losses), score_losses(prior)
    result = {
        "config": run.config.name,
        "studies": len(losses),
        **score.as_dict(),
        "folds": {int(fold): score_losses(part).as_dict() for fold, part in losses.groupby(by_fold)},
        "ci95": interval(draws),
        "prior": prior_score.as_dict(),
        "gain_over_prior": prior_score.score - score.score,
        "gain_over_prior_ci95": interval(prior_draws - draws),
        "oracle": oracle.as_dict() if oracle else None,
        "excess": (score.score - oracle.score) / (prior_score.score - oracle.score) if oracle else None,
        "cells_from_prior": len(fallback),
        "ensemble": ensemble_report.read_report(run.folder / "ensemble"),
        "detection": _read_summary(run.detect_folder / "summary.csv"),
        "seconds": {name: stage_seconds(run.folder / name) for name in STAGES if name != "folds"},
    }
    write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", run.folder / "cv.json")
    return result


def _complete_out_of_fold(run: Run) -> tuple[pd.DataFrame, list[str]]:
    """The 25 rows of every training study; cells that no model graded get the prior of the other folds."""
    given = read_predictions(run.folder / "ensemble" / "oof.csv")
    parts, fallback = [], []
    for fold in run.fold_numbers:
        studies = run.studies_of(fold)
        others = run.competition.labels[~run.competition.labels["study_id"].isin(studies)]
        asked = [row_id(study, cell.condition, cell.level) for study in studies for cell in CELLS.values()]
        completed = complete_rows(given, asked, fit_prior(others), run.config.submit.floor)
        parts.append(completed.predictions)
        fallback += completed.fallback
    return pd.concat(parts, ignore_index=True), fallback


def _read_summary(path: Path) -> list[dict[str, Any]]:
    """The detection table; a median that is infinite, because most points were missed, becomes None."""
    rows = pd.read_csv(path).to_dict("records")
    return [{name: None if value == np.inf else value for name, value in row.items()} for row in rows]


def _oracle_losses(run: Run) -> Score | None:
    """The score of the best possible answer, which only a phantom knows."""
    path = run.competition.root / "oracle.csv"
    if not path.is_file():
        return None
    return score_losses(study_losses(run.competition.labels, read_predictions(path)))


def format_table(result: dict[str, Any]) -> str:
    """The cross-validation table as text."""
    rows = [("", "score", *COMPONENTS)]
    for name, part in [("cv", result), ("prior", result["prior"]), ("oracle", result["oracle"])]:
        if part:
            rows.append((name, *(_figure(part[key]) for key in ("score", *COMPONENTS))))
    rows += [
        (f"fold {fold}", *(_figure(part[key]) for key in ("score", *COMPONENTS)))
        for fold, part in result["folds"].items()
    ]
    widths = np.array([[len(value) for value in row] for row in rows]).max(axis=0)
    lines = ["  ".join(value.rjust(width) for value, width in zip(row, widths, strict=True)) for row in rows]
    low, high = result["ci95"]
    gain_low, gain_high = result["gain_over_prior_ci95"]
    lines += [
        "",
        f"{result['studies']} studies, score {result['score']:.4f} (95 % interval {low:.4f} to {high:.4f})",
        f"better than the prior by {result['gain_over_prior']:.4f} ({gain_low:.4f} to {gain_high:.4f}, paired)",
        f"{result['cells_from_prior']} of {result['studies'] * len(CELLS)} cells fell back on the prior",
    ]
    if result["partial"]:
        lines.append("partial: a component has no label in this data set, the score is the mean of the others")
    if result["excess"] is not None:
        lines.append(f"excess {result['excess']:.3f} (0 is the oracle, 1 is the prior)")
    lines += ["", f"ensemble: {result['ensemble']['method']}; differences between ensembles, paired over studies"]
    lines += ensemble_report.format_differences(result["ensemble"])
    return "\n".join([*lines, "", _format_detection(result["detection"])])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _format_detection(summary: list[dict[str, Any]]) -> str:
    table = pd.DataFrame(summary)
    return "detected points, out of fold\n" + table.to_string(index=False, float_format=lambda value: f"{value:.3f}")
