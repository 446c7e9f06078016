"""What each piece is worth: graders that differ in one thing, on the same studies, with several seeds, paired.

Each grader of the config is a row. A row's nets are scored one by one and by their mean, and set beside the grader that
the config names: on a phantom in expectation over all labels that its raters could have given, else by the labels.
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
from lumbar.detect.stage import points_made_from
from lumbar.ensemble import average_predictions
from lumbar.grade.stage import run_grade
from lumbar.metric import paired_difference, score_losses, study_losses
from lumbar.phantom.expected import expected_losses
from lumbar.pipeline import run_folds, run_through
from lumbar.records import align, write_json, write_text
from lumbar.run.checkpoint import current_commit, read_card
from lumbar.run.run import Run
from lumbar.run.stamps import stamped

FIGURES = ("score", "expected", "by_seed", "of_mean", "difference", "difference_ci95")
"""What is told of a row: its nets' mean score by the labels and, of a phantom, in expectation; each net's figure, and
that of the nets' mean prediction, which is the excess of a phantom and else the score; and the paired difference."""


@dataclass(frozen=True, eq=False)
class Row:
    """A grader, or the mean of several: each seed's table of predictions, and the seconds that its nets took."""

    name: str
    seeds: Sequence[pd.DataFrame]
    seconds: float

    @property
    def mean(self) -> pd.DataFrame:
        """The mean of the seeds' predictions."""
        return average_predictions(self.seeds)


def run_ablation(run: Run) -> str:
    """Trains what is not trained yet, writes `ablation.json` and `ablation.txt` below the run, and returns the text."""
    expect_rows(run.config)
    if run.config.ablation.detected_by is None:
        with run.held():
            return _ablate(run, run)
    serving = replace(run, folder=run.folder.parent / run.config.ablation.detected_by)
    with serving.held(), run.held():
        _expect_same_points(serving)
        return _ablate(replace(run, detected_in=serving.folder), serving)


def _expect_same_points(serving: Run) -> None:
    """ConfigError where a run has points of other data, folds or detectors, which would be made anew in place of its
    own."""
    if (made := stamped(serving.folder / "detect")) is None:
        return
    run_folds(serving)
    changed = points_made_from(serving).changes_from(made)
    if told := [name for name in changed if not name.endswith(("code", "version"))]:
        raise ConfigError(
            f"config {serving.config.name}: ablation.detected_by: {serving.folder} has points of another kind "
            f"({', '.join(told)}); name a run of the same data, folds and detector, or none"
        )


def _ablate(run: Run, serving: Run) -> str:
    run_through(serving, last="detect")
    run.enter()
    run_crop(run)
    run_grade(run)
    read, judge = read_rows(run), Judge.of(run)
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
        seeds = [average_predictions(tables) for tables in zip(*(graders[part].seeds for part in parts), strict=False)]
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
    """What rows are judged by: the labels, a phantom's best answer and the prior, and the seed of the intervals."""

    labels: pd.DataFrame
    oracle: pd.DataFrame | None
    prior: pd.DataFrame
    seed: int

    @classmethod
    def of(cls, run: Run) -> "Judge":
        """The judge of a run."""
        competition, labels = run.competition, run.competition.labels
        return cls(labels, competition.oracle, nested_prior(labels, run.held_out), run.config.seed)

    def describe(self, row: Row, base: Row) -> dict[str, Any]:
        """A row's `FIGURES`, the differences being from another row; None for all of a row that has graded nothing."""
        told = {"row": row.name, "seeds": len(row.seeds), "seconds": row.seconds}
        graded = self._graded(row)
        if graded.empty:
            return told | dict.fromkeys(FIGURES)
        scores = [score_losses(self._losses(graded, table)).score for table in row.seeds]
        *by_seed, of_mean = self._figures(graded, [*scores, score_losses(self._losses(graded, row.mean)).score])
        by_labels = [score_losses(study_losses(graded, table)).score for table in row.seeds]
        return told | {
            "score": float(np.mean(by_labels)),
            "expected": None if self.oracle is None else float(np.mean(scores)),
            "by_seed": by_seed,
            "of_mean": of_mean,
            **self._difference(row, base),
        }

    def _figures(self, graded: pd.DataFrame, scores: Sequence[float]) -> Sequence[float]:
        """The excess of scores on some cells: 0 is the best answer, 1 the prior; the scores where it is not known."""
        if self.oracle is None:
            return scores
        best, prior = (score_losses(self._losses(graded, table)).score for table in (self.oracle, self.prior))
        return [(score - best) / (prior - best) for score in scores]

    def _graded(self, *rows: Row) -> pd.DataFrame:
        """The labels of the cells that all of some rows predict."""
        known = self.labels["row_id"]
        return self.labels[np.all([known.isin(row.seeds[0]["row_id"]) for row in rows], axis=0)]

    def _losses(self, graded: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
        """A table's losses on some cells, in expectation where the best answer is known."""
        predicted = table[table["row_id"].isin(graded["row_id"])]
        if self.oracle is None:
            return study_losses(graded, predicted)
        return expected_losses(graded, self.oracle, predicted)

    def _difference(self, row: Row, base: Row) -> dict[str, Any]:
        """How much more a row loses than another on the cells of both, paired over studies; None for rows of
        other condition groups."""
        common = self._graded(row, base)
        if common.empty:
            return {"difference": None, "difference_ci95": None}
        first, second = (_mean_losses([self._losses(common, table) for table in each.seeds]) for each in (row, base))
        difference = paired_difference(first, second, self.seed)
        return {"difference": difference.value, "difference_ci95": (difference.low, difference.high)}


def _mean_losses(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    total: pd.DataFrame = sum(tables[1:], start=tables[0])
    return total / len(tables)


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The table as text; differences below 0 are better."""
    is_phantom = any(row["expected"] is not None for row in rows)
    kinds = ("expected", "excess") if is_phantom else ("by seed",)
    lines = [("row", "seeds", "score", *kinds, "of mean", "difference", "95 % interval", "s a net")]
    for row in rows:
        figures, told = ("-",) * (2 + len(kinds)), ("-",) * 2
        if row["score"] is not None:
            spread = f" ±{np.std(row['by_seed'], ddof=1):.3f}" if row["seeds"] > 1 else ""
            expected = (f"{row['expected']:.4f}",) if is_phantom else ()
            figures = (
                f"{row['score']:.4f}",
                *expected,
                f"{np.mean(row['by_seed']):.3f}{spread}",
                f"{row['of_mean']:.3f}",
            )
        if row["difference"] is not None:
            low, high = row["difference_ci95"]
            told = (f"{row['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}")
        lines.append((row["row"], str(row["seeds"]), *figures, *told, f"{row['seconds']:.0f}"))
    return "\n".join(align(lines, left={0}))
