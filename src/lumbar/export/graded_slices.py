"""The annotated slices of one condition as PNG files, in a folder for each grade."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lumbar.data.annotations import annotated_images
from lumbar.data.competition import Competition
from lumbar.data.points import KEY
from lumbar.data.problems import Problems, problem_table
from lumbar.data.studies import Study, map_studies, series_by_id
from lumbar.data.tables import write_table
from lumbar.errors import InputError
from lumbar.export.tables import GRADE_TITLES, join_annotations
from lumbar.labels import CONDITIONS, GRADES
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, Slice
from lumbar.records import align, write_json
from lumbar.run.remarks import remarks_on

FOLDERS = tuple(name.replace("/", "_") for name in GRADE_TITLES.values())
"""`Normal_Mild`, `Moderate` and `Severe`."""
COLUMNS = ["file", *KEY, "series_id", "instance_number", "grade"]
Written = list[tuple[object, ...]]
"""A row with the `COLUMNS` of each picture."""


def export_png(
    competition: Competition, condition: str, out: Path, field_mm: float | None = None, jobs: int = -1
) -> list[str]:
    """Writes a picture for each annotated level with a grade, `label_map.json`, `samples.csv`, `counts.csv` and
    `problems.csv`; returns what is to be said of it.

    A picture is the whole slice in its own pixels, or the square of `field_mm` around the point.
    """
    if condition not in CONDITIONS:
        raise InputError(f"condition '{condition}': expected one of {', '.join(CONDITIONS)}")
    rows = join_annotations(competition)
    rows = rows[(rows["condition"] == condition) & rows["grade"].notna()].astype({"grade": "int64"})
    for folder in FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
    given = dict(list(rows.groupby("study_id")))
    work, wanted = partial(_draw_study, out, field_mm), set(rows["series_id"])
    done = list(map_studies(competition, "train", list(given), work, "slices", only=wanted, given=given, jobs=jobs))
    samples = pd.DataFrame([row for result in done for row in result.value], columns=COLUMNS)
    problems = [problem for result in done for problem in result.problems]
    labels = competition.labels
    counts = count_grades(labels.loc[labels["condition"] == condition, "grade"], samples["grade"])
    write_json({folder: number for number, folder in enumerate(FOLDERS)}, out / "label_map.json")
    write_table(samples, out / "samples.csv")
    write_table(counts, out / "counts.csv")
    write_table(problem_table(problems), out / "problems.csv")
    shown = [list(counts.columns), *([row[0], *(f"{count:,}" for count in row[1:])] for row in counts.to_numpy())]
    return [*align(shown, left={0}), *remarks_on(problems)]


def count_grades(before: pd.Series, after: pd.Series) -> pd.DataFrame:
    """How many of each grade (0, 1, 2) are labelled, `before`, and written, `after`; by the name of its folder."""
    counts = {
        name: [int((grades == number).sum()) for number in range(len(GRADES))]
        for name, grades in {"before": before, "after": after}.items()
    }
    return pd.DataFrame({"grade": FOLDERS, **counts})


def _draw_study(
    out: Path, field_mm: float | None, study_id: int, study: Study, problems: Problems, given: pd.DataFrame
) -> Written:
    written: Written = []
    for row, stack, image in annotated_images(given, series_by_id(study), problems):
        name = f"{study_id}_{row.series_id}_{row.instance_number}_{row.level}.png"
        file = Path(FOLDERS[row.grade], name)
        Image.fromarray(_pixels(stack, image, row, field_mm)).save(out / file)
        key = (getattr(row, column) for column in COLUMNS[1:])
        written.append((file.as_posix(), *key))
    return written


def _pixels(series: Series, image: Slice, row: Any, field_mm: float | None) -> NDArray[np.uint8]:
    """The windowed slice (rows, columns), or the square around a row's point, at the slice's own resolution."""
    if field_mm is None:
        return series.windowed(image)
    mm_per_pixel = min(image.plane.x_spacing, image.plane.y_spacing)
    point = image.plane.to_patient(np.array([row.x, row.y], dtype=np.float64))
    return sample_square(series, image, point, max(1, round(field_mm / mm_per_pixel)), mm_per_pixel)[0]
