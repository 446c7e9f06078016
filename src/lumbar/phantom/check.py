"""Whether the phantom's labels hang together as the real ones do, and what that makes of a reader's error."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, norm

from lumbar.data.priors import nested_prior
from lumbar.labels import CELLS, CONDITIONS, GRADES, LEVELS, SEVERE, Cell, group_of, row_id
from lumbar.metric import score_losses, study_losses
from lumbar.phantom.grades import answer_readings, best_answer, draw_grades, draw_latents
from lumbar.records import align, figure

Array = NDArray[np.float64]

READING_ERRORS = (0.25, 0.4, 0.6)
"""Errors of a reader, in units of the latent, of which the excess is told."""


@dataclass(frozen=True)
class Relation:
    """Pairs of cells whose labels are compared, and the correlation of the real ones."""

    name: str
    groups: tuple[str, str]
    levels_apart: int
    same_side: bool
    real: float
    """Tetrachoric, normal or mild against worse, of the competition's `train.csv`."""

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The columns of the cells that are compared."""
        for upper, lower in product(CELLS.values(), CELLS.values()):
            apart = LEVELS.index(lower.level) - LEVELS.index(upper.level)
            if apart == self.levels_apart and self._relates(upper, lower):
                yield upper.column, lower.column

    def _relates(self, upper: Cell, lower: Cell) -> bool:
        if (group_of(upper.condition), group_of(lower.condition)) != self.groups or upper == lower:
            return False
        sides = CONDITIONS[upper.condition].side, CONDITIONS[lower.condition].side
        return None in sides or (sides[0] == sides[1]) == self.same_side


RELATIONS = (
    Relation("canal and recess of a level", ("spinal", "subarticular"), 0, True, 0.77),
    Relation("canal and the next level's", ("spinal", "spinal"), 1, True, 0.63),
    Relation("foramen and the next level's on its side", ("foraminal", "foraminal"), 1, True, 0.64),
    Relation("recess and the next level's on its side", ("subarticular", "subarticular"), 1, True, 0.64),
    Relation("left and right foramen of a level", ("foraminal", "foraminal"), 0, False, 0.52),
    Relation("left and right recess of a level", ("subarticular", "subarticular"), 0, False, 0.67),
    Relation("canal and foramen of a level", ("spinal", "foraminal"), 0, True, 0.49),
    Relation("foramen and recess of a level and side", ("foraminal", "subarticular"), 0, True, 0.54),
    Relation("canal and that two levels below", ("spinal", "spinal"), 2, True, 0.45),
)
"""What is compared. Another estimate of the first four has .80, .67, .64 and .65: taken pair by pair, not together."""


def tetrachoric(grades: pd.DataFrame, relation: Relation) -> float:
    """The likeliest correlation of two normals below the labels of a relation's pairs, each cut at its own share.

    `grades` has a column for each cell, 0 to 2 and NaN. A pair one of whose cells is never, or always, worse than mild
    says nothing and is left out; NaN where none is left.
    """
    tables = [_cross_table(grades[upper], grades[lower]) for upper, lower in relation.pairs()]
    tables = [(counts, cuts) for counts, cuts in tables if np.isfinite(cuts).all()]
    if not tables:
        return float("nan")

    def unlikelihood(correlation: float) -> float:
        return -sum(float((counts * np.log(_shares(cuts, correlation))).sum()) for counts, cuts in tables)

    return float(minimize_scalar(unlikelihood, bounds=(-0.99, 0.99), method="bounded").x)


def _cross_table(first: pd.Series, second: pd.Series) -> tuple[Array, tuple[float, float]]:
    """Counts (2, 2) of both worse than mild, only the first, only the second and neither; and both shares' cuts."""
    known = first.notna() & second.notna()
    a, b = first[known].to_numpy() >= 1, second[known].to_numpy() >= 1
    counts = np.array([[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]], dtype=np.float64)
    total = max(counts.sum(), 1.0)
    return counts, (float(norm.ppf(a.sum() / total)), float(norm.ppf(b.sum() / total)))


def _shares(cuts: tuple[float, float], correlation: float) -> Array:
    both = multivariate_normal.cdf(cuts, cov=[[1, correlation], [correlation, 1]])
    first, second = norm.cdf(cuts)
    return np.clip([[both, first - both], [second - both, 1 - first - second + both]], 1e-12, 1)


