"""Annotations joined with their labels and series, in the competition's spelling: a row for each annotated point."""

from pathlib import Path

import pandas as pd

from lumbar.data.competition import Competition
from lumbar.data.points import KEY
from lumbar.data.tables import write_table
from lumbar.labels import GRADES, grade_title, level_title, title

PLACE = ["study_id", "series_id", "instance_number"]
MASTER = [*PLACE, "condition", "level", "x", "y", "series_description", "severity"]
ANNOTATIONS = [*PLACE, "path", "series_description", "condition", "level", "x", "y", "label"]
GRADE_TITLES = {number: grade_title(grade) for number, grade in enumerate(GRADES)}
"""What the competition calls each grade, by its number."""


def join_annotations(competition: Competition) -> pd.DataFrame:
    """`Competition.coordinates` with series_description and grade, NaN where the other tables have none."""
    series = competition.series("train").drop_duplicates(["study_id", "series_id"])
    rows = competition.coordinates.merge(series, on=["study_id", "series_id"], how="left")
    return rows.merge(competition.labels[[*KEY, "grade"]], on=KEY, how="left")


def master_table(competition: Competition) -> pd.DataFrame:
    """The `MASTER` columns of every annotated point; `severity` is the label, empty where there is none."""
    rows = join_annotations(competition)
    return _spelled(rows).assign(severity=rows["grade"].map(GRADE_TITLES))[MASTER]


def annotation_table(competition: Competition) -> pd.DataFrame:
    """The `ANNOTATIONS` columns of every annotated point; `path` is where the competition has its file, relative to the
    data folder, and `label` the grade, empty where there is none."""
    rows = join_annotations(competition)
    paths = [_path_of(competition, *place) for place in rows[PLACE].itertuples(index=False)]
    return _spelled(rows).assign(path=paths, label=rows["grade"].map(GRADE_TITLES))[ANNOTATIONS]


def _path_of(competition: Competition, study_id: int, series_id: int, instance_number: int) -> str:
    file = competition.series_directory("train", study_id, series_id) / f"{instance_number}.dcm"
    return file.relative_to(competition.root).as_posix()


def _spelled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(condition=rows["condition"].map(title), level=rows["level"].map(level_title))


def export_master(competition: Competition, out: Path) -> list[str]:
    """Writes `master.csv`; returns what is to be said of it."""
    table = master_table(competition)
    write_table(table, out / "master.csv")
    unlabelled = int(table["severity"].isna().sum())
    labelled = len(table) - unlabelled
    return [
        f"{len(table):,} annotated points, {unlabelled:,} of them without a label",
        f"{len(competition.labels) - labelled:,} labels have no annotated point, and no row",
    ]


def export_annotations(competition: Competition, out: Path) -> list[str]:
    """Writes `annotations.csv`; returns what is to be said of it."""
    table = annotation_table(competition)
    write_table(table, out / "annotations.csv")
    paths = table["path"].drop_duplicates()
    absent = sum(not (competition.root / path).is_file() for path in paths)
    return [f"{len(table):,} annotated points on {len(paths):,} images, of which {absent:,} are not there"]
