"""What each piece is worth: graders that differ in one thing, on one phantom, with several seeds, paired.

Each grader of the config is a row. A row's nets are scored one by one and by their mean, against the labels and in
expectation over all labels that the phantom's raters could have given, and set beside the grader that the config names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lumbar.config import Config, ConfigError
from lumbar.crop.stage import run_crop
from lumbar.data.competition import read_predictions
from lumbar.data.priors import nested_prior
from lumbar.errors import InputError
from lumbar.grade.stage import run_grade
from lumbar.labels import GRADES
from lumbar.metric import bootstrap_scores, interval, score_losses, study_losses
from lumbar.phantom.expected import expected_losses
from lumbar.pipeline import run_through
from lumbar.records import align, write_json, write_text
from lumbar.run.checkpoint import current_commit, read_card
from lumbar.run.run import Run


@dataclass(frozen=True, eq=False)
class Row:
    """A grader, or the mean of several: each seed's table of predictions, and the seconds that its nets took."""

    name: str
    seeds: Sequence[pd.DataFrame]
    seconds: float

    @property
    def mean(self) -> pd.DataFrame:
        """The mean of the seeds' predictions."""
        return average(self.seeds)


def average(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean of tables in submission format, of each cell over those that have it."""
    return pd.concat(tables).groupby("row_id", sort=False, as_index=False)[list(GRADES)].mean()


def run_ablation(run: Run) -> str:
    """Trains what is not trained yet, writes `ablation.json` and `ablation.txt` below the run, and returns the text.

    InputError where the data are no phantom: the expectation needs to know what raters could have said.
    """
    if not run.competition.is_phantom:
        raise InputError(f"{run.competition.root}: an ablation needs a phantom, whose best answer is known")
    expect_rows(run.config)
    serving = replace(run, folder=run.folder.parent / run.config.ablation.detected_by)
    run_through(serving, last="detect")
    shared = replace(run, detected_in=serving.folder)
    shared.enter()
    run_crop(shared)
    run_grade(shared)
    judged = [_judge(shared, row) for row in read_rows(shared)]
    rows = _compare(judged, run.config)
    write_json({"config": run.config.name, "commit": current_commit(), "rows": rows}, run.folder / "ablation.json")
    text = format_rows(rows)
    write_text(text + "\n", run.folder / "ablation.txt")
    return text


def expect_rows(config: Config) -> None:
    """ConfigError where the section names a grader that is none of the config's."""
    wanted = [config.ablation.baseline, *(name for names in config.ablation.means.values() for name in names)]
    for name in wanted:
        if name not in config.trained_graders:
            known = ", ".join(config.trained_graders)
            raise ConfigError(f"config {config.name}: ablation: there is no grader {name!r}, there are {known}")


def read_rows(run: Run) -> list[Row]:
    """A row for each grader, and for each of the config's means, of which the n-th seed is that of the n-th seeds."""
    graders = {name: _row_of(run, name) for name in run.config.trained_graders}
    means = []
    for name, parts in run.config.ablation.means.items():
        seeds = [average(tables) for tables in zip(*(graders[part].seeds for part in parts), strict=False)]
        means.append(Row(name, seeds, sum(graders[part].seconds for part in parts)))
    return [*graders.values(), *means]


def _row_of(run: Run, grader: str) -> Row:
    names = [name for name, member in run.config.members.items() if member.grader == grader]
    tables = [read_predictions(run.folder / "predictions" / name / "oof.csv") for name in names]
    cards = [read_card(run.models / f"{name}_fold{fold}") for name in names for fold in run.fold_numbers]
    seconds = [float(card.details.get("seconds", 0.0)) for card in cards if card]
    return Row(grader, tables, float(np.mean(seconds)) if seconds else 0.0)


@dataclass(frozen=True, eq=False)
class Judged:
    """A row with its studies' losses, by the labels and in expectation, averaged over the seeds, and its excesses."""

    row: Row
    labels: pd.DataFrame
    expected: pd.DataFrame
    excess: Sequence[float]
    """Of each seed, in expectation."""
    excess_of_mean: float


def _judge(run: Run, row: Row) -> Judged:
    truth = run.competition.labels
    graded = truth[truth["row_id"].isin(row.seeds[0]["row_id"])]
    oracle = read_predictions(run.competition.root / "oracle.csv")
    prior = nested_prior(truth, run.held_out)
    ends = [_expected(graded, oracle, table) for table in (oracle, prior)]

    def excess(table: pd.DataFrame) -> float:
        return (_expected(graded, oracle, table) - ends[0]) / (ends[1] - ends[0])

    return Judged(
        row=row,
        labels=_mean_losses([study_losses(graded, table) for table in row.seeds]),
        expected=_mean_losses([expected_losses(graded, oracle, table) for table in row.seeds]),
        excess=[excess(table) for table in row.seeds],
        excess_of_mean=excess(row.mean),
    )


def _expected(graded: pd.DataFrame, oracle: pd.DataFrame, table: pd.DataFrame) -> float:
    return score_losses(expected_losses(graded, oracle, table[table["row_id"].isin(graded["row_id"])])).score


def _mean_losses(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    total: pd.DataFrame = sum(tables[1:], start=tables[0])
    return total / len(tables)


def _compare(judged: Sequence[Judged], config: Config) -> list[dict[str, Any]]:
    base = next(each for each in judged if each.row.name == config.ablation.baseline)
    rows = []
    for each in judged:
        paired = each.expected.index.equals(base.expected.index) and _same_parts(each.expected, base.expected)
        rows.append(
            {
                "row": each.row.name,
                "seeds": len(each.row.seeds),
                "score": score_losses(each.labels).score,
                "expected": score_losses(each.expected).score,
                "excess": float(np.mean(each.excess)),
                "excess_by_seed": [float(value) for value in each.excess],
                "excess_of_mean": each.excess_of_mean,
                "difference": score_losses(each.expected).score - score_losses(base.expected).score if paired else None,
                "difference_ci95": _interval(each, base, config.seed) if paired else None,
                "seconds": each.row.seconds,
            }
        )
    return rows


def _same_parts(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two rows are of the same condition groups, so that their difference means something."""
    return bool(((first.sum() > 0) == (second.sum() > 0)).all())


def _interval(each: Judged, base: Judged, seed: int) -> tuple[float, float]:
    return interval(bootstrap_scores(each.expected, seed) - bootstrap_scores(base.expected, seed))


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The table as text; differences are of the expected score, below 0 is better."""
    lines = [("row", "seeds", "score", "expected", "excess", "of mean", "difference", "95 % interval", "s a net")]
    for row in rows:
        spread = f" ±{np.std(row['excess_by_seed'], ddof=1):.3f}" if row["seeds"] > 1 else ""
        told = ("-", "-")
        if row["difference"] is not None:
            low, high = row["difference_ci95"]
            told = (f"{row['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}")
        figures = (f"{row['score']:.4f}", f"{row['expected']:.4f}", f"{row['excess']:.3f}{spread}")
        of_mean = f"{row['excess_of_mean']:.3f}"
        lines.append((row["row"], str(row["seeds"]), *figures, of_mean, *told, f"{row['seconds']:.0f}"))
    return "\n".join(align(lines, left={0}))
