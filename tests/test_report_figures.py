"""The report's figures against ones worked out by hand, and what is chosen and drawn from them."""

from math import inf, log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbar.labels import CELLS, GRADE_WEIGHTS, GRADES, GROUPS, LEVELS, group_of, row_id
from lumbar.metric import study_losses
from lumbar.report import figures
from lumbar.report.blend import describe_blend
from lumbar.report.charts import Axis, Chart, Line, round_axis
from lumbar.report.collect import Compared
from lumbar.report.gallery import SHOWN_OF_GROUP, choose_cells, choose_studies
from lumbar.report.systems import compare_systems, describe_system
from lumbar.report.training import training_charts
from lumbar.report.words import NONE, class_words, figure, finding_words, percent
from lumbar.run.checkpoint import Card

CANAL, LEFT_RECESS = "spinal_canal_stenosis", "left_subarticular_stenosis"


def cell(study: int, condition: str, level: str, grade: float, *shares: float, prior_loss: float = 1.0) -> dict:
    """A row as `collect.join_cells` makes it."""
    known = grade == grade
    return {
        "row_id": row_id(study, condition, level),
        "study_id": study,
        "condition": condition,
        "level": level,
        "group": group_of(condition),
        "fold": study % 2,
        **dict(zip(GRADES, shares, strict=True)),
        "grade": grade,
        "graded": True,
        "predicted": int(np.argmax(shares)),
        "weight": GRADE_WEIGHTS[int(grade)] if known else np.nan,
        "loss": -log(shares[int(grade)]) if known else np.nan,
        "prior_loss": prior_loss if known else np.nan,
    }


def test_a_confusion_matrix_has_truth_in_rows_and_predictions_in_columns():
    truth, predicted = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 2])
    assert figures.confusion(truth, predicted).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_curves_tell_each_grade_from_the_others():
    truth = np.array([0, 0, 2, 2])
    given_shares = np.array([[0.9, 0.0, 0.1], [0.4, 0.0, 0.6], [0.5, 0.0, 0.5], [0.1, 0.0, 0.9]])
    normal, severe = figures.roc_curves(truth, given_shares)
    assert (normal.grade, severe.grade) == (0, 2), "no case is moderate, so there is nothing to tell"
    assert severe.area == pytest.approx(3 / 4), "three of the four pairs are in the right order"
    assert severe.points[0] == (0, 0)
    assert severe.points[-1] == (1, 1)
    _, severe = figures.precision_recall_curves(truth, given_shares)
    assert severe.area == pytest.approx((1 + 2 / 3) / 2), "found first at precision 1, then at 2 of 3"
    assert severe.share == 0.5


def test_a_case_counts_with_its_weight_in_the_reliability():
    of_each_bin = np.array([0, 0, 0, 0, 2])  # four cases of weight 1 and one of weight 4: half of the weight is severe
    truth = np.tile(of_each_bin, figures.RELIABILITY_BINS)
    shares = np.tile([0.5, 0.0, 0.5], (len(truth), 1))
    severe = figures.reliability(truth, shares, np.array(GRADE_WEIGHTS)[truth])[-1]
    assert severe.points == [(0.5, 0.5)] * figures.RELIABILITY_BINS
    assert severe.gap == 0
    assert figures.reliability(truth, shares, np.ones(len(truth)))[-1].gap == pytest.approx(0.5 - 1 / 5)


def test_many_calibrated_cases_lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    severe = rng.uniform(0, 1, 60_000)
    truth = np.where(rng.uniform(size=severe.size) < severe / (severe + 4 * (1 - severe)), 2, 0)
    shares = np.stack([1 - severe, 0 * severe, severe], axis=1)
    weights = np.array(GRADE_WEIGHTS)[truth]
    assert all(part.gap < 0.02 for part in figures.reliability(truth, shares, weights))


