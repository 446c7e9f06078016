"""What went wrong with a study, and the one place where its errors are caught."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

HARMLESS = "nothing, it does no harm"
"""What is used in place of something odd that nothing is lost by."""
GPU_ERROR = re.compile(r"CUDA error|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS")
"""What torch says where a GPU has failed. Memory that does not suffice is told otherwise, and costs a study only."""


@dataclass(frozen=True)
class Problem:
    """Something that a stage could not use, and what it took in its place; a table's problem has no study."""

    study_id: int | None
    stage: str
    message: str
    instead: str = "went on without it"

    @property
    def is_harmful(self) -> bool:
        """Whether anything was lost by it."""
        return self.instead != HARMLESS


@dataclass
class Problems:
    """The problems of some studies. `strict` lets an error through instead of noting it."""

    strict: bool = False
    found: list[Problem] = field(default_factory=list)

    def note(self, study_id: int | None, stage: str, message: str, instead: str = Problem.instead) -> None:
        """Keeps a problem that a reader has noticed and dealt with; one that is known already is kept once."""
        problem = Problem(study_id, stage, message, instead)
        if problem not in self.found:
            self.found.append(problem)

    @contextmanager
    def survive(self, study_id: int | None, stage: str, instead: str) -> Iterator[None]:
        """Notes an error of what runs inside, and goes on behind it: one strange study must not cost the others.

        A GPU's is raised: after it, this process can do nothing on that GPU for any study.
        """
        try:
            yield
        except Exception as error:
            if self.strict or is_gpus_fault(error):
                raise
            self.note(study_id, stage, f"{type(error).__name__}: {error}", instead)


def is_gpus_fault(error: BaseException) -> bool:
    """Whether a GPU has failed, and with it all that its process may still ask of it."""
    return isinstance(error, RuntimeError) and bool(GPU_ERROR.search(str(error)))


def problem_table(problems: Iterable[Problem]) -> pd.DataFrame:
    """study_id, stage, message, instead."""
    columns = ["study_id", "stage", "message", "instead"]
    table = pd.DataFrame([asdict(problem) for problem in problems], columns=columns)
    return table.astype({"study_id": "Int64"})


def read_problems(path: Path) -> list[Problem]:
    """The problems that a `problem_table` holds, as it was written."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    return [Problem(**row | {"study_id": int(row["study_id"]) if row["study_id"] else None}) for row in rows]
