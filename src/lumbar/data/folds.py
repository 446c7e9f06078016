"""Cross-validation folds: made once from the labels, committed, and from then on only read."""

import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from lumbar.data.tables import TableError, integer, read_table
from lumbar.errors import InputError
from lumbar.labels import SEVERE

SHUFFLES = 12
"""The splitter is greedy and depends on the order of the studies, so the most even of several shuffles is kept."""


def make_folds(
    study_ids: list[int], labels: pd.DataFrame, annotated: Collection[int], count: int, seed: int
) -> pd.DataFrame:
    """Folds grouped by study and stratified over condition x level x grade, as a table of study_id and fold.

    `labels` is `data.competition.read_labels`; a study without labels counts as a class of its own, and so do the
    studies with `annotated` points, which are all that a detector learns from.
    """
    if count > len(study_ids):
        raise InputError(f"{count} folds need at least {count} studies, there are {len(study_ids)}")
    kinds = labels["row_id"].str.split("_", n=1).str[1] + "_" + labels["grade"].astype(str)
    rows = pd.DataFrame({"study_id": labels["study_id"], "kind": kinds})
    labelled, pointed = set(labels["study_id"]), set(annotated)
    marks = [(study, "unlabelled") for study in study_ids if study not in labelled]
    marks += [(study, "annotated") for study in study_ids if study in pointed]
    if pd.Series([*kinds, *(kind for _, kind in marks)]).value_counts().max() < count:
        marks += [(study, "any") for study in study_ids]  # the splitter refuses rows of which no kind fills the folds
    rows = pd.concat([rows, pd.DataFrame(marks, columns=["study_id", "kind"])], ignore_index=True)
    candidates = [_split(study_ids, rows, count, seed + shuffle) for shuffle in range(SHUFFLES)]
    return min(candidates, key=lambda folds: unevenness(folds, labels, pointed))


def _split(study_ids: list[int], rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    fold = pd.Series(-1, index=pd.Index(study_ids, name="study_id"), name="fold")
    with warnings.catch_warnings():
        # Rare kinds, such as a severe canal at L1/L2, have fewer cases than there are folds in a small data set.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for number, (_, test) in enumerate(splitter.split(np.zeros(len(rows)), rows["kind"], rows["study_id"])):
            fold.loc[rows["study_id"].iloc[test].unique()] = number
    return fold.reset_index()


def read_fold_file(path: Path) -> pd.DataFrame:
    """study_id and fold of every study in a fold file."""
    return read_table(path, [integer("study_id"), integer("fold")], unique=["study_id"])


def studies_of_fold(path: Path, fold: int, error: type[InputError] = TableError) -> list[int]:
    """The studies of one fold of a fold file; a fold that it does not have is an `error`."""
    table = read_fold_file(path)
    if fold not in set(table["fold"]):
        known = ", ".join(map(str, sorted(table["fold"].unique())))
        raise error(f"{path}: there is no fold {fold}, it has {known}")
    return table.loc[table["fold"] == fold, "study_id"].tolist()


def read_folds(path: Path, study_ids: list[int]) -> pd.DataFrame:
    """The folds of the given studies, in their order; a study that the file does not know is a TableError."""
    folds = read_fold_file(path)
    unknown = sorted(set(study_ids) - set(folds["study_id"]))
    if unknown:
        raise TableError(
            f"{path}: {len(unknown)} of the data set's {len(study_ids)} studies are not in it, the first: "
            f"{', '.join(map(str, unknown[:3]))}; was it made from another data set? (make folds writes it)"
        )
    return folds.set_index("study_id").loc[study_ids].reset_index()


def share_table(folds: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The share of each grade in a condition over its share in the whole: a row each, a column for each fold."""
    rows = labels.merge(folds, on="study_id")
    whole = rows.groupby("condition")["grade"].value_counts(normalize=True)
    by_fold = rows.groupby(["condition", "grade", "fold"]).size().unstack("fold", fill_value=0)  # noqa: PD010
    return by_fold.div(by_fold.groupby("condition").sum()).div(whole, axis=0)


def unevenness(folds: pd.DataFrame, labels: pd.DataFrame, annotated: Collection[int]) -> tuple[int, float, float]:
    """How uneven folds are, to be compared.

    First the folds without a severe canal, then the range of annotated studies over their mean (in tenths, since a
    study more or less does not matter), then the largest relative error of a grade's share in a condition.
    """
    severe = labels[(labels["group"] == "spinal") & (labels["grade"] == SEVERE)]
    without = folds["fold"].nunique() - folds[folds["study_id"].isin(severe["study_id"])]["fold"].nunique()
    counts = folds["study_id"].isin(annotated).groupby(folds["fold"]).sum()
    spread = round(float((counts.max() - counts.min()) / max(counts.mean(), 1)), 1)
    error = (share_table(folds, labels) - 1).abs().to_numpy()
    return without, spread, float(np.nanmax(error)) if np.isfinite(error).any() else 0.0


def find_folds(named: Path, root: Path, study_ids: list[int]) -> Path:
    """The fold file of a data set: `named` where that has its studies, else one that has just these.

    That may be `folds.csv` in the data set's own folder `root`, or any beside `named`. Where there is none it is one
    that is not there yet: `named`, or, where that is another data set's, one beside it that bears the folder's name.
    """
    if _has_studies(named, study_ids):
        return named
    others = [root / "folds.csv", *sorted(named.parent.glob("*.csv"))]
    own = named.with_name(f"{root.resolve().name}.csv") if named.is_file() else named
    return next((path for path in others if _has_studies(path, study_ids, only=True)), own)


def _has_studies(path: Path, study_ids: list[int], only: bool = False) -> bool:
    """Whether a fold file can be read and has all of the studies, and `only` these."""
    if not path.is_file():
        return False
    try:
        known = set(read_fold_file(path)["study_id"])
    except TableError:
        return False
    return known == set(study_ids) if only else known >= set(study_ids)
