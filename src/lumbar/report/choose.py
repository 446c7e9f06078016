"""Which cells and which studies are worth a look."""

from dataclasses import dataclass

import pandas as pd

from lumbar.labels import GRADES, GROUPS

SHOWN_OF_GROUP = 3
"""Cells of each condition group in a gallery: enough to see a pattern, few enough to look at all of them."""

KINDS = ("best", "worst", "surprising")


@dataclass(frozen=True, eq=False)
class Gallery:
    """Chosen cells, the most telling first, and why they are chosen."""

    kind: str
    cells: pd.DataFrame


def choose_cells(cells: pd.DataFrame) -> list[Gallery]:
    """The best, the worst and the most surprising cells of each condition group that are labelled and graded.

    Best: the image took most off the prior's weighted loss. Worst: the weighted loss is largest. Surprising: wrong,
    with the highest probability, and not among the worst already.
    """
    known = rate_cells(cells[cells["graded"]])
    best = _top(known[known["gain"] > 0], "gain")
    worst = _top(known, "cost")
    wrong = known[known["grade"] != known["predicted"]]
    surprising = _top(wrong[~wrong["row_id"].isin(worst["row_id"])], "confidence")
    return [Gallery(kind, chosen) for kind, chosen in zip(KINDS, (best, worst, surprising), strict=True)]


def rate_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The labelled cells with their weighted loss (`cost`), how much less it is than the prior's (`gain`), and the
    probability of the predicted grade (`confidence`)."""
    known = cells[cells["grade"].notna()]
    return known.assign(
        cost=known["weight"] * known["loss"],
        gain=known["weight"] * (known["prior_loss"] - known["loss"]),
        confidence=known[list(GRADES)].max(axis=1),
    )


def _top(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    ordered = cells.sort_values([column, "row_id"], ascending=[False, True])
    chosen = [ordered[ordered["group"] == group].head(SHOWN_OF_GROUP) for group in GROUPS]
    return pd.concat(chosen)


def choose_studies(cells: pd.DataFrame, count: int) -> list[tuple[int, str]]:
    """At most so many studies with the reason for each, by turns the best, the worst and the most surprising one left.

    The best study has the largest mean gain on the prior, the worst the largest mean loss, the most surprising one
    the most confident wrong cell. Studies without a label come last.
    """
    known = rate_cells(cells)
    sums = known.groupby("study_id")[["gain", "cost", "weight"]].sum()
    wrong = known[known["grade"] != known["predicted"]]
    orders = {
        "best": (sums["gain"] / sums["weight"]).sort_values(ascending=False, kind="stable").index.tolist(),
        "worst": (sums["cost"] / sums["weight"]).sort_values(ascending=False, kind="stable").index.tolist(),
        "surprising": wrong.groupby("study_id")["confidence"]
        .max()
        .sort_values(ascending=False, kind="stable")
        .index.tolist(),
    }
    chosen: dict[int, str] = {}
    while len(chosen) < count and any(orders.values()):
        for kind, order in orders.items():
            left = [study for study in order if study not in chosen]
            orders[kind] = left[1:]
            if left and len(chosen) < count:
                chosen[left[0]] = kind
    rest = [study for study in cells["study_id"].unique() if study not in chosen]
    chosen |= dict.fromkeys(rest[: count - len(chosen)], "without a label")
    return sorted(chosen.items(), key=lambda item: [*KINDS, "without a label"].index(item[1]))
