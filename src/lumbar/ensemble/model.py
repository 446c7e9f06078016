"""A fitted ensemble as plain numbers: what it consists of, and its JSON file, which is read without executing anything.

For every cell

    logits = log(pool) / temperature + bias[level] + sum over terms of coefficients x (value - centre)

and the grades' probabilities are their softmax; then the odds of the study's largest severe canal are multiplied by
`any_severe_lift`. The plain mean of the members is the same formula with equal weights, temperature 1 and nothing else.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from lumbar.ensemble.members import Place
from lumbar.errors import InputError
from lumbar.labels import GRADES, GROUPS, LEVELS
from lumbar.records import Record, read_record

MODEL_FILE = "ensemble.json"
POOL = "pool"
"""The name of a term's source that is the group's pool rather than one member."""

Measure = Literal["moderate", "severe", "expected_grade", "spread_moderate", "spread_severe"]
GradeNumbers = tuple[float, float, float]


class EnsembleModelError(InputError):
    """A file that is no ensemble of this version; the message names the file and the key."""


class FiniteRecord(Record):
    """A part of an ensemble, whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class Source(FiniteRecord):
    """A number that can be read off a study's predictions, for each cell of a group."""

    member: str
    """A member's name, or `pool`: the pool of the group's members."""
    group: str
    """The condition group that is looked at."""
    place: Place
    """Where it is looked at, from the cell that is predicted."""
    measure: Measure
    """What is looked at: a probability, moderate + 2 x severe, or how far members' log-odds spread."""


class Term(FiniteRecord):
    """What a source adds to the logits: coefficients x (value - centre); a value that is missing adds nothing."""

    source: Source
    centre: float
    coefficients: GradeNumbers


class GroupModel(FiniteRecord):
    """How a condition group's members become one prediction."""

    exponent: float = Field(ge=0, le=1)
    """The exponent of the power mean over a cell's members: 1 is the mean of probabilities, 0 of their logarithms."""
    weights: dict[str, Annotated[float, Field(ge=0)]]
    """Each member's weight; they sum to 1."""
    temperature: float = Field(gt=0)
    """Above 1 makes the pool less sure."""
    bias: dict[str, GradeNumbers]
    """What is added to the grades' logits, for each level."""
    terms: tuple[Term, ...]

    @field_validator("bias")
    @classmethod
    def _knows_the_levels(cls, bias: dict[str, GradeNumbers]) -> dict[str, GradeNumbers]:
        if tuple(bias) != LEVELS:
            raise ValueError(f"expected the levels {', '.join(LEVELS)}")
        return bias


class Trained(FiniteRecord):
    """What an ensemble was fitted on."""

    studies: int
    folds: tuple[int, ...]
    commit: str


class EnsembleModel(FiniteRecord):
    """A fitted ensemble; see the module's docstring for the formula."""

    version: Literal[1]
    grades: tuple[str, ...]
    """The order of all triples of numbers."""
    method: str
    """The method that cross-validation chose, by its name in `ensemble/methods.py`."""
    strength: float = Field(ge=0, le=1)
    """How far all numbers were taken from the plain mean's (0) to the fitted ones (1)."""
    any_severe_lift: float = Field(gt=0)
    groups: dict[str, GroupModel]
    trained: Trained

    @field_validator("grades")
    @classmethod
    def _knows_the_grades(cls, grades: tuple[str, ...]) -> tuple[str, ...]:
        if grades != GRADES:
            raise ValueError(f"expected the order {', '.join(GRADES)}")
        return grades

    @model_validator(mode="after")
    def _knows_its_groups_and_members(self) -> Self:
        for group, model in self.groups.items():
            if group not in GROUPS:
                raise ValueError(f"there is no group '{group}', only {', '.join(GROUPS)}")
            if abs(sum(model.weights.values()) - 1) > 1e-6:
                raise ValueError(f"expected the weights of {group} to sum to 1")
            for source in (term.source for term in model.terms):
                looked_at = self.groups.get(source.group)
                if looked_at is None or source.member not in (POOL, *looked_at.weights):
                    raise ValueError(f"a term of {group} looks at {source.member} of {source.group}: it is not there")
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members, sorted."""
        return tuple(sorted({name for model in self.groups.values() for name in model.weights}))


def read_model(path: Path) -> EnsembleModel:
    """Reads the JSON; EnsembleModelError for a key, a version or an order of grades that it should not have."""
    if not path.is_file():
        raise EnsembleModelError(f"{path}: there is no such ensemble")
    return read_record(path, EnsembleModel, error=EnsembleModelError)