@dataclass(frozen=True, eq=False)
class Simulated:
    """Labels without images: latents (studies, 25), and the raters' grades (studies, 25)."""

    latents: Array
    grades: NDArray[np.int64]

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The grades as `data.competition.read_labels` has them; a study's id is its number."""
        cells = [(study, cell) for study in range(len(self.grades)) for cell in CELLS.values()]
        table = pd.DataFrame([(study, cell.condition, cell.level) for study, cell in cells])
        table.columns = pd.Index(["study_id", "condition", "level"])
        ids = [row_id(study, cell.condition, cell.level) for study, cell in cells]
        groups = [group_of(cell.condition) for _, cell in cells]
        return table.assign(group=groups, row_id=ids, grade=self.grades.ravel())

    def score(self, answers: Array) -> float:
        """The metric of answers (studies, 25, 3)."""
        rows = pd.DataFrame(answers.reshape(-1, len(GRADES)), columns=list(GRADES))
        return self.score_table(rows.assign(row_id=self.labels["row_id"]))

    def score_table(self, predictions: pd.DataFrame) -> float:
        """The metric of a table in submission format."""
        return float(score_losses(study_losses(self.labels, predictions)).score)

    @cached_property
    def prior_score(self) -> float:
        """Of the weighted prior of the other folds."""
        folds = pd.DataFrame({"study_id": np.arange(len(self.grades))})
        return self.score_table(nested_prior(self.labels, folds.assign(fold=folds["study_id"] % 5)))

    @property
    def severe_canals(self) -> float:
        """The share of studies with a severe canal."""
        canal = [place for place, cell in enumerate(CELLS.values()) if group_of(cell.condition) == "spinal"]
        return float((self.grades[:, canal] == SEVERE).any(axis=1).mean())


def simulate_labels(studies: int, seed: int) -> Simulated:
    """So many studies of the label model."""
    rng = np.random.default_rng(seed)
    latents = np.stack([draw_latents(rng) for _ in range(studies)])
    return Simulated(latents, np.stack([draw_grades(rng, each) for each in latents]))


def widen(labels: pd.DataFrame) -> pd.DataFrame:
    """`data.competition.read_labels` with a row for each study and a column for each cell, NaN without a grade."""
    column = labels["condition"] + "_" + labels["level"]
    wide = labels.assign(column=column).pivot_table("grade", "study_id", "column")
    return wide.reindex(columns=list(CELLS))


def describe_labels(real: pd.DataFrame | None = None, studies: int = 4000) -> str:
    """Tables of correlations, real beside phantom, and of what a reader's error costs.

    `real` is `widen` of real labels; without it the real figures are those measured on the competition's.
    """
    simulated = simulate_labels(studies, seed=0)
    lines = _correlations(widen(simulated.labels), real)
    oracle = simulated.score(best_answer(simulated.latents))
    return "\n".join(
        [
            *lines,
            "",
            f"prior {simulated.prior_score:.3f} (real .792), oracle {oracle:.3f}; "
            f"{simulated.severe_canals:.1%} of studies have a severe canal (real 18.5 %)",
            "",
            "excess of the best reader who errs so far, in deviations of the narrowing",
            *_reading_table(simulated, oracle),
        ]
    )


def _correlations(phantom: pd.DataFrame, real: pd.DataFrame | None) -> list[str]:
    rows = [("correlation of labels", "real", "phantom")]
    for relation in RELATIONS:
        measured = relation.real if real is None else tetrachoric(real, relation)
        rows.append((relation.name, figure(measured, 2), figure(tetrachoric(phantom, relation), 2)))
    return align(rows, left={0})


def _reading_table(simulated: Simulated, oracle: float) -> list[str]:
    rng = np.random.default_rng(1)
    rows = [("error", "by the cell", "by the study")]
    for error in READING_ERRORS:
        readings = simulated.latents + rng.normal(0.0, error, simulated.latents.shape)
        scores = [simulated.score(answer_readings(readings, error, by_study=whole)) for whole in (False, True)]
        excess = [(score - oracle) / (simulated.prior_score - oracle) for score in scores]
        rows.append((f"{error}", f"{excess[0]:.3f}", f"{excess[1]:.3f}"))
    return align(rows)
