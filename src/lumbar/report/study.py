"""One study on one page, from a bare folder: its findings, its levels on its series, and its 25 grades."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.data.points import KEY, PATIENT
from lumbar.data.studies import Study
from lumbar.labels import CONDITIONS, GRADES, GROUPS
from lumbar.mri.series import Series
from lumbar.records import write_text
from lumbar.report.page import set_page
from lumbar.report.studies import show_studies
from lumbar.submit.single import GradedStudy


class StudyScans:
    """One study's series, as `slices.Scans` gives a competition's."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def of_kind(self, _: int, group: str) -> list[Series]:
        """The readable series of the type that a group is seen on."""
        return self.study.get(GROUPS[group].series_description, [])

    def annotated(self, _: int, conditions: Collection[str] = CONDITIONS) -> pd.DataFrame:
        """No point: nobody has annotated the study."""
        return pd.DataFrame(columns=[*KEY, *PATIENT])


def write_study_page(graded: GradedStudy, name: str, path: Path) -> None:
    """Writes the page; `name` is what it calls the study."""
    cells = graded.grades.assign(
        study_id=graded.study_id,
        fold=0,
        predicted=[GRADES.index(grade) for grade in graded.grades["grade"]],
        graded=graded.grades["reason"] == "",
        **dict.fromkeys(("weight", "loss", "prior_loss"), np.nan),
    ).assign(grade=np.nan)
    (page,) = show_studies(StudyScans(graded.study), [(graded.study_id, "")], cells, graded.points)
    context = {
        "name": name,
        "page": page,
        "series": graded.series,
        "used": [found for found in graded.series if found.description],
        "models": graded.models,
        "graded": graded.graded,
        "sentences": graded.sentences,
        "warnings": graded.warnings,
    }
    write_text(set_page("study.html", context), path)
