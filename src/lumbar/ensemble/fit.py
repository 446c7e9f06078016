"""An ensemble fitted to members' out-of-fold predictions: the model, the nested rows and the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.data.tables import write_table
from lumbar.ensemble.members import gather_members, gather_truth, tabulate
from lumbar.ensemble.model import EnsembleModel, Trained
from lumbar.ensemble.nested import Nested, fit_nested
from lumbar.ensemble.report import REPORT_FILE, summarise
from lumbar.errors import InputError
from lumbar.labels import GRADES
from lumbar.records import write_json
from lumbar.run.checkpoint import current_commit


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What a fit leaves."""

    model: EnsembleModel
    out_of_fold: pd.DataFrame
    """Nested predictions in submission format: fold k's rows come from what never saw fold k."""
    report: dict[str, Any]


def fit_ensemble(tables: Mapping[str, pd.DataFrame], labels: pd.DataFrame, folds: pd.DataFrame) -> Ensemble:
    """Fits an ensemble to members' out-of-fold tables by name; `folds` has study_id and fold.

    Rows of studies without a fold are left out. Raises InputError without a member, a label or a second fold.
    """
    if not tables:
        raise InputError("an ensemble needs at least one member, there is none")
    if folds["fold"].nunique() < 2:
        raise InputError("an ensemble is fitted in cross-validation, expected at least two folds")
    if not labels["study_id"].isin(folds["study_id"]).any():
        raise InputError("an ensemble is fitted to labels, none of the studies that have a fold has any")
    members = gather_members(tables, folds["study_id"].tolist())
    truth = gather_truth(labels, folds, members.study_ids)
    nested = fit_nested(members, truth)
    return Ensemble(
        model=_describe(nested, len(members.study_ids)),
        out_of_fold=tabulate(nested.chosen, members.study_ids),
        report=summarise(nested, members, truth),
    )


def _describe(nested: Nested, studies: int) -> EnsembleModel:
    final = nested.final
    return EnsembleModel(
        version=1,
        grades=GRADES,
        method=final.choice.method,
        strength=final.choice.strength,
        any_severe_lift=final.chosen_lift,
        groups=final.chosen_models,
        trained=Trained(studies=studies, folds=tuple(nested.by_fold), commit=current_commit()),
    )


def write_ensemble(ensemble: Ensemble, folder: Path) -> None:
    """Writes `oof.csv` and `report.json`."""
    write_table(ensemble.out_of_fold, folder / "oof.csv")
    write_json(ensemble.report, folder / REPORT_FILE)
