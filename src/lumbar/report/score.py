"""The score: against the prior and the best possible answer, by component, fold, condition and level."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lumbar.labels import CELLS
from lumbar.metric import COMPONENTS, study_losses
from lumbar.report.charts import DotPlot, Mark, Row, round_axis
from lumbar.report.figures import cell_losses, component_scores
from lumbar.report.words import COMPONENT_TITLES, figure, percent

LEGEND = (("score", "this run, 95 % interval over studies"), ("fold", "one fold"), ("prior", "prior"))
ORACLE_LEGEND = (("oracle", "best possible answer"),)


@dataclass(frozen=True)
class Tile:
    """One figure with its name and what it means."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class HeatCell:
    """A cell of a table that is tinted: how far (0 to 1) and which way, by a CSS class."""

    text: str
    note: str
    style: str = ""
    strength: float = 0.0


@dataclass(frozen=True)
class HeatRow:
    """A row of such a table."""

    name: str
    cells: tuple[HeatCell, ...]


def score_plot(result: Mapping[str, Any], cells: pd.DataFrame, labels: pd.DataFrame, seed: int) -> DotPlot:
    """A row for the score and each component: its interval, the prior, the folds, and the oracle where it is known."""
    scores = component_scores(study_losses(labels, cells), seed)
    rows = []
    for name, known in scores.items():
        if known is None:
            continue
        value, low, high = known
        marks = [Mark(fold[name], "fold", f"fold {number}") for number, fold in result["folds"].items() if fold[name]]
        marks += [Mark(result["prior"][name], "prior", "prior")]
        if result["oracle"]:
            marks += [Mark(result["oracle"][name], "oracle", "best possible answer")]
        marks += [Mark(value, "score", "this run")]
        title = COMPONENT_TITLES.get(name, "Score")
        rows.append(Row(title, tuple(marks), (low, high), f"{value:.3f}", strong=name == "score"))
    values = [mark.value for row in rows for mark in row.marks] + [end for row in rows for end in row.band or ()]
    axis = round_axis("weighted log loss, less is better", 0.0, max(values))
    return DotPlot(axis, tuple(rows), legend=LEGEND + (ORACLE_LEGEND if result["oracle"] else ()))


def score_rows(result: Mapping[str, Any]) -> list[tuple[str, list[float | None]]]:
    """The plot's figures as rows of a table: the score, then each component (`COMPONENTS`)."""
    named = [("this run", result), ("prior", result["prior"]), ("best possible answer", result["oracle"])]
    named += [(f"fold {number}", fold) for number, fold in result["folds"].items()]
    return [(name, [values[key] for key in ("score", *COMPONENTS)]) for name, values in named if values]


def score_tiles(result: Mapping[str, Any], by_jobs: bool) -> list[Tile]:
    """The figures beside the score; how long a run took only where its stages did the work, not jobs before them."""
    low, high = result["gain_over_prior_ci95"]
    tiles = [
        Tile(
            "better than the prior",
            figure(result["gain_over_prior"], 3),
            f"{figure(low, 3)} to {figure(high, 3)}, paired",
        )
    ]
    if result["excess"] is not None:
        tiles.append(Tile("excess", figure(result["excess"], 3), "0 is the best possible answer, 1 the prior"))
    found = next((row for row in result["detection"] if row["group"] == "all"), None)
    if found:
        tiles.append(Tile("points within 8 mm", percent(found["within_8_mm"], 1), f"of {found['points']:,} annotated"))
    total = result["studies"] * len(CELLS)
    share = 1 - result["cells_from_prior"] / total
    tiles.append(Tile("cells graded", percent(share, 1), f"{result['cells_from_prior']} of {total:,} got the prior"))
    if not by_jobs:
        seconds = sum(value for value in result["seconds"].values() if value)
        tiles.append(Tile("minutes", f"{seconds / 60:.1f}", "all stages, when they last ran"))
    return tiles


def loss_table(cells: pd.DataFrame) -> list[HeatRow]:
    """The loss of each condition at each level, tinted by how it compares with the prior's there."""
    own, prior = cell_losses(cells), cell_losses(cells, "prior_loss")
    rows = []
    for condition in own.index[own["all"].notna()]:
        pairs = zip(own.loc[condition], prior.loc[condition], strict=True)
        name = "All, by weight" if condition == "all" else condition.replace("_", " ").capitalize()
        rows.append(HeatRow(name, tuple(_compare(*pair) for pair in pairs)))
    return rows


def _compare(own: float, prior: float) -> HeatCell:
    if own != own:
        return HeatCell(figure(None), "no label")
    ratio = own / prior
    style, strength = ("better", 1 - ratio) if ratio <= 1 else ("worse", ratio - 1)
    return HeatCell(f"{own:.2f}", f"prior {prior:.2f}", style, round(min(strength, 1.0), 2))
