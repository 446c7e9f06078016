"""One study's answer: every chain's predictions, made one by the ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lumbar.config import Config, read_saved_config
from lumbar.dataset import no_predictions
from lumbar.ensemble import average_folds
from lumbar.labels import GROUPS
from lumbar.predict.chain import Chain, load_chains, predict_by_chain
from lumbar.problems import Problems
from lumbar.studies import Study


@dataclass(frozen=True)
class Models:
    """All that prediction needs of a run: its config and every fold's chain."""

    config: Config
    chains: Sequence[Chain]


def load_models(models: Path) -> Models:
    """From a run's `models` folder, or a bundle's."""
    config = read_saved_config(models / "config.json")
    return Models(config, load_chains(models, config))


def predict_study(
    models: Models, chains: Sequence[Chain], study_id: int, study: Study, problems: Problems
) -> pd.DataFrame:
    """A study's rows in submission format by some of the chains; a row that none could grade is not among them."""
    by_chain = [predict_by_chain(chain, study_id, study, problems) for chain in chains]
    parts = [part for predictions in by_chain for part in predictions.values()]
    return average_folds(pd.concat(parts, ignore_index=True)) if parts else no_predictions()


def explain_gaps(study_id: int, study: Study, problems: Problems) -> dict[str, str]:
    """For each condition group, why a cell of it may have no prediction, in words to count by."""
    failed = {problem.stage for problem in problems.found if problem.study_id == study_id}
    return {group: _explain(group, study, failed) for group in GROUPS}


def _explain(group: str, study: Study, failed: set[str]) -> str:
    description = GROUPS[group].series_description
    if description not in study:
        return f"no readable {description} series"
    for stage in ("detect", "crop", f"grade {group}"):
        if stage in failed:
            return f"{stage} failed"
    return f"no slice of {description} shows the level"
