"""One study's answer: every chain's predictions, made one by the ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lumbar.config import POOLED, Config, read_saved_config
from lumbar.dataset import no_predictions
from lumbar.ensemble import average_folds
from lumbar.ensemble.apply import apply_ensemble
from lumbar.ensemble.model import FILE_NAME, EnsembleModel, read_model
from lumbar.labels import CELLS, GROUPS, group_of
from lumbar.predict.chain import Chain, load_chains, predict_by_chain
from lumbar.problems import Problems
from lumbar.studies import Study


@dataclass(frozen=True)
class Models:
    """All that prediction needs of a run: its config, every fold's chain and the ensemble of the graders."""

    config: Config
    chains: Sequence[Chain]
    ensemble: EnsembleModel


def load_models(models: Path) -> Models:
    """From a run's `models` folder, or a bundle's."""
    config = read_saved_config(models / "config.json")
    return Models(config, load_chains(models, config), read_model(models / FILE_NAME))


def predict_study(
    models: Models, chains: Sequence[Chain], study_id: int, study: Study, problems: Problems
) -> pd.DataFrame:
    """A study's rows in submission format by some of the chains; a row that none could grade is not among them."""
    by_chain = [predict_by_chain(chain, study_id, study, problems) for chain in chains]
    tables = {name: [part[name] for part in by_chain if name in part] for name in models.config.graders}
    members = {name: average_folds(pd.concat(parts, ignore_index=True)) for name, parts in tables.items() if parts}
    if not members:
        return no_predictions()
    with problems.survive(study_id, "ensemble", "the graders' plain mean"):
        return apply_ensemble(models.ensemble, members)
    return average_folds(pd.concat(members.values(), ignore_index=True))


def explain_gaps(
    models: Models, chains: Sequence[Chain], study_id: int, study: Study, predictions: pd.DataFrame, problems: Problems
) -> dict[str, str]:
    """Why a study's cells that have no prediction have none, by their columns in `train.csv`, in words to count by."""
    failed = {problem.stage for problem in problems.found if problem.study_id == study_id}
    graded, predicted = models.config.grade.cells, set(predictions["row_id"])
    trained = {part for chain in chains for part in map(models.config.graders.get, chain.graders)}
    gaps = {}
    for column, cell in CELLS.items():
        part = POOLED if graded.pooled else group_of(cell.condition)
        if f"{study_id}_{column}" in predicted:
            continue
        if cell.condition not in graded.conditions or cell.level not in graded.levels:
            gaps[column] = "not among the cells that the config grades"
        elif part not in trained:
            gaps[column] = "no grader was trained"
        else:
            gaps[column] = _explain(group_of(cell.condition), part, study, failed)
    return gaps


def _explain(group: str, part: str, study: Study, failed: set[str]) -> str:
    description = GROUPS[group].series_description
    if description not in study:
        return f"no readable {description} series"
    for stage in ("detect", "crop", f"grade {part}"):
        if stage in failed:
            return f"{stage} failed"
    return f"no slice of {description} shows the level"
