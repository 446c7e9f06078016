"""One study from a bare folder of DICOM files: what it holds, its levels, and its 25 grades."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbar.data.priors import PRIOR_FILE, read_prior
from lumbar.data.problems import Problem, Problems
from lumbar.data.rows import complete_rows
from lumbar.data.studies import Study, gather_study
from lumbar.errors import InputError
from lumbar.labels import (
    CELLS,
    CONDITIONS,
    GRADES,
    LEVELS,
    SERIES_DESCRIPTIONS,
    finding,
    level_title,
    plane_of,
    row_ids,
    sequence_of,
)
from lumbar.mri.inventory import FoundSeries, find_series
from lumbar.mri.series import read_files
from lumbar.records import align
from lumbar.submit.cards import are_of_phantom
from lumbar.submit.chain import explain_gaps, load_models, predict_study

DOUBTFUL = 0.15
"""Below this mean confidence the levels may be none: a detector that is sure of a spine has .5 and more."""
STUDY_ID = re.compile(r"[0-9]{1,18}")
"""A folder's name that can be a study's id; a study in any other has the id 0."""


ON_PHANTOM = "the models were trained on synthetic images: what they say of a real patient means nothing"


class StudyError(InputError):
    """A folder that holds no lumbar spine to grade; the message says what it does hold."""


@dataclass(frozen=True, eq=False)
class GradedStudy:
    """What was found and said of one study."""

    study_id: int
    series: tuple[FoundSeries, ...]
    """Every series of the folder, used or not."""
    study: Study
    points: pd.DataFrame
    """The points of the chain that is surest of them, see `data.points`."""
    grades: pd.DataFrame
    """The 25 cells: condition, level, the three probabilities, `grade` (the likeliest one's name) and `reason`, which
    says why a cell has the prior instead of a grader's answer, and is empty where it does not."""
    problems: tuple[Problem, ...]
    models: str
    """Which models graded it, in a few words."""
    by_phantom: bool
    """Whether the models were trained on synthetic images."""

    @property
    def sentences(self) -> list[str]:
        """The findings that are not normal or mild, as sentences, the gravest and surest first."""
        found = self.grades[(self.grades["grade"] != GRADES[0]) & (self.grades["reason"] == "")]
        order = sorted(found.itertuples(), key=lambda row: (-GRADES.index(row.grade), -getattr(row, row.grade)))
        return [_sentence(row) for row in order]

    @property
    def graded(self) -> int:
        """How many of the 25 cells have a grader's answer."""
        return int((self.grades["reason"] == "").sum())

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before the grades."""
        said = [ON_PHANTOM] if self.by_phantom else []
        said += [f"{problem.message} (instead: {problem.instead})" for problem in self.problems if problem.is_harmful]
        missing = [kind for kind in SERIES_DESCRIPTIONS if kind not in self.study]
        said += [f"there is no readable {kind} series" for kind in missing]
        confidence = float(self.points["confidence"].mean()) if len(self.points) else 0.0
        if confidence < DOUBTFUL:
            said.append(f"the levels are in doubt (mean confidence {confidence:.2f}): is this a lumbar spine?")
        return said


def _sentence(row: Any) -> str:
    words = finding(row.condition, row.level, row.grade)
    return f"{words[0].upper()}{words[1:]} ({100 * getattr(row, row.grade):.0f} %)"


def grade_folder(folder: Path, models: Path) -> GradedStudy:
    """Reads and grades the study in a folder; `models` is a run's `models` folder, or a bundle's, or what holds one.

    Raises StudyError where no series of it can be graded, and InputError where there are no models.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder}: is no folder; expected one that holds a study's DICOM files")
    models = find_models(models)
    name = folder.resolve().name
    study_id = int(name) if STUDY_ID.fullmatch(name) else 0
    series, problems = find_series(folder), Problems()
    firsts = _first_files(series)
    if len(firsts) > 1:
        raise StudyError(f"{folder}: holds {len(firsts)} studies, with {', '.join(firsts)}; name the folder of one")
    study = _read(folder, study_id, series, problems)
    if not study:
        held = "".join(f"\n  {found.line}" for found in series) or "\n  no DICOM image"
        raise StudyError(f"{folder}: there is no sagittal or axial series of a lumbar spine to grade. It holds{held}")
    loaded = load_models(models)
    graded, points = predict_study(loaded, loaded.chains, study_id, study, problems)
    gaps = explain_gaps(loaded, loaded.chains, study_id, study, graded, problems)
    floor, prior = loaded.config.submit.floor, read_prior(models / PRIOR_FILE)
    return GradedStudy(
        study_id=study_id,
        series=tuple(series),
        study=study,
        points=max(points, key=lambda table: table["confidence"].sum()),
        grades=_tabulate(study_id, complete_rows(graded, row_ids([study_id]), prior, floor).predictions, gaps),
        problems=tuple(problems.found),
        models=f"{loaded.config.name}, {len(loaded.chains)} folds",
        by_phantom=are_of_phantom(models),
    )


def _first_files(series: Sequence[FoundSeries]) -> list[str]:
    """A file of each study that a folder's series belong to."""
    firsts: dict[str, str] = {}
    for found in sorted(series, key=lambda found: found.files[0]):
        if found.description:
            firsts.setdefault(found.study, found.files[0])
    return list(firsts.values())


def find_models(folder: Path) -> Path:
    """The folder of models that is meant: itself, or the one in a run's folder or a bundle."""
    for models in (folder, folder / "models"):
        if (models / "config.json").is_file():
            return models
    raise InputError(f"{folder}: there are no models; a run's lie in runs/<name>/models (make cv)")


def _read(folder: Path, study_id: int, series: Sequence[FoundSeries], problems: Problems) -> Study:
    readers = (
        (kind, partial(read_files, folder, found.files, number, plane_of(kind), sequence_of(kind)))
        for number, found in enumerate(series, start=1)
        if (kind := found.description) is not None
    )
    return gather_study(study_id, readers, problems)


def _tabulate(study_id: int, rows: pd.DataFrame, gaps: dict[str, str]) -> pd.DataFrame:
    shares = rows[list(GRADES)].to_numpy()
    table = pd.DataFrame([(cell.condition, cell.level) for cell in CELLS.values()], columns=["condition", "level"])
    table[list(GRADES)] = shares
    return table.assign(
        row_id=row_ids([study_id]),
        grade=[GRADES[index] for index in np.argmax(shares, axis=1)],
        reason=[gaps.get(column, "") for column in CELLS],
    )


def format_study(graded: GradedStudy) -> str:
    """The grades as a text table, and the findings in words; an asterisk marks what is only the prior."""
    cells = {(row.condition, row.level): row for row in graded.grades.itertuples()}
    rows = [("", *map(level_title, LEVELS))]
    for condition in CONDITIONS:
        words = (_cell_words(cells[condition, level]) for level in LEVELS)
        rows.append((condition.replace("_", " ").capitalize(), *words))
    lines = [found.line for found in graded.series] + [f"warning: {warning}" for warning in graded.warnings]
    lines += ["", *align(rows, left=[0])]
    if graded.graded < len(cells):
        lines += ["* no grader's answer, but the prior: how frequent each grade is in all studies"]
    lines += ["", *(graded.sentences or [_no_finding(graded.graded)])]
    return "\n".join(lines)


def _no_finding(graded: int) -> str:
    if not graded:
        return "nothing could be graded: all 25 cells are the prior"
    return f"no finding: all {graded} graded cells are most likely normal or mild"


def _cell_words(row: Any) -> str:
    return f"{row.grade.partition('_')[0]} {getattr(row, row.grade):.2f}{'*' if row.reason else ''}"
