"""The ensemble on real out-of-fold predictions, where the data lies on this machine."""

import numpy as np
import pandas as pd
import pytest

from lumbar.data.competition import read_labels
from lumbar.data.tables import integer, read_table
from lumbar.ensemble.apply import apply_ensemble
from lumbar.ensemble.fit import Ensemble, fit_ensemble
from lumbar.ensemble.members import Truth, gather_members, gather_truth, read_member, score_cells
from lumbar.labels import GRADES
from lumbar.metric import Difference, paired_difference, score_losses

PUBLISHED_WEIGHTS = {
    "axial_baseline": 0.37,
    "axial_swint": 0.48,
    "sagittal1_baseline": 0.33,
    "sagittal1_s1_swint": 0.46,
    "sagittal2_baseline": 0.25,
    "sagittal2_swint": 0.06,
    "sagittal2_axial": 0.38,
}
"""The weights that their authors chose by hand; a row that a member lacks is filled with the weighted prior."""


@pytest.fixture(scope="module")
def tables(shared) -> dict[str, pd.DataFrame]:
    return {name: read_member(shared / "oof" / f"{name}.csv.gz") for name in PUBLISHED_WEIGHTS}


@pytest.fixture(scope="module")
def folds(shared) -> pd.DataFrame:
    return read_table(shared / "oof" / "folds.csv", [integer("study_id"), integer("fold")], unique=["study_id"])


@pytest.fixture(scope="module")
def truth(rsna, folds) -> Truth:
    return gather_truth(read_labels(rsna / "train.csv"), folds, sorted(folds["study_id"]))


@pytest.fixture(scope="module")
def ensemble(tables, rsna, folds) -> Ensemble:
    return fit_ensemble(tables, read_labels(rsna / "train.csv"), folds)


def losses_of(table: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """Losses of all graded cells; missing ones count with the prior of the other folds."""
    given = gather_members({"it": table}, truth.study_ids).probabilities[0]
    return score_cells(truth, np.where(np.isnan(given), truth.prior, given))


def published_blend(tables: dict[str, pd.DataFrame], truth: Truth) -> np.ndarray:
    members = gather_members(tables, truth.study_ids)
    total, share = np.zeros((*truth.grades.shape, 3)), np.zeros((1, truth.grades.shape[1], 1))
    for name, said in zip(members.names, members.probabilities, strict=True):
        is_graded = ~np.isnan(said[..., 0]).all(axis=0)  # the cells of the member's condition group
        weight = PUBLISHED_WEIGHTS[name] * is_graded[None, :, None]
        total += weight * np.where(np.isnan(said), truth.prior, said)
        share += weight
    return total / share


def test_the_published_blend_scores_as_published(tables, truth):
    assert score_losses(score_cells(truth, published_blend(tables, truth))).score == pytest.approx(0.3880, abs=5e-5)


def test_the_nested_score_is_below_the_target_and_surely_below_the_published_blend(ensemble, tables, truth):
    losses = losses_of(ensemble.out_of_fold, truth)
    assert score_losses(losses).score < 0.3822
    gain = paired_difference(losses, score_cells(truth, published_blend(tables, truth)))
    assert gain.high < -0.002
    over_mean = {(row["of"], row["from"]): row for row in ensemble.report["differences"]}["ensemble", "mean"]
    assert not over_mean["is_none"]
    assert Difference(over_mean["difference"], *over_mean["ci95"]).high < -0.002


def test_every_fold_chooses_the_stacker_and_none_of_the_members_is_odd(ensemble):
    choices = ensemble.report["without_fold"].values()
    assert {choice["method"] for choice in choices} == {"stacker"}
    assert min(choice["strength"] for choice in choices) > 0.7
    assert ensemble.report["suspicious"] == []
    assert all(row["difference"] > 0 for row in ensemble.report["without_member"])


def test_studies_that_are_applied_one_by_one_get_the_rows_of_all_together(ensemble, tables, truth):
    together = apply_ensemble(ensemble.model, tables)
    for study in truth.study_ids[::700]:
        alone = {name: table[table["row_id"].str.startswith(f"{study}_")] for name, table in tables.items()}
        rows = together[together["row_id"].str.startswith(f"{study}_")]
        assert apply_ensemble(ensemble.model, alone).to_csv(index=False) == rows.to_csv(index=False)


def test_the_applied_model_agrees_with_the_nested_rows(ensemble, tables):
    applied = apply_ensemble(ensemble.model, tables)
    both = applied.merge(ensemble.out_of_fold, on="row_id", suffixes=("", "_oof"), validate="one_to_one")
    assert len(both) == len(applied) == len(ensemble.out_of_fold)
    away = np.abs(both[list(GRADES)].to_numpy() - both[[f"{grade}_oof" for grade in GRADES]].to_numpy())
    assert away.mean() < 0.005
    assert away.max() < 0.15
