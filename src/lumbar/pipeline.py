"""The stages in order on the training studies, and the score of what they predict out of fold."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbar.baselines.stage import craft_of, expect_net, run_system_crop, run_system_grade, system_crops_made_from
from lumbar.config import Config, ConfigError, read_saved_config
from lumbar.crop.stage import crops_made_from, run_crop
from lumbar.data.competition import read_predictions
from lumbar.data.folds import make_folds, studies_of_fold
from lumbar.data.points import read_points
from lumbar.data.priors import PRIOR_FILE, fit_prior, nested_prior
from lumbar.data.rows import complete_rows
from lumbar.data.tables import TableError, write_table
from lumbar.detect.stage import points_made_from, run_detect
from lumbar.ensemble import report as ensemble_report
from lumbar.ensemble.methods import MEAN
from lumbar.ensemble.model import MODEL_FILE
from lumbar.ensemble.nested import doubt_of
from lumbar.ensemble.stage import ensemble_made_from, run_ensemble
from lumbar.errors import InputError
from lumbar.grade.stage import graders_made_from, run_grade
from lumbar.labels import CELLS, row_ids
from lumbar.metric import COMPONENTS, Score, bootstrap_scores, interval, score_losses, study_losses
from lumbar.records import align, figure, write_json
from lumbar.report.points import draw_points
from lumbar.run.run import Run, refuse_other_layout
from lumbar.run.stamps import Origin, UntrainedError, stage_seconds, stamped
from lumbar.submit.cards import find_gaps

logger = logging.getLogger(__name__)


def run_folds(run: Run) -> None:
    """Writes the fold file where there is none; one that is there is only read and checked."""
    path, competition = run.folds_file, run.competition
    if not path.is_file():
        annotated = competition.coordinates["study_id"].unique()
        count, seed = run.config.folds.count, run.config.seed
        write_table(make_folds(competition.study_ids, competition.labels, annotated, count, seed), path)
        logger.info("folds: wrote %s; commit it, from now on it is only read", path)
    if path != run.config.folds_file:
        folds = f"{path}, with {len(run.all_fold_numbers)} folds,"
        logger.warning("folds: %s is not there or of other studies, so %s holds", run.config.folds_file, folds)
    elif len(run.all_fold_numbers) != run.config.folds.count:
        raise ConfigError(
            f"{path}: has {len(run.all_fold_numbers)} folds, the config's folds.count is {run.config.folds.count}; "
            f"change the config, or remove the file to make it anew"
        )
    for fold in (run.selection.fold, *(run.config.folds.held_out or ())):
        expect_fold(path, fold)
    logger.info("folds: studies by fold %s", run.folds["fold"].value_counts().sort_index().to_dict())


def expect_fold(path: Path, fold: int | None) -> None:
    """ConfigError where a fold file is there, and lacks the fold."""
    if fold is not None and path.is_file():
        studies_of_fold(path, fold, ConfigError)


def _detect(run: Run) -> None:
    """The detect stage, and, where the points are new, a picture of them."""
    run_detect(run)
    picture = run.folder / "detect" / "points.png"
    if not picture.is_file() or picture.stat().st_mtime < run.points_file.stat().st_mtime:
        draw_points(run.competition, read_points(run.points_file), picture)


STAGES: dict[str, Callable[[Run], None]] = {
    "folds": run_folds,
    "detect": _detect,
    "crop": lambda run: (run_system_crop if run.config.published else run_crop)(run),
    "grade": lambda run: (run_system_grade if run.config.published else run_grade)(run),
    "ensemble": run_ensemble,
}
"""In the order in which each needs the ones before it."""
STAMPED = tuple(name for name in STAGES if name != "folds")
"""Those that leave a stamp."""


def run_through(run: Run, last: str = "ensemble") -> None:
    """Runs every stage up to `last`; the ones that have nothing new to do are kept.

    A run that trains a selection only may leave `last` incomplete; UntrainedError where an earlier stage is. InUseError
    where another process works on the run.
    """
    # Now, and not when the detectors are trained.
    expect_net(run.config)
    expect_weights(run.config)
    _expect_images(run)
    run.expect_selected()
    with run.entered():
        _run_stages(run, last)


def _run_stages(run: Run, last: str) -> None:
    for name, stage in STAGES.items():
        try:
            stage(run)
        except UntrainedError as untrained:
            if name != last:
                raise
            logger.info("%s", untrained)
        if name == last:
            return


def expect_weights(config: Config) -> None:
    """ConfigError where the weights that a config starts from, or the suspect labels that it names, are not there."""
    graders = {"grade": config.grade, **{f"graders.{name}": grader for name, grader in config.graders.items()}}
    fetched = "make weights NAME=..., or the run that trains it"
    written = "lumbar noise writes it"
    files = [("detect.weights", config.detect.weights, fetched)]
    files += [(f"{name}.weights", grader.weights, fetched) for name, grader in graders.items()]
    files += [(f"{name}.suspects", grader.suspects, written) for name, grader in graders.items()]
    for key, path, hint in files:
        if path and not path.is_file():
            raise ConfigError(f"config {config.name}: {key}: there is no {path} ({hint})")


def _expect_images(run: Run) -> None:
    folder = run.competition.root / "train_images"
    folders = (folder / str(study_id) for study_id in run.competition.study_ids)
    if not any(os.path.isdir(each) for each in folders):  # noqa: PTH112  # unlike Path's, it raises nothing
        raise InputError(f"{folder}: has no image of the {len(run.competition.study_ids)} studies of train.csv")


def expect_models(folder: Path, command: str) -> None:
    """InputError where the models in a run's folder are not all there, which names the command that makes them.

    A stage that was begun and not finished may have left models of two kinds, and is an InputError as well.
    """
    refuse_other_layout(folder)
    models = folder / "models"
    missing = [name for name in ("config.json", PRIOR_FILE, MODEL_FILE) if not (models / name).is_file()]
    gaps = [f"{models}: there is no {name}; train the run" for name in missing] or list(find_gaps(models))
    if gaps:
        raise InputError(f"{gaps[0]} (`{command}`)")
    for stage in STAMPED:
        if (folder / stage).is_dir() and stamped(folder / stage) is None:
            raise InputError(f"{folder / stage}: was begun and not finished; finish it first (`{command}`)")


def tell_changes(run: Run) -> None:
    """Warns of every finished stage that is of other code, data or config than there are now, and kept as it is.

    Models may be asked of studies that they were not trained on: data without these folds, or without training tables.
    """
    try:
        origins = _origins(run)
    except TableError as error:
        logger.info("%s: not the data that the models were trained on (%s)", run.competition.root, error)
        origins = {}
    for stage, now in origins.items():
        then = stamped(run.folder / stage)
        if then and (changes := now.changes_from(then)):
            logger.warning("%s: taken as it is; changed since it was made: %s", stage, ", ".join(changes))
    saved = run.models / "config.json"
    if saved.is_file() and read_saved_config(saved).submit != run.config.submit:
        logger.warning("submit: the models' config has other settings than the run's now, and holds until the next cv")


def _origins(run: Run) -> dict[str, Origin]:
    """What each stage would be made from now."""
    published, craft = run.config.published, craft_of(run.config)
    return {
        "detect": points_made_from(run),
        "crop": system_crops_made_from(run) if published else crops_made_from(run),
        "grade": graders_made_from(run, craft),
        "ensemble": ensemble_made_from(run),
    }


def score_run(run: Run) -> dict[str, Any]:
    """Scores the out-of-fold predictions, writes `cv.json` and returns what it holds."""
    labels, folds = run.scored_labels, run.held_out
    predictions, fallback = _complete_out_of_fold(run)
    write_table(predictions, run.folder / "oof.csv")
    losses = study_losses(labels, predictions)
    prior = study_losses(labels, nested_prior(run.competition.labels, folds))
    oracle = _score_oracle(run, labels)
    draws, prior_draws = (bootstrap_scores(each, run.config.seed) for each in (losses, prior))
    by_fold = folds.set_index("study_id")["fold"].reindex(losses.index)
    score, prior_score = score_losses(losses), score_losses(prior)
    result = {
        "config": run.config.name,
        "studies": len(losses),
        **score.as_dict(),
        "folds": {int(fold): score_losses(of_fold).as_dict() for fold, of_fold in losses.groupby(by_fold)},
        "ci95": interval(draws),
        "prior": prior_score.as_dict(),
        "gain_over_prior": prior_score.score - score.score,
        "gain_over_prior_ci95": interval(prior_draws - draws),
        "oracle": oracle.as_dict() if oracle else None,
        "excess": (score.score - oracle.score) / (prior_score.score - oracle.score) if oracle else None,
        "cells_from_prior": len(fallback),
        "ensemble": ensemble_report.read_report(run.folder / "ensemble"),
        "detection": _read_summary(run),
        "seconds": {name: stage_seconds(run.folder / name) for name in STAMPED},
    }
    write_json(result, run.folder / "cv.json")
    return result


def _complete_out_of_fold(run: Run) -> tuple[pd.DataFrame, list[str]]:
    """The 25 rows of every study that is held out once, and the row ids of the cells that no model graded: these get
    the prior of the studies outside their fold."""
    given = read_predictions(run.folder / "ensemble" / "oof.csv")
    tables, fallback = [], []
    for fold in run.fold_numbers:
        prior = fit_prior(run.labels_outside(fold))
        completed = complete_rows(given, row_ids(run.studies_of(fold)), prior, run.config.submit.floor)
        tables.append(completed.predictions)
        fallback += completed.fallback
    return pd.concat(tables, ignore_index=True), fallback


def _read_summary(run: Run) -> list[dict[str, Any]]:
    """The detection table, empty without a detector; a median that is infinite, because most points were missed, is
    None."""
    path = run.detect_folder / "summary.csv"
    rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
    return [{name: None if value == np.inf else value for name, value in row.items()} for row in rows]


def _score_oracle(run: Run, labels: pd.DataFrame) -> Score | None:
    """The score of the best possible answer, which only a phantom knows."""
    best = run.competition.oracle
    return None if best is None else score_losses(study_losses(labels, best))


def format_table(result: dict[str, Any]) -> str:
    """The cross-validation table as text."""
    named = [("cv", result), ("prior", result["prior"]), ("oracle", result["oracle"])]
    named += [(f"fold {fold}", scores) for fold, scores in result["folds"].items()]
    keys = ("score", *COMPONENTS)
    rows = [("", *keys), *((name, *(figure(scores[key]) for key in keys)) for name, scores in named if scores)]
    (low, high), (gain_low, gain_high) = result["ci95"], result["gain_over_prior_ci95"]
    lines = [
        *align(rows),
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
    if result["ensemble"]["method"] == MEAN.name:
        doubt = doubt_of(result["studies"])
        lines.append(f"(of {result['studies']} studies a lead over the mean counts beyond {doubt:.1f} standard errors)")
    lines += ensemble_report.format_differences(result["ensemble"])
    return "\n".join([*lines, "", _format_detection(result["detection"])])


def _format_detection(summary: list[dict[str, Any]]) -> str:
    table = pd.DataFrame(summary)
    return "detected points, out of fold\n" + table.to_string(index=False, float_format=lambda value: f"{value:.3f}")
