"""Ensemble members of known quality, made from the phantom's label model, without an image."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax
from scipy.stats import norm

from lumbar.ensemble.members import Members, Truth, gather_truth, tabulate
from lumbar.labels import CELLS, GRADE_WEIGHTS, group_of
from lumbar.phantom.grades import CELL_CUTS, RATER_DEVIATION, draw_grades, draw_latents

GROUP_OF_CELL = np.array([group_of(cell.condition) for cell in CELLS.values()])


@dataclass(frozen=True)
class Maker:
    """How a member comes by its predictions."""

    noise: float
    """Standard deviation of what it sees of a cell's latent narrowing; infinity sees nothing and says the prior."""
    temperature: float = 1.0
    """Below 1 it is too sure."""
    group: str | None = None
    """The only group that it predicts; None predicts all."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """Members of studies 1 ... N, with the tables that they would come from."""

    members: Members
    labels: pd.DataFrame
    folds: pd.DataFrame
    truth: Truth

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Each member's table in submission format."""
        pairs = zip(self.members.names, self.members.probabilities, strict=True)
        return {name: tabulate(values, self.members.study_ids) for name, values in pairs}


def simulate(makers: dict[str, Maker], studies: int, folds: int, seed: int) -> Simulation:
    """Draws studies, their grades and what each member says of them."""
    rng = np.random.default_rng(seed)
    latents = np.array([draw_latents(rng) for _ in range(studies)])
    grades = np.array([draw_grades(rng, latent) for latent in latents])
    study_ids = tuple(range(1, studies + 1))
    said = [_say(rng, latents, makers[name]) for name in sorted(makers)]
    fold_table = pd.DataFrame({"study_id": study_ids, "fold": rng.permutation(np.arange(studies) % folds)})
    labels = label_table(grades, study_ids)
    truth = gather_truth(labels, fold_table, study_ids)
    return Simulation(Members(tuple(sorted(makers)), study_ids, np.array(said)), labels, fold_table, truth)


def _say(rng: np.random.Generator, latents: np.ndarray, maker: Maker) -> np.ndarray:
    """The best answer (studies, 25, 3) to the weighted loss of one who sees noisy latents, made more or less sure."""
    seen = latents + maker.noise * rng.normal(size=latents.shape) if np.isfinite(maker.noise) else 0 * latents
    trust = 1 / (1 + maker.noise**2)
    deviation = np.sqrt(1 - trust + RATER_DEVIATION**2)
    above = norm.cdf(((seen * trust)[..., None] - CELL_CUTS) / deviation)
    shares = np.stack([1 - above[..., 0], above[..., 0] - above[..., 1], above[..., 1]], axis=-1)
    said = softmax(np.log(np.maximum(shares * GRADE_WEIGHTS, 1e-9)) / maker.temperature, axis=-1)
    if maker.group:
        said[:, maker.group != GROUP_OF_CELL] = np.nan
    return said


def label_table(grades: np.ndarray, study_ids: tuple[int, ...]) -> pd.DataFrame:
    """Grades (studies, 25), -1 for none, as `data.competition.read_labels` gives them."""
    rows = [
        (study, cell.condition, cell.level, group_of(cell.condition), f"{study}_{cell.column}", grade)
        for study, of_study in zip(study_ids, grades.tolist(), strict=True)
        for cell, grade in zip(CELLS.values(), of_study, strict=True)
        if grade >= 0
    ]
    return pd.DataFrame(rows, columns=["study_id", "condition", "level", "group", "row_id", "grade"])


def draw_by_weights(rng: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """Grades drawn so that `logits` (cells, 3) are the best answer to the weighted loss."""
    chances = softmax(log_softmax(logits, axis=-1) - np.log(GRADE_WEIGHTS), axis=-1)
    return (rng.random(len(chances))[:, None] > chances.cumsum(axis=-1)).sum(axis=-1)
