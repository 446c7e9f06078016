"""What a competition's tables hold, counted: conditions, levels, grades, series, and what is missing."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.data.competition import Competition
from lumbar.data.points import KEY, SLICE
from lumbar.data.tables import write_table
from lumbar.export.tables import GRADE_TITLES
from lumbar.labels import CONDITIONS, LEVELS, SERIES_DESCRIPTIONS, level_title, title
from lumbar.records import align, write_text

Tables = Mapping[str, pd.DataFrame]
"""Each table by its name, which is also that of its CSV; its first column names its rows."""
TITLES = {
    "contents": "What there is",
    "conditions": "Annotated points by condition",
    "levels": "Annotated points and labels by level",
    "grades": "Labels by grade",
    "cells": "Labels by condition, level and grade",
    "missing": "Cells without a label, and labels and annotated points without each other",
    "series": "Series by description",
    "series_per_study": "Studies with so many series",
}


def explore_tables(competition: Competition) -> Tables:
    """The tables of `TITLES`, from the training part's three CSV files; `share` is in per cent."""
    series, pairs = competition.series("train"), _pair(competition)
    return {
        "contents": _contents(competition, series),
        "conditions": _conditions(competition.coordinates),
        "levels": _levels(pairs),
        "grades": _grades(competition.labels),
        "cells": _cells(competition, pairs),
        "missing": _missing(competition, pairs),
        "series": _series(competition, series),
        "series_per_study": _series_per_study(competition, series),
    }


def _pair(competition: Competition) -> pd.DataFrame:
    """Every cell with a label or an annotated point: the `KEY`, its grade and its x, NaN where it lacks the one."""
    labels, points = competition.labels[[*KEY, "grade"]], competition.coordinates[[*KEY, "x"]]
    return labels.merge(points, on=KEY, how="outer")


def _contents(competition: Competition, series: pd.DataFrame) -> pd.DataFrame:
    studies, points = competition.study_ids, competition.coordinates
    counts = {
        "studies": len(studies),
        "studies with an annotated point": points["study_id"].nunique(),
        "series": len(series),
        "series with an annotated point": points["series_id"].nunique(),
        "images with an annotated point": len(points[SLICE].drop_duplicates()),
        "cells": len(studies) * len(CONDITIONS) * len(LEVELS),
        "labels": len(competition.labels),
        "annotated points": len(points),
    }
    return pd.DataFrame(counts.items(), columns=["what", "count"])


def _with_share(names: str, counts: Mapping[str, int], counted: str) -> pd.DataFrame:
    table = pd.DataFrame(counts.items(), columns=[names, counted])
    return table.assign(share=100 * table[counted] / max(table[counted].sum(), 1))


def _conditions(points: pd.DataFrame) -> pd.DataFrame:
    counts = points["condition"].value_counts()
    return _with_share("condition", {title(name): int(counts.get(name, 0)) for name in CONDITIONS}, "points")


def _grades(labels: pd.DataFrame) -> pd.DataFrame:
    counts = labels["grade"].value_counts()
    return _with_share("grade", {name: int(counts.get(grade, 0)) for grade, name in GRADE_TITLES.items()}, "labels")


def _count_grades(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """A row for each value of `by`: labels of each grade, and annotated points."""
    rows = pairs.assign(**{name: pairs["grade"] == grade for grade, name in GRADE_TITLES.items()})
    return rows.assign(points=rows["x"].notna()).groupby(by)[[*GRADE_TITLES.values(), "points"]].sum()


def _levels(pairs: pd.DataFrame) -> pd.DataFrame:
    counts = _count_grades(pairs, ["level"]).reindex(list(LEVELS), fill_value=0)
    return counts.assign(level=list(map(level_title, LEVELS)))[["level", "points", *GRADE_TITLES.values()]]


def _cells(competition: Competition, pairs: pd.DataFrame) -> pd.DataFrame:
    names = [(condition, level) for condition in CONDITIONS for level in LEVELS]
    counts = _count_grades(pairs, ["condition", "level"]).reindex(names, fill_value=0).reset_index()
    labelled = counts[list(GRADE_TITLES.values())].sum(axis=1)
    counts.insert(counts.columns.get_loc("points"), "no_label", len(competition.study_ids) - labelled)
    return counts.assign(condition=counts["condition"].map(title), level=counts["level"].map(level_title))


def _missing(competition: Competition, pairs: pd.DataFrame) -> pd.DataFrame:
    is_labelled, is_pointed = pairs["grade"].notna(), pairs["x"].notna()
    marks = pd.DataFrame(
        {
            "condition": pairs["condition"],
            "labelled": is_labelled,
            "label_without_point": is_labelled & ~is_pointed,
            "point_without_label": is_pointed & ~is_labelled,
        }
    )
    counts = marks.groupby("condition").sum().reindex(list(CONDITIONS), fill_value=0)
    cells = len(competition.study_ids) * len(LEVELS)
    counts.insert(0, "no_label", cells - counts.pop("labelled"))
    counts.loc["all"] = counts.sum()
    return counts.rename(index=title).rename_axis("condition").reset_index()


def _series(competition: Competition, series: pd.DataFrame) -> pd.DataFrame:
    kinds = series.groupby("series_description")["study_id"].agg(["size", "nunique"])
    kinds = kinds.reindex(list(SERIES_DESCRIPTIONS), fill_value=0)
    return pd.DataFrame(
        {
            "series_description": kinds.index,
            "series": kinds["size"].to_numpy(),
            "studies": kinds["nunique"].to_numpy(),
            "studies_without": len(competition.study_ids) - kinds["nunique"].to_numpy(),
        }
    )


def _series_per_study(competition: Competition, series: pd.DataFrame) -> pd.DataFrame:
    studies = pd.Index(competition.study_ids)
    of = {"all": series, **dict(list(series.groupby("series_description")))}
    counts = {
        name: of[name].groupby("study_id").size().reindex(studies, fill_value=0) if name in of else studies.map(int) * 0
        for name in ("all", *SERIES_DESCRIPTIONS)
    }
    most = max(int(np.max(count)) for count in counts.values())
    return pd.DataFrame(
        {"series": range(most + 1)} | {name: np.bincount(count, minlength=most + 1) for name, count in counts.items()}
    )


def format_tables(tables: Tables) -> str:
    """All tables as text, each below its title."""
    return "\n\n".join("\n".join([TITLES[name], *_format(table)]) for name, table in tables.items())


def _format(table: pd.DataFrame) -> list[str]:
    words = {number for number, name in enumerate(table.columns) if table[name].dtype == object}
    rows = [[_text(value) for value in row] for row in table.astype(object).itertuples(index=False)]
    return align([[name.replace("_", " ") for name in table.columns], *rows], left=words)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f} %"
    return value if isinstance(value, str) else f"{value:,}"


def write_tables(tables: Tables, out: Path) -> None:
    """Writes the text as `explore.txt`, and each table as a CSV of its name."""
    write_text(format_tables(tables) + "\n", out / "explore.txt")
    for name, table in tables.items():
        write_table(table, out / f"{name}.csv")
