"""Folds: grouped by study, even over conditions and grades, made once and only read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.data.competition import read_study_ids
from lumbar.data.folds import make_folds, read_folds, share_table, unevenness
from lumbar.data.priors import nested_prior
from lumbar.data.tables import TableError, write_table
from lumbar.labels import CELLS, group_of, row_id
from lumbar.metric import score

COMMITTED = Path(__file__).parents[1] / "folds" / "rsna2024.csv"


def draw_labels(studies: int, seed: int) -> pd.DataFrame:
    """Random grades of every cell, the graver the rarer."""
    rng = np.random.default_rng(seed)
    rows = [
        (study, cell.condition, cell.level, group_of(cell.condition), row_id(study, cell.condition, cell.level))
        for study in range(100, 100 + studies)
        for cell in CELLS.values()
    ]
    table = pd.DataFrame(rows, columns=["study_id", "condition", "level", "group", "row_id"])
    return table.assign(grade=rng.choice(3, len(table), p=[0.75, 0.18, 0.07]))


def test_every_study_is_in_one_fold_and_the_folds_are_of_one_size():
    studies = list(range(100, 160))
    folds = make_folds(studies, draw_labels(60, 0), studies, 3, seed=1)
    assert sorted(folds["study_id"]) == studies
    assert folds["fold"].value_counts().between(18, 22).all()
    assert set(folds["fold"]) == {0, 1, 2}


def test_the_same_seed_makes_the_same_folds_and_another_seed_does_not():
    studies, labels = list(range(100, 140)), draw_labels(40, 0)
    first = make_folds(studies, labels, studies, 4, seed=1)
    pd.testing.assert_frame_equal(first, make_folds(studies, labels, studies, 4, seed=1))
    assert not first.equals(make_folds(studies, labels, studies, 4, seed=50))


def test_a_study_without_labels_gets_a_fold_too():
    folds = make_folds([*range(100, 130), 7, 8, 9], draw_labels(30, 0), [], 3, seed=1)
    assert folds.set_index("study_id").loc[[7, 8, 9], "fold"].isin([0, 1, 2]).all()


@pytest.mark.parametrize("labelled", [0, 1, 12])
def test_labels_so_sparse_that_no_kind_fills_the_folds_still_make_even_ones(labelled):
    studies = list(range(100, 112))
    labels = draw_labels(12, 0).iloc[:: len(CELLS) + 1].head(labelled)  # each study's is of another cell
    folds = make_folds(studies, labels, [], 5, seed=1)
    assert sorted(folds["fold"].value_counts()) == [2, 2, 2, 3, 3]


def test_folds_are_more_even_than_chance():
    studies, labels = list(range(100, 220)), draw_labels(120, 0)
    made = unevenness(make_folds(studies, labels, studies, 4, seed=1), labels, studies)
    rng = np.random.default_rng(0)
    chance = [
        unevenness(pd.DataFrame({"study_id": studies, "fold": rng.permutation(120) % 4}), labels, studies)
        for _ in range(9)
    ]
    assert made < sorted(chance)[4]


def test_more_folds_than_studies_are_refused():
    with pytest.raises(ValueError, match="5 folds need at least 5 studies, there are 3"):
        make_folds([1, 2, 3], draw_labels(0, 0), [], 5, seed=0)


def test_shares_are_relative_to_the_whole():
    # Two studies, one cell each: fold 0 has the only severe one, so twice the share of the whole, and fold 1 none.
    labels = draw_labels(2, 0).groupby("study_id").head(1).assign(grade=[2, 0])
    shares = share_table(pd.DataFrame({"study_id": [100, 101], "fold": [0, 1]}), labels)
    assert shares.loc[("spinal_canal_stenosis", 2)].tolist() == [2, 0]
    assert shares.loc[("spinal_canal_stenosis", 0)].tolist() == [0, 2]


def test_a_fold_without_a_severe_canal_counts_as_worse_than_any_uneven_share():
    labels = draw_labels(4, 0).assign(grade=0)
    labels.loc[labels["row_id"].isin([f"{study}_spinal_canal_stenosis_l4_l5" for study in (100, 101)]), "grade"] = 2
    together = pd.DataFrame({"study_id": [100, 101, 102, 103], "fold": [0, 0, 1, 1]})
    apart = together.assign(fold=[0, 1, 0, 1])
    studies = [100, 101, 102, 103]
    assert unevenness(together, labels, studies)[0] == 1
    assert unevenness(apart, labels, studies) < unevenness(together, labels, studies)


def test_folds_are_read_in_the_order_of_the_studies_asked_for(tmp_path):
    write_table(pd.DataFrame({"study_id": [1, 2, 3], "fold": [0, 1, 0]}), tmp_path / "folds.csv")
    assert read_folds(tmp_path / "folds.csv", [3, 2]).to_dict("list") == {"study_id": [3, 2], "fold": [0, 1]}


def test_a_study_that_the_file_does_not_know_is_named(tmp_path):
    write_table(pd.DataFrame({"study_id": [1], "fold": [0]}), tmp_path / "folds.csv")
    with pytest.raises(TableError, match=r"folds\.csv: 2 of the data set's 3 studies are not in it, the first: 5, 6"):
        read_folds(tmp_path / "folds.csv", [1, 6, 5])


@pytest.fixture(scope="module")
def committed(rsna) -> pd.DataFrame:
    """The committed folds of the real training studies."""
    return read_folds(COMMITTED, read_study_ids(rsna / "train.csv"))


def test_the_committed_folds_hold_every_real_study_once_and_evenly(committed):
    assert committed["study_id"].is_unique
    assert committed["fold"].value_counts().sort_index().between(385, 405).tolist() == [True] * 5


def test_every_committed_fold_has_its_share_of_every_condition_and_grade(committed, real_labels):
    shares = share_table(committed, real_labels)
    assert shares.shape == (15, 5)
    assert shares.to_numpy() == pytest.approx(1, abs=0.15)


def test_every_committed_fold_has_its_share_of_studies_with_a_severe_canal(committed, real_labels):
    canals = real_labels[real_labels["group"] == "spinal"].merge(committed, on="study_id")
    severe = canals.assign(severe=canals["grade"] == 2).groupby(["fold", "study_id"])["severe"].any()
    share = severe.groupby("fold").mean()
    assert len(share) == 5
    assert share.to_numpy() == pytest.approx(severe.mean(), rel=0.2)


def test_the_prior_nested_over_the_committed_folds_scores_the_published_floor(committed, real_labels):
    assert score(real_labels, nested_prior(real_labels, committed)).score == pytest.approx(0.7918, abs=5e-4)


def test_the_few_annotated_studies_are_spread_over_the_folds():
    studies = list(range(100, 160))
    folds = make_folds(studies, draw_labels(60, 0), range(100, 160, 5), 3, seed=1)
    assert folds[folds["study_id"] % 5 == 0]["fold"].value_counts().between(3, 5).tolist() == [True] * 3