def test_the_loss_of_a_condition_is_weighted_over_its_levels():
    cells = pd.DataFrame(
        [
            cell(1, CANAL, "l1_l2", 0, 0.5, 0.25, 0.25),
            cell(1, CANAL, "l2_l3", 2, 0.5, 0.25, 0.25),
            cell(1, LEFT_RECESS, "l1_l2", 1, 0.5, 0.25, 0.25),
            cell(1, LEFT_RECESS, "l2_l3", np.nan, 0.5, 0.25, 0.25),
        ]
    )
    table = figures.cell_losses(cells)
    assert table.loc[CANAL, "l2_l3"] == pytest.approx(log(4))
    assert table.loc[CANAL, "all"] == pytest.approx((log(2) + 4 * log(4)) / 5)
    assert table.loc["all", "l1_l2"] == pytest.approx((log(2) + 2 * log(4)) / 3)
    assert table.loc["all", "all"] == pytest.approx((log(2) + 4 * log(4) + 2 * log(4)) / 7)
    assert np.isnan(table.loc[LEFT_RECESS, "l2_l3"])


def test_a_study_is_as_severe_as_its_worst_canal():
    cells = pd.DataFrame(
        [
            cell(1, CANAL, "l1_l2", 0, 0.7, 0.2, 0.1),
            cell(1, CANAL, "l2_l3", 2, 0.3, 0.3, 0.4),
            cell(2, CANAL, "l1_l2", 1, 0.2, 0.6, 0.2),
            cell(2, LEFT_RECESS, "l1_l2", 2, 0.0, 0.1, 0.9),
        ]
    )
    truth, shares, weights = figures.any_severe(cells)
    assert truth.tolist() == [2, 0]
    np.testing.assert_allclose(shares, [[0.6, 0, 0.4], [0.8, 0, 0.2]])
    assert weights.tolist() == [4, 2]


def test_components_have_intervals_around_them_and_none_without_a_label():
    rows = [(study, CELLS[f"{CANAL}_{level}"]) for study in range(20) for level in LEVELS]
    labels = pd.DataFrame(
        [
            {"study_id": study, "level": one.level, "group": "spinal", "row_id": row_id(study, CANAL, one.level)}
            for study, one in rows
        ]
    ).assign(condition=CANAL, grade=[(study + number) % 3 for number, (study, _) in enumerate(rows)])
    rng = np.random.default_rng(1)
    given_shares = pd.DataFrame(rng.dirichlet(np.ones(3), len(labels)), columns=list(GRADES))
    scores = figures.component_scores(study_losses(labels, given_shares.assign(row_id=labels["row_id"])), seed=0)
    assert scores["foraminal"] is None
    value, low, high = scores["spinal"]
    assert low < value < high
    assert scores["score"][0] == pytest.approx((value + scores["any_severe_spinal"][0]) / 2)


def test_distances_are_shares_within_eight_millimetres_and_missing_points_count_as_far():
    errors = pd.DataFrame(
        {"group": ["spinal"] * 4, "level": ["l1_l2", "l1_l2", "l2_l3", "l2_l3"], "distance": [1.0, 8.0, 8.1, inf]}
    )
    rates = figures.hit_rates(errors)
    assert rates.loc["spinal", ["l1_l2", "l2_l3", "all"]].tolist() == [1, 0, 0.5]
    assert figures.distance_quantiles(errors["distance"], (0.25, 0.5, 0.75, 1.0)) == [1.0, 8.0, 8.1, inf]
    assert figures.cumulative(errors["distance"], 12.0)[-1] == (12.0, 0.75)


