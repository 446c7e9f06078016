"""The comparison: the main pipeline and every system trained, scored and measured, and the table of them."""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.baselines.cases import run_cases
from lumbar.baselines.figures import write_figures
from lumbar.baselines.net import count_parameters
from lumbar.baselines.own_split import run_own_split
from lumbar.baselines.predict import load_system
from lumbar.baselines.stage import run_system_crop
from lumbar.baselines.systems import at_annotated_points, described, open_systems
from lumbar.baselines.table import describe_cells, format_comparison
from lumbar.data.competition import read_predictions
from lumbar.data.tables import write_table
from lumbar.grade.predict import load_grader
from lumbar.metric import paired_difference, study_losses
from lumbar.pipeline import STAGES, run_through, score_run
from lumbar.records import write_json, write_text
from lumbar.run.run import MAIN, Run
from lumbar.run.stamps import stage_seconds

logger = logging.getLogger(__name__)

Entry = dict[str, Any]
"""A system's row of the table by its keys."""
AFTER_DETECTION = ("crop", "grade", "ensemble")
"""The stages that a system has of its own."""


def run_compare(main: Run, config_path: Path, full_size: bool = False) -> str:
    """Trains, scores and measures everything; writes `compare.json`, `.csv` and `.txt`, and returns the text.

    Each run leaves its own figures in `figures.json`, and its cases in `cases/` and `own_split/`.
    """
    systems = open_systems(main, config_path, full_size)
    run_through(main)
    rows = [_measure(MAIN, main, main)]
    for name, run in systems.items():
        logger.info("compare: %s", name)
        for stage in AFTER_DETECTION:
            STAGES[stage](run)
        rows.append(_measure(name, run, main))
    text = format_comparison(rows, json.loads((main.folder / "cv.json").read_text(encoding="utf-8")))
    write_json(rows, main.folder / "compare.json")
    write_table(pd.json_normalize(rows), main.folder / "compare.csv")
    write_text(text + "\n", main.folder / "compare.txt")
    return text


def _measure(name: str, run: Run, main: Run) -> Entry:
    """Scores a run, measures it in its own classes, and gives its row of the table."""
    annotated = at_annotated_points(run)
    run_system_crop(annotated)
    split = described(run).own_split
    if split:
        run_own_split(run, annotated, split)
    run_cases(run, annotated)
    figures, score = write_figures(run), score_run(run)
    cells = run.config.cells
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


def _own_accuracies(figures: dict[str, Any]) -> Entry:
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


def _count_parameters(run: Run) -> Entry:
    """The numbers that the graders of one fold hold together."""
    fold = run.fold_numbers[0]
    stems = [run.models / f"{group}_fold{fold}" for group in run.config.cells.graders]
    load = load_system if run.config.published else load_grader
    counts = [count_parameters(load(stem)) for stem in stems if stem.with_suffix(".json").is_file()]
    trainable, frozen = (sum(count[kind] for count in counts) for kind in ("trainable", "frozen"))
    return {"parameters": trainable + frozen, "trainable": trainable}


def _seconds(run: Run) -> float:
    """What a run's stages took; the detector counts for the run that trained it."""
    stages = AFTER_DETECTION if run.detected_in else ("detect", *AFTER_DETECTION)
    return round(sum(stage_seconds(run.folder / stage) or 0.0 for stage in stages), 1)


def _difference(run: Run, main: Run) -> Entry:
    """The score above the main pipeline's, over the same draws of studies: above zero, the system is worse."""
    labels = run.competition.labels
    losses, others = (study_losses(labels, read_predictions(each.folder / "oof.csv")) for each in (run, main))
    difference = paired_difference(losses, others, main.config.seed)
    return {"difference": difference.value, "difference_ci95": (difference.low, difference.high)}
