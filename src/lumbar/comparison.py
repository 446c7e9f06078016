"""The comparison: the main pipeline and every system trained, scored and measured, and the table of them."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.baselines.measure import measure_run
from lumbar.baselines.needs import expect_series
from lumbar.baselines.net import count_parameters
from lumbar.baselines.opening import describe_cells, on_own_folds, open_systems
from lumbar.baselines.predict import load_system
from lumbar.config import Config, ConfigError
from lumbar.data.competition import read_predictions
from lumbar.data.tables import write_table
from lumbar.grade.predict import load_grader
from lumbar.metric import paired_difference, study_losses
from lumbar.pipeline import STAGES, expect_weights, run_through, score_run
from lumbar.records import align, write_json, write_text
from lumbar.report.page import write_report
from lumbar.report.system_files import write_system_files
from lumbar.report.systems import TESTED
from lumbar.run.run import MAIN, Run
from lumbar.run.stamps import stage_seconds

logger = logging.getLogger(__name__)

TableRow = dict[str, Any]
"""A system's row of the table by its keys."""
COLUMNS = {
    "system": "system",
    "cells": "cells",
    "parameters": "parameters",
    "seconds": "seconds",
    "seconds_own_split": "and own split",
    "own_accuracy_own_split": "own split",
    "own_accuracy_own_split_copied": "copied",
    "own_accuracy_grouped": "grouped",
    "own_accuracy_detected": "detected",
    "most_frequent_class": "constant",
    "score": "score",
    "ci95": "95 % interval",
    "excess": "excess",
    "difference": "difference",
    "difference_ci95": "95 % interval",
}
"""The keys of a row that are shown, and their headings."""
LEGEND = """\
own split, grouped, detected: accuracy in the system's own classes, on rows split as its paper split them; on the folds,
at the same points; and on the folds, at the detector's points, the one test of the main pipeline. copied: as own split,
with copies of the tested crops among those that are trained on, where a paper leaves this open. A dash: not tested so.
constant: the share of the most frequent class. score: the competition's metric over all 25 cells, those a system leaves
out from the weighted prior of the other folds. difference: of the score to the main pipeline's, paired; above zero is
worse. seconds: of the stages when they last did the work, a system's without the detector; and own split: of training
and testing under it. Neither counts cases, figures and pictures."""
AFTER_DETECTION = ("crop", "grade", "ensemble")
"""The stages that a system has of its own."""
STUDIES = 12
"""With a page of their own in the report."""


def run_compare(main: Run, config_path: Path, full_size: bool = False, wanted: Sequence[str] = ()) -> str:
    """Trains, scores and measures the main pipeline and the `wanted` systems, or all that the config names; writes
    `compare.json`, `.csv`, `.txt` and the main run's report, and returns the text.

    These are written anew with each system that is finished, and an interrupted comparison goes on with the next. Each
    run leaves its own figures in `figures.json`, and its cases in `cases/` and `own_split/`.

    ConfigError where the main config holds out some folds only, and that or InputError where weights or series that a
    system needs are not there.
    """
    _expect_every_fold(main.config)
    main = on_own_folds(main)
    systems = open_systems(main, config_path, full_size, wanted)
    for run in systems.values():
        expect_weights(run.config)
        expect_series(run)
    with main.held():
        text = _compare(main, systems)
        write_report(main, config_path, STUDIES)
    return text


def _expect_every_fold(config: Config) -> None:
    """ConfigError where only some folds are held out: in the others there are no detected points to learn from."""
    if config.folds.held_out is not None:
        raise ConfigError(
            f"config {config.name}: folds.held_out: expected null, for a comparison needs every fold; "
            f"held_out is for ablations and single folds"
        )


def _compare(main: Run, systems: Mapping[str, Run]) -> str:
    run_through(main)
    rows = [_measure(MAIN, main, main)]
    text = _write(rows, main)
    for name, run in systems.items():
        logger.info("compare: %s", name)
        with run.entered():
            for stage in AFTER_DETECTION:
                STAGES[stage](run)
            rows.append(_measure(name, run, main))
        text = _write(rows, main)
    return text


def _write(rows: Sequence[TableRow], main: Run) -> str:
    text = format_comparison(rows, json.loads((main.folder / "cv.json").read_text(encoding="utf-8")))
    write_json(rows, main.folder / "compare.json")
    write_table(pd.json_normalize(rows), main.folder / "compare.csv")
    write_text(text + "\n", main.folder / "compare.txt")
    return text


def _measure(name: str, run: Run, main: Run) -> TableRow:
    """Scores a run, measures it in its own classes, draws a system's figures, and gives its row of the table."""
    score, figures = score_run(run), measure_run(run)
    if run.config.published:
        write_system_files(run)
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


def _own_accuracies(figures: dict[str, Any]) -> TableRow:
    """Accuracies in a system's own classes, each None where the system was not tested so."""
    measured = {kind: figures.get(kind) or {} for kind in TESTED}
    return {
        "classes": figures["classes"],
        "training_rows": figures["training_rows"],
        **{f"own_accuracy_{kind}": found.get("accuracy") for kind, found in measured.items()},
        **{f"own_accuracy_{kind}_ci95": found.get("accuracy_ci95") for kind, found in measured.items()},
        "most_frequent_class": (measured["grouped"] or measured["detected"])["most_frequent_class"],
    }


def _count_parameters(run: Run) -> TableRow:
    """The numbers that the graders of one fold hold together, with running statistics, as `layers.count_all` counts."""
    fold = run.fold_numbers[0]
    stems = [run.models / f"{name}_fold{fold}" for name in run.config.members]
    load = load_system if run.config.published else load_grader
    counts = [count_parameters(load(stem)) for stem in stems if stem.with_suffix(".json").is_file()]
    return {
        "parameters": sum(sum(count.values()) for count in counts),
        "trainable": sum(count["trainable"] for count in counts),
    }


def _seconds(run: Run) -> float:
    """What a run's stages took; the detector counts for the run that trained it."""
    stages = AFTER_DETECTION if run.detected_in else ("detect", *AFTER_DETECTION)
    return round(sum(stage_seconds(run.folder / stage) or 0.0 for stage in stages), 1)


def _difference(run: Run, main: Run) -> TableRow:
    """The score above the main pipeline's, over the same draws of studies: above zero, the system is worse."""
    labels = run.scored_labels
    losses, others = (study_losses(labels, read_predictions(each.folder / "oof.csv")) for each in (run, main))
    difference = paired_difference(losses, others, main.config.seed)
    return {"difference": difference.value, "difference_ci95": (difference.low, difference.high)}


def format_comparison(rows: Sequence[Mapping[str, Any]], main: Mapping[str, Any]) -> str:
    """The table, with the prior and the oracle of the main run's `cv.json` below it."""
    lines = [tuple(COLUMNS.values()), *(tuple(_figure(key, row[key]) for key in COLUMNS) for row in rows)]
    references = [f"weighted prior {main['prior']['score']:.4f}"]
    references += [f"oracle {main['oracle']['score']:.4f}"] if main["oracle"] else []
    words = [number for number, key in enumerate(COLUMNS) if key in ("system", "cells")]
    return "\n".join([*align(lines, left=words), "", f"{main['studies']} studies; {', '.join(references)}", "", LEGEND])


def _figure(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key.endswith("ci95"):
        return f"{value[0]:.3f} to {value[1]:.3f}"
    if key == "parameters":
        return f"{value:,}"
    if key.startswith("seconds"):
        return f"{value:.0f}"
    return value if isinstance(value, str) else f"{value:.4f}" if key in ("score", "difference") else f"{value:.3f}"