def some_cells(studies: int, seed: int = 0) -> pd.DataFrame:
    """All cells of so many studies, with random grades and probabilities."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            cell(study, one.condition, one.level, rng.integers(3), *rng.dirichlet(np.ones(3)), prior_loss=1.5)
            for study in range(studies)
            for one in CELLS.values()
        ]
    )


def test_galleries_hold_the_most_telling_cells_of_each_group():
    cells = some_cells(6)
    best, worst, surprising = choose_cells(cells)
    for group in GROUPS:
        mine = cells[cells["group"] == group]
        top = (mine["weight"] * mine["loss"]).nlargest(SHOWN_OF_GROUP).index
        assert worst.cells.loc[worst.cells["group"] == group, "row_id"].tolist() == mine.loc[top, "row_id"].tolist()
        assert (surprising.cells["group"] == group).sum() == SHOWN_OF_GROUP
    assert (surprising.cells["grade"] != surprising.cells["predicted"]).all()
    assert not set(surprising.cells["row_id"]) & set(worst.cells["row_id"])
    assert (best.cells["loss"] < best.cells["prior_loss"]).all()


def test_cells_that_got_the_prior_are_in_no_gallery():
    cells = some_cells(2).assign(graded=lambda table: table["study_id"] == 0)
    assert all((gallery.cells["study_id"] == 0).all() for gallery in choose_cells(cells))


@pytest.mark.parametrize("count", [0, 2, 7, 12])
def test_as_many_studies_are_chosen_as_are_wanted_and_there(count):
    cells = some_cells(7)
    chosen = choose_studies(cells, count)
    assert len(chosen) == len({study for study, _ in chosen}) == min(count, 7)


def test_the_first_chosen_study_of_each_kind_is_its_extreme():
    cells = some_cells(9)
    sums = cells.assign(cost=cells["weight"] * cells["loss"]).groupby("study_id")[["cost", "weight"]].sum()
    chosen = dict(reversed(choose_studies(cells, 3)))
    assert list(chosen.values()) == ["surprising", "worst", "best"]
    assert [study for study, kind in chosen.items() if kind == "worst"] == [(sums["cost"] / sums["weight"]).idxmax()]


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=40))
def test_nothing_is_drawn_outside_a_charts_axes_and_a_line_keeps_its_ends(points):
    chart = Chart("", Axis("", 0.0, 1.0, ()), Axis("", -1.0, 2.0, ()), ())
    left, top, right, bottom = chart.box
    path = chart.path(Line(points, ""))
    placed = [tuple(map(float, pair.split())) for pair in path[1:].split("L")]
    assert all(left <= x <= right and top <= y <= bottom for x, y in placed)
    assert placed[0] == pytest.approx(chart.place(points[0]), abs=1e-3)
    assert placed[-1] == pytest.approx(chart.place(points[-1]), abs=1e-3)


def test_the_corners_of_a_chart_are_the_ends_of_its_axes():
    chart = Chart("", Axis("", 0.0, 2.0, ()), Axis("", 10.0, 20.0, ()), ())
    left, top, right, bottom = chart.box
    assert chart.place((0.0, 10.0)) == (left, bottom)
    assert chart.place((2.0, 20.0)) == (right, top)
    assert chart.place((1.0, 15.0)) == ((left + right) / 2, (top + bottom) / 2)


@given(st.floats(0, 100), st.floats(0.01, 100))
def test_a_round_axis_covers_its_values_with_few_ticks(low, width):
    axis = round_axis("", low, low + width)
    assert axis.low <= low + 1e-9
    assert axis.high >= low + width - 1e-9
    assert 2 <= len(axis.ticks) <= 9
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_a_finding_is_said_in_words():
    assert finding_words(2, LEFT_RECESS, "l4_l5") == "Severe left subarticular stenosis at L4/L5"
    assert finding_words(0, CANAL, "l5_s1") == "Normal/mild spinal canal stenosis at L5/S1"


def test_a_class_has_a_short_name():
    names = [class_words(name) for name in (LEFT_RECESS, CANAL, "normal_mild", "moderate_or_severe", "healthy")]
    assert names == ["left recess", "canal", "normal/mild", "moderate or severe", "healthy"]


def test_a_figure_that_is_not_there_is_a_dash():
    assert (figure(None), figure(float("nan")), percent(None)) == ("–", "–", "–")
    assert (figure(0.7071), figure(-0.25, 1), percent(0.876, 1)) == ("0.71", "\u22120.2", "87.6 %")


def card(group: str, fold: int, **details: object) -> Card:
    """A grader's card."""
    return Card(
        kind="grader",
        classes=GRADES,
        fold=fold,
        config={"group": group},
        seed=0,
        fingerprint="",
        training_studies=1,
        commit="",
        details=details,
    )


