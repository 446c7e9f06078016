"""The comparison: the main pipeline and every system trained, scored and measured, and the table of them."""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.baselines.cases import run_cases
from lumbar.baselines.figures import write_figures
from lumbar.baselines.own_split import run_own_split
from lumbar.baselines.systems import MAIN, at_annotated_points, open_systems
from lumbar.baselines.table import describe_cells, format_comparison
from lumbar.crop.stage import run_crop
from lumbar.data.competition import read_predictions
from lumbar.data.tables import write_table, write_text
from lumbar.ensemble.stage import run_ensemble
from lumbar.grade.net import count_parameters
from lumbar.grade.predict import load_grader
from lumbar.grade.stage import run_grade
from lumbar.metric import paired_difference, study_losses
from lumbar.pipeline import run_through, score_run
from lumbar.run.run import Run
from lumbar.run.stamps import stage_seconds

logger = logging.getLogger(__name__)

Row = dict[str, Any]


def run_compare(main: Run, config_path: Path, full_size: bool = False) -> str:
    """Trains, scores and measures everything; writes `compare.json`, `.csv` and `.txt`, and returns the text.

    Each run leaves its own figures in `figures.json`, and its cases in `cases/` and `own_split/`.
    """
    systems = open_systems(main, config_path, full_size)
    run_through(main)
    rows = [_measure(MAIN, main, main)]
    for name, run in systems.items():
        logger.info("compare: %s", name)
        for stage in (run_crop, run_grade, run_ensemble):
            stage(run)
        rows.append(_measure(name, run, main))
    text = format_comparison(rows, json.loads((main.folder / "cv.json").read_text(encoding="utf-8")))
    write_text(json.dumps(rows, indent=2, allow_nan=False) + "\n", main.folder / "compare.json")
    write_table(pd.json_normalize(rows), main.folder / "compare.csv")
    write_text(text + "\n", main.folder / "compare.txt")
    return text


def _measure(name: str, run: Run, main: Run) -> Row:
    """Scores a run, measures it in its own classes, and gives its row of the table."""
    annotated = at_annotated_points(run)
    run_crop(annotated)
    if run.config.own_split:
        run_own_split(run, annotated, run.config.own_split)
    run_cases(run, annotated)
    figures, score = write_figures(run), score_run(run)
    cells = run.config.grade.cells
    return {
        "system": name,
        "title": figures["title"],
        "cells": describe_cells(cells),
        "cells_a_study": len(cells.conditions) * len(cells.levels),
        **_count_parameters(run),
        "seconds": _seconds(run),
        "seconds_own_split": stage_seconds(run.folder / "own_split"),
        **_own_accuracies(figures),
        **{key: score[key] for key in ("score", "ci95", "excess")},
        **_difference(run, main),
        "folder": run.folder.as_posix(),
    }


def _own_accuracies(figures: dict[str, Any]) -> Row:
    """Accuracies in a system's own classes; where the folds are its own split, those on the folds stand in both."""
    grouped = figures["grouped"]
    own = figures["own_split"] or grouped
    return {
        "classes": figures["classes"],
        "training_rows": figures["training_rows"],
        "own_accuracy_own_split": own["accuracy"],
        "own_accuracy_own_split_ci95": own["accuracy_ci95"],
        "own_accuracy_grouped": grouped["accuracy"],
        "own_accuracy_grouped_ci95": grouped["accuracy_ci95"],
        "own_accuracy_detected": figures["detected"]["accuracy"],
        "most_frequent_class": grouped["most_frequent_class"],
    }


def _count_parameters(run: Run) -> Row:
    """The numbers that the graders of one fold hold together."""
    fold = run.fold_numbers[0]
    stems = [run.models / f"{group}_fold{fold}" for group in run.config.grade.cells.graders]
    counts = [count_parameters(load_grader(stem)[0]) for stem in stems if stem.with_suffix(".json").is_file()]
    trainable, frozen = (sum(count[kind] for count in counts) for kind in ("trainable", "frozen"))
    return {"parameters": trainable + frozen, "trainable": trainable}


def _seconds(run: Run) -> float:
    """What a run's stages took; the detector counts for the run that trained it."""
    stages = ("crop", "grade", "ensemble") if run.detected_in else ("detect", "crop", "grade", "ensemble")
    return round(sum(stage_seconds(run.folder / stage) or 0.0 for stage in stages), 1)


def _difference(run: Run, main: Run) -> Row:
    """The score above the main pipeline's, over the same draws of studies: above zero, the system is worse."""
    labels = run.competition.labels
    losses, others = (study_losses(labels, read_predictions(each.folder / "oof.csv")) for each in (run, main))
    difference = paired_difference(losses, others, main.config.seed)
    return {"difference": difference.value, "difference_ci95": (difference.low, difference.high)}
