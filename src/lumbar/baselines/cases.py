"""What a system answers in its own classes, one row for each case: the table that its own figures are measured on."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lumbar.baselines.samplers import Examples, balance, is_graded, keep_rows, true_classes
from lumbar.baselines.targets import TARGETS, ConditionAndLevel
from lumbar.crop.store import Crops, open_crops
from lumbar.data.tables import write_table
from lumbar.grade.net import Grader
from lumbar.grade.predict import load_grader, predict_outputs
from lumbar.grade.stage import with_grades
from lumbar.labels import CONDITIONS, LEVELS, finding
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, hash_files, hash_sources, run_stage, stamped


def run_cases(run: Run, annotated: Run) -> None:
    """Writes the cases that a run's graders have not seen: `cases/grouped.csv`, at the points that the papers used,
    which are those of `annotated`, and `cases/detected.csv`, at the detector's."""
    folder = run.folder / "cases"
    made_from = fingerprint(
        code=[hash_sources("grade"), hash_files(Path(__file__))],
        graders=stamped(run.folder / "grade"),
        crops=[stamped(each.folder / "crop") for each in (run, annotated)],
        split=run.config.own_split.model_dump() if run.config.own_split else None,
    )

    def work() -> None:
        write_table(predict_out_of_fold(annotated, run), folder / "grouped.csv")
        write_table(predict_out_of_fold(run, run), folder / "detected.csv")

    run_stage(f"{run.config.name}: cases", folder, made_from, work)


def open_cases(run: Run, group: str) -> tuple[Crops, np.ndarray]:
    """The crops of a grader, and the numbers of those that the system is measured on: labelled, of its own cells, and
    of studies that it does not drop."""
    crops = with_grades(run, open_crops(run.folder / "crop", group))
    chosen = is_graded(crops.index, run.config.grade.cells) & crops.index["grade"].notna().to_numpy()
    return crops, keep_rows(crops.index, np.flatnonzero(chosen), run.config.grade.examples)


def predict_out_of_fold(run: Run, models: Run) -> pd.DataFrame:
    """The cases of a run's crops, by the graders of `models` that have not seen their studies.

    Where the system's own split balances the classes first, so is each fold here, that the two can be compared.
    """
    parts = []
    for group in run.config.grade.cells.graders:
        crops, rows = open_cases(run, group)
        for fold in run.fold_numbers:
            held_out = rows[crops.index["fold"].to_numpy()[rows] == fold]
            stem = models.models / f"{group}_fold{fold}"
            if len(held_out) and stem.with_suffix(".json").is_file():
                parts.append(predict_cases(load_grader(stem)[0], crops, _as_split(run, crops, held_out, fold)))
    return pd.concat(parts, ignore_index=True) if parts else no_cases(run)


def no_cases(run: Run) -> pd.DataFrame:
    """A table without a case, of a system that had too little to train on."""
    classes = TARGETS[run.config.grade.target].classes
    return pd.DataFrame(columns=[*classes, "row_id", "study_id", "copy", "truth", "predicted", "sentence"])


def _as_split(run: Run, crops: Crops, rows: np.ndarray, fold: int) -> Examples:
    if not (run.config.own_split and run.config.own_split.balanced_first):
        return Examples.of(rows)
    classes = true_classes(crops.index.iloc[rows], run.config.grade.target)
    return balance(rows, classes, run.config.grade.examples, run.config.seed + fold)


def predict_cases(grader: Grader, crops: Crops, examples: Examples) -> pd.DataFrame:
    """row_id, study_id, copy, truth and predicted (class names), the sentence, and the probability of each class.

    A grader with two heads gives `level_right` as well.
    """
    outputs = predict_outputs(grader.eval(), crops, examples).double()
    probabilities = grader.target.probabilities(outputs).numpy()
    classes, index = np.array(grader.target.classes), crops.index.iloc[examples.rows]
    predicted, levels = classes[probabilities.argmax(axis=1)], index["level"].to_numpy()
    table = pd.DataFrame(probabilities, columns=list(classes))
    if isinstance(grader.target, ConditionAndLevel):
        seen = np.array(LEVELS)[torch.argmax(outputs[:, len(classes) :], dim=1).numpy()]
        table["level_right"], levels = (seen == levels).astype(int), seen
    return table.assign(
        row_id=index["row_id"].to_numpy(),
        study_id=index["study_id"].to_numpy(),
        copy=examples.copies,
        truth=classes[true_classes(index, grader.config.target)],
        predicted=predicted,
        sentence=[
            describe(*case) for case in zip(predicted.tolist(), index["condition"], levels.tolist(), strict=True)
        ],
    )


def describe(predicted: str, condition: str, level: str) -> str:
    """A predicted class of a case at a condition and level in words: severe left subarticular stenosis at L4/L5."""
    if predicted in CONDITIONS:
        return finding(predicted, level, "moderate_or_severe")
    return finding(condition, level, "normal_mild" if predicted == "healthy" else predicted)
