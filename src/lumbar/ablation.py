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
from lumbar.ensemble import average_folds
from lumbar.errors import InputError
from lumbar.grade.stage import run_grade
from lumbar.metric import bootstrap_scores, interval, score_losses, study_losses
from lumbar.phantom.expected import expected_losses
from lumbar.pipeline import run_through
from lumbar.records import align, write_json, write_text
from lumbar.run.checkpoint import current_commit, read_card
from lumbar.run.run import Run

FIGURES = ("score", "expected", "excess", "excess_by_seed", "excess_of_mean", "difference", "difference_ci95")
"""What is told of a row."""


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
    return average_folds(pd.concat(tables, ignore_index=True))


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
    read, judge = read_rows(shared), Judge.of(shared)
    base = next(row for row in read if row.name == run.config.ablation.baseline)
    rows = [judge.describe(row, base) for row in read]
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
class Judge:
    """What rows are judged by: the labels, the best answer and the prior, and the seed of the intervals."""

    labels: pd.DataFrame
    oracle: pd.DataFrame
    prior: pd.DataFrame
    seed: int

    @classmethod
    def of(cls, run: Run) -> "Judge":
        """The judge of a run on a phantom."""
        labels = run.competition.labels
        oracle = read_predictions(run.competition.root / "oracle.csv")
        return cls(labels, oracle, nested_prior(labels, run.held_out), run.config.seed)

    def describe(self, row: Row, base: Row) -> dict[str, Any]:
        """A row's scores, its excess by seed, in expectation, and its difference from another row; None for all of a
        row that has graded nothing."""
        told = {"row": row.name, "seeds": len(row.seeds), "seconds": row.seconds}
        graded = self._graded(row)
        if graded.empty:
            return told | dict.fromkeys(FIGURES)
        by_labels = _mean_losses([study_losses(graded, table) for table in row.seeds])
        expected = [self._expected(graded, table) for table in row.seeds]
        *seeds, mean, best, prior = (
            score_losses(losses).score
            for losses in (
                *expected,
                *(self._expected(graded, table) for table in (row.mean, self.oracle, self.prior)),
            )
        )
        excess = [(score - best) / (prior - best) for score in seeds]
        return told | {
            "score": score_losses(by_labels).score,
            "expected": score_losses(_mean_losses(expected)).score,
            "excess": float(np.mean(excess)),
            "excess_by_seed": excess,
            "excess_of_mean": (mean - best) / (prior - best),
            **self._difference(row, base),
        }

    def _graded(self, *rows: Row) -> pd.DataFrame:
        """The labels of the cells that all of some rows predict."""
        known = self.labels["row_id"]
        return self.labels[np.all([known.isin(row.seeds[0]["row_id"]) for row in rows], axis=0)]

    def _expected(self, graded: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
        """A table's expected losses on some cells."""
        return expected_losses(graded, self.oracle, table[table["row_id"].isin(graded["row_id"])])

    def _difference(self, row: Row, base: Row) -> dict[str, Any]:
        """How much more a row expects to lose than another on the cells of both, paired over studies; None for rows of
        other condition groups."""
        common = self._graded(row, base)
        if common.empty:
            return {"difference": None, "difference_ci95": None}
        first, second = (_mean_losses([self._expected(common, table) for table in each.seeds]) for each in (row, base))
        draws = bootstrap_scores(first, self.seed) - bootstrap_scores(second, self.seed)
        difference = score_losses(first).score - score_losses(second).score
        return {"difference": difference, "difference_ci95": interval(draws)}


def _mean_losses(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    total: pd.DataFrame = sum(tables[1:], start=tables[0])
    return total / len(tables)


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The table as text; differences are of the expected score, below 0 is better."""
    lines = [("row", "seeds", "score", "expected", "excess", "of mean", "difference", "95 % interval", "s a net")]
    for row in rows:
        figures, told = ("-",) * 4, ("-",) * 2
        if row["score"] is not None:
            spread = f" ±{np.std(row['excess_by_seed'], ddof=1):.3f}" if row["seeds"] > 1 else ""
            scores = (f"{row['score']:.4f}", f"{row['expected']:.4f}")
            figures = (*scores, f"{row['excess']:.3f}{spread}", f"{row['excess_of_mean']:.3f}")
        if row["difference"] is not None:
            low, high = row["difference_ci95"]
            told = (f"{row['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}")
        lines.append((row["row"], str(row["seeds"]), *figures, *told, f"{row['seconds']:.0f}"))
    return "\n".join(align(lines, left={0}))
