"""A submission has exactly the rows asked for, whatever was predicted; and folds are averaged."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbar.data.competition import Competition, no_predictions, read_predictions
from lumbar.data.priors import predict_prior
from lumbar.data.rows import Completed, complete_rows, write_submission
from lumbar.ensemble import average_predictions
from lumbar.labels import CELLS, CONDITIONS, GRADES, LEVELS


@pytest.fixture(scope="module")
def prior() -> pd.DataFrame:
    """A prior that differs from cell to cell."""
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product([CONDITIONS, LEVELS], names=["condition", "level"])
    return pd.DataFrame(rng.dirichlet([5, 3, 2], len(index)), index=index, columns=list(GRADES)).reset_index()


def predicted(row_ids: list[str], values: list[tuple[float, float, float]]) -> pd.DataFrame:
    """Predictions in submission format."""
    return pd.DataFrame(values, columns=list(GRADES)).assign(row_id=row_ids)[["row_id", *GRADES]]


ROWS = [f"9_{cell}" for cell in list(CELLS)[:3]]


def test_the_rows_asked_for_come_in_their_order_and_no_others(prior):
    predictions = predicted([*ROWS, "8_spinal_canal_stenosis_l1_l2"], [(0.7, 0.2, 0.1)] * 4)
    completed = complete_rows(predictions, ROWS[::-1], prior)
    assert completed.predictions["row_id"].tolist() == ROWS[::-1]
    assert completed.fallback == []
    np.testing.assert_allclose(completed.predictions[list(GRADES)], [[0.7, 0.2, 0.1]] * 3)


def test_a_row_without_a_prediction_gets_its_own_cells_prior(prior):
    completed = complete_rows(predicted(ROWS[:1], [(0.7, 0.2, 0.1)]), ROWS, prior)
    assert completed.fallback == ROWS[1:]
    expected = predict_prior(prior, [9]).set_index("row_id").loc[ROWS[1:], list(GRADES)]
    np.testing.assert_allclose(completed.predictions[list(GRADES)].iloc[1:], expected)


@pytest.mark.parametrize("broken", [(np.nan, 0.5, 0.5), (np.inf, 0, 0), (0.0, 0.0, 0.0), (-0.2, 0.6, 0.6)])
def test_a_prediction_that_is_no_probability_falls_back_on_the_prior(prior, broken):
    completed = complete_rows(predicted(ROWS, [(0.7, 0.2, 0.1), broken, (0.1, 0.2, 0.7)]), ROWS, prior)
    assert completed.fallback == ROWS[1:2]
    expected = predict_prior(prior, [9]).set_index("row_id").loc[ROWS[1], list(GRADES)]
    np.testing.assert_allclose(completed.predictions[list(GRADES)].iloc[1].astype(float), expected.astype(float))


def test_with_nothing_predicted_everything_is_the_prior(prior):
    nothing = predicted([], [])
    asked = [f"{study}_{cell}" for study in (3, 4) for cell in CELLS]
    completed = complete_rows(nothing, asked, prior)
    assert completed.fallback == asked
    assert np.isfinite(completed.predictions[list(GRADES)].to_numpy()).all()


def test_no_rows_asked_for_give_no_rows(prior):
    assert complete_rows(predicted(ROWS, [(0.7, 0.2, 0.1)] * 3), [], prior).predictions.empty


@pytest.mark.parametrize("strange", ["9_knee_l1_l2", "../9_spinal_canal_stenosis_l1_l2", ""])
def test_a_row_id_that_names_no_cell_is_answered_uniformly_since_a_row_less_is_no_submission(prior, strange):
    completed = complete_rows(predicted(ROWS, [(0.7, 0.2, 0.1)] * 3), [strange, *ROWS], prior)
    assert completed.predictions["row_id"].tolist() == [strange, *ROWS]
    assert completed.fallback == [strange]
    np.testing.assert_allclose(completed.predictions[list(GRADES)].iloc[0].astype(float), 1 / 3)


@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 3).filter(lambda row: sum(row) > 1e-3), min_size=3, max_size=3),
    st.floats(0, 0.05),
)
def test_every_row_sums_to_one_and_none_is_below_the_floor(prior, values, floor):
    table = complete_rows(predicted(ROWS, values), ROWS, prior, floor).predictions[list(GRADES)].to_numpy()
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert table.min() >= floor - 1e-12


def test_the_floor_keeps_the_order_of_the_grades(prior):
    row = complete_rows(predicted(ROWS[:1], [(0.98, 0.0199, 0.0001)]), ROWS[:1], prior, 0.01).predictions.iloc[0]
    # (1 - 3 x .01) x p + .01
    assert [row[grade] for grade in GRADES] == pytest.approx([0.9606, 0.029303, 0.010097])


def test_what_is_written_is_read_back(prior, tmp_path):
    completed = complete_rows(predicted(ROWS[:2], [(1, 1, 1), (3, 2, 1)]), ROWS, prior, 1e-4)
    write_submission(completed, tmp_path / "new" / "submission.csv")
    read = read_predictions(tmp_path / "new" / "submission.csv")
    assert list(read.columns) == ["row_id", *GRADES]
    np.testing.assert_allclose(read[list(GRADES)], completed.predictions[list(GRADES)], rtol=1e-14)


def test_a_row_that_does_not_sum_to_one_is_never_written(tmp_path):
    path = tmp_path / "submission.csv"
    with pytest.raises(ValueError, match="a row is not finite or does not sum to 1, nothing was written"):
        write_submission(Completed(predicted(ROWS[:1], [(0.5, 0.2, 0.2)]), []), path)
    assert not path.exists()


def test_the_published_sample_is_completed_row_for_row(rsna, prior, tmp_path):
    asked = Competition(rsna).sample_submission["row_id"].tolist()
    write_submission(complete_rows(predicted([], []), asked, prior), tmp_path / "submission.csv")
    assert read_predictions(tmp_path / "submission.csv")["row_id"].tolist() == asked


def test_folds_are_averaged_row_by_row_over_those_that_predict_it():
    table = predicted([ROWS[1], ROWS[0], ROWS[1]], [(0.8, 0.1, 0.1), (0.2, 0.3, 0.5), (0.4, 0.3, 0.3)])
    averaged = average_predictions([table.assign(fold=[0, 0, 1])])
    assert averaged["row_id"].tolist() == [ROWS[1], ROWS[0]]
    np.testing.assert_allclose(averaged[list(GRADES)], [[0.6, 0.2, 0.2], [0.2, 0.3, 0.5]])


def test_a_single_folds_average_is_itself():
    table = predicted(ROWS, [(0.8, 0.1, 0.1), (0.2, 0.3, 0.5), (1.0, 0.0, 0.0)])
    pd.testing.assert_frame_equal(average_predictions([table]), table)


def test_averages_of_single_precision_sum_to_one_in_double():
    table = predicted(ROWS[:1] * 3, [(0.1, 0.2, 0.7), (0.3, 0.3, 0.4), (1 / 3, 1 / 3, 1 / 3)])
    averaged = average_predictions([table.astype(dict.fromkeys(GRADES, np.float32))])[list(GRADES)].to_numpy()
    assert averaged.sum() == pytest.approx(1, abs=1e-15)


def test_no_predictions_at_all_average_to_none():
    assert average_predictions([no_predictions()]).empty
