"""What a system answers in its own classes, one row for each case: the table that its own figures are measured on."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lumbar.baselines.asking import ASK_SYSTEM
from lumbar.baselines.predict import load_system, outputs_of
from lumbar.baselines.samplers import UNANNOTATED, Examples, Numbers, choose_each, true_classes
from lumbar.baselines.stage import chosen_rows
from lumbar.baselines.targets import TARGETS, ConditionAndLevel, Target
from lumbar.crop.crops import Crops
from lumbar.data.competition import read_predictions
from lumbar.data.tables import write_table
from lumbar.grade.stage import open_for, with_grades
from lumbar.labels import CONDITIONS, GRADES, LEVELS, finding, level_title
from lumbar.metric import unweight
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, key_of, run_stage


def write_pipeline_cases(run: Run) -> None:
    """Writes `cases/detected.csv` of the main pipeline: row_id, study_id, truth, predicted and each grade's
    probability, of the labelled cells of its `oof.csv`.

    What stands there answers the metric, which counts a severe cell four times. Accuracy counts all alike, so the
    metric's weights are taken out, and the likeliest grade is the one predicted. Where no model graded a cell, the
    prior has.
    """
    labels, grades = run.scored_labels, np.array(GRADES)
    answers = read_predictions(run.folder / "oof.csv").set_index("row_id")[list(GRADES)]
    probabilities = unweight(answers.loc[labels["row_id"]].to_numpy())
    cases = labels[["row_id", "study_id"]].assign(
        truth=grades[labels["grade"]], predicted=grades[probabilities.argmax(axis=1)]
    )
    cases[list(GRADES)] = probabilities
    write_table(cases, run.folder / "cases" / "detected.csv")


def run_cases(run: Run, annotated: Run) -> None:
    """Writes the cases that a system's graders have not seen: `cases/grouped.csv`, at the points that the papers used,
    which are those of `annotated`, and `cases/detected.csv`, at the detector's, where the run is cropped there."""
    folder, split = run.folder / "cases", run.config.system.own_split
    made = {"graders": run.folder / "grade", "crops": run.folder / "crop", "annotated": annotated.folder / "crop"}
    origin = fingerprint(
        code=hash_code("baselines.cases"),
        split=split.model_dump() if split else None,
        **{name: key_of(folder) for name, folder in made.items()},
    )

    def work() -> None:
        write_table(predict_out_of_fold(annotated, run), folder / "grouped.csv")
        if run.config.system.points == "detected":
            write_table(predict_out_of_fold(run, run), folder / "detected.csv")

    run_stage(f"{run.config.name}: cases", folder, origin, work)


def open_cases(run: Run, grader: str) -> tuple[Crops, Numbers]:
    """The crops of a grader, and the numbers of those that the system is measured on: labelled, of its own cells, and
    of studies that it does not drop."""
    crops = with_grades(run, open_for(run, ASK_SYSTEM, run.config.members[grader].config))
    return crops, chosen_rows(run, crops.index)


def predict_out_of_fold(run: Run, models: Run) -> pd.DataFrame:
    """The cases of a run's crops, by the graders of `models` that have not seen their studies.

    Where the system's own split tests on as many of each class, so does each fold here, that the two can be compared.
    """
    tables = []
    for grader in run.config.trained_graders:
        crops, rows = open_cases(run, grader)
        for fold in run.fold_numbers:
            held_out = rows[crops.index["fold"].to_numpy()[rows] == fold]
            stem = models.models / f"{grader}_fold{fold}"
            if len(held_out) and stem.with_suffix(".json").is_file():
                examples = Examples.of(_as_split(run, crops, held_out, fold))
                tables.append(predict_cases(*system_answer(stem, crops, examples), crops, examples))
    return pd.concat(tables, ignore_index=True) if tables else no_cases(run)


def system_answer(stem: Path, crops: Crops, examples: Examples) -> tuple[Target, torch.Tensor]:
    """A system's target, and its outputs (N, O) for examples."""
    net = load_system(stem)
    return net.target, outputs_of(net, crops, examples)


def no_cases(run: Run) -> pd.DataFrame:
    """A table without a case, of a system that had too little to train on."""
    classes = TARGETS[run.config.system.target].classes
    return pd.DataFrame(columns=[*classes, "row_id", "study_id", "copy", "truth", "predicted", "level", "sentence"])


def _as_split(run: Run, crops: Crops, rows: Numbers, fold: int) -> Numbers:
    split = run.config.system.own_split
    if not (split and split.tested_each):
        return rows
    classes = true_classes(crops.index.iloc[rows], TARGETS[run.config.system.target])
    return rows[choose_each(rows, classes, split.tested_each, 1.0, run.config.seed + fold)]


def predict_cases(target: Target, outputs: torch.Tensor, crops: Crops, examples: Examples) -> pd.DataFrame:
    """row_id, study_id, copy, truth and predicted (class names), level, the sentence, and each class's probability.

    A target with two heads predicts the level, and gives `level_right` as well, which is empty where nobody has
    annotated the slice; of others the level is the cell's.
    """
    outputs = outputs.double()
    probabilities = target.probabilities(outputs).numpy()
    classes, index = np.array(target.classes), crops.index.iloc[examples.rows]
    predicted, levels = classes[probabilities.argmax(axis=1)], index["level"].to_numpy()
    table = pd.DataFrame(probabilities, columns=list(classes))
    if isinstance(target, ConditionAndLevel):
        seen = np.array(LEVELS)[torch.argmax(outputs[:, len(classes) :], dim=1).numpy()]
        table["level_right"], levels = (seen == levels).astype(float), seen
        table.loc[(index["source"] == UNANNOTATED).to_numpy(), "level_right"] = np.nan
    graded = not target.tells_unannotated
    return table.assign(
        row_id=index["row_id"].to_numpy(),
        study_id=index["study_id"].to_numpy(),
        copy=examples.copies,
        truth=classes[true_classes(index, target)],
        predicted=predicted,
        level=levels,
        sentence=[
            describe(*case, graded=graded)
            for case in zip(predicted.tolist(), index["condition"], levels.tolist(), strict=True)
        ],
    )


def describe(predicted: str, condition: str, level: str, graded: bool = True) -> str:
    """A predicted class of a case at a condition and level in words: severe left subarticular stenosis at L4/L5.

    Classes that are not `graded` say which condition is seen, or none, and not how grave it is.
    """
    if not graded:
        return predicted if predicted == "healthy" else f"{predicted.replace('_', ' ')} at {level_title(level)}"
    if predicted in CONDITIONS:
        return finding(predicted, level, "moderate_or_severe")
    return finding(condition, level, "normal_mild" if predicted == "healthy" else predicted)