def test_every_curve_of_a_card_is_drawn_once_with_what_it_is():
    cards = {
        "spinal_fold0": card("spinal", 0, loss_by_epoch=[1.0, 0.5], accuracy_by_epoch=[0.3, 0.6], crops=7),
        "spinal_fold1": card("spinal", 1, loss_by_epoch=[0.9], watched_loss_by_epoch=[1.1]),
        "subarticular_fold0": card("subarticular", 0, loss_by_epoch=[2.0, 1.5]),
    }
    charts = training_charts(cards)
    assert [(chart.title, chart.y.label) for chart in charts] == [
        ("Spinal canal stenosis", "loss"),
        ("Subarticular stenosis", "loss"),
        ("Spinal canal stenosis", "accuracy"),
    ]
    assert [line.name for line in charts[0].lines] == ["fold 0, training", "fold 1, training", "fold 1, watched"]
    assert [line.style for line in charts[0].lines] == ["training", "training", "watched"]
    assert charts[0].y == charts[1].y, "two groups' losses can be compared by eye"


def test_compared_systems_stand_best_first_and_lack_what_they_lack():
    rows = [
        {"system": "b", "score": 0.9, "difference": 0.2, "difference_ci95": [0.1, 0.3], "own_accuracy_grouped": 0.5}
        | {"own_accuracy_own_split": 0.625},
        {"system": "main", "title": "This pipeline", "score": 0.7, "ci95": [0.6, 0.8], "parameters": 1234567},
        {"system": "c", "score": None, "own_accuracy_grouped": None, "own_accuracy_detected": 0.75},
    ]
    comparison = compare_systems(Compared(rows, {"prior": {"score": 0.8}}, {}, {}))
    assert [row[0] for row in comparison.rows] == ["This pipeline", "b", "c"]
    assert "1,234,567" in comparison.rows[0]
    assert comparison.rows[1][-1] == "0.2000 (0.100 to 0.300)"
    assert [(row.name, row.text) for row in comparison.accuracies.rows] == [("b", "\u221212.5"), ("c", "")]
    assert [(mark.style, mark.value) for mark in comparison.accuracies.rows[1].marks] == [("detected", 0.75)]
    assert comparison.rows[2][4:7] == (NONE, NONE, "75.0 %")
    assert comparison.scores.rows[0].band == (0.6, 0.8)
    assert comparison.scores.rule == (0.8, "prior")


def test_a_system_is_shown_under_both_splits():
    measured = {"accuracy": 0.75, "rmse": None, "cases": 1200, "confusion_matrix": [[3, 1], [0, 4]]}
    curves = {"grouped": {"spinal_fold0": {"loss": [2.0, 1.0], "watched_loss": [2.0, 1.5]}}}
    found = {"classes": ["normal_mild", "severe"], "own_split": None, "grouped": measured, "curves": curves}
    system = describe_system("C", found)
    assert system.splits == ("grouped folds",)
    assert dict(system.figures) == {"cases": ("1,200",), "accuracy": ("0.750",)}
    assert [[cell.share for cell in row] for row in system.matrices[0].rows] == [[0.75, 0.25], [0, 1]]
    assert [line.style for line in system.charts[0].lines] == ["training", "watched"]


def test_an_ensemble_shows_its_weights_and_what_each_member_is_worth():
    blend = describe_blend(
        {
            "method": "mean",
            "scores": {"mean": {"score": 0.7}, "ensemble": {"score": 0.6}, "unscored": {"score": None}},
            "weights": {"spinal": {"a": 0.75, "b": 0.25}, "foraminal": {"b": 1.0}},
            "without_member": [
                {"member": "b", "difference": -0.01, "ci95": [-0.02, 0.01]},
                {"member": "a", "difference": 0.05, "ci95": [0.03, 0.08]},
            ],
        }
    )
    assert [(row.name, [cell.text for cell in row.cells]) for row in blend.weights] == [
        ("a", ["0.75", "–"]),
        ("b", ["0.25", "1.00"]),
    ]
    assert [(row.name, row.text) for row in blend.without.rows] == [
        ("without a", "+0.050"),
        ("without b", "\u22120.010"),
    ]
    assert [row.name for row in blend.methods.rows if row.strong] == ["ensemble"]
    assert describe_blend({}).without is None
