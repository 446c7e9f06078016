"""Curves by epoch, from the graders' cards."""

from collections.abc import Mapping

from lumbar.checkpoint import Card
from lumbar.report.charts import Axis, Chart, Line, round_axis
from lumbar.report.words import GROUP_TITLES

SUFFIX = "_by_epoch"
"""A card's details hold a curve under each name that ends so."""


def training_charts(cards: Mapping[str, Card]) -> list[Chart]:
    """A chart for each group and each quantity of the cards, with a line for each fold and each curve of it.

    `loss_by_epoch` and `watched_loss_by_epoch` share a chart; all charts of a quantity share their axes.
    """
    curves = [
        (_quantity(name), _group(card), f"{_short(stem, card)}{' watched' if 'watched' in name else ''}", name, values)
        for stem, card in cards.items()
        for name, values in card.details.items()
        if name.endswith(SUFFIX) and values
    ]
    charts = []
    for quantity in sorted({curve[0] for curve in curves}, reverse=True):  # loss before accuracy
        mine = [curve for curve in curves if curve[0] == quantity]
        x, y = _axes(quantity, [curve[-1] for curve in mine])
        for group in sorted({curve[1] for curve in mine}, key=[*GROUP_TITLES, ""].index):
            lines = tuple(
                Line(
                    list(enumerate(map(float, values), start=1)), "watched" if "watched" in name else "training", label
                )
                for _, of, label, name, values in mine
                if of == group
            )
            charts.append(Chart(GROUP_TITLES.get(group, "Grader"), x, y, lines, width=340, height=230))
    return charts


def _quantity(name: str) -> str:
    return name.removesuffix(SUFFIX).split("_")[-1]


def _group(card: Card) -> str:
    group = card.config.get("group", "")
    return group if group in GROUP_TITLES else ""


def _short(stem: str, card: Card) -> str:
    """Which of a group's lines it is: the fold, after what else the stem says."""
    rest = stem.removesuffix(f"_fold{card.fold}").removesuffix(_group(card)).strip("_")
    return f"{rest} fold {card.fold}".strip()


def _axes(quantity: str, curves: list[list[float]]) -> tuple[Axis, Axis]:
    epochs = max(len(curve) for curve in curves)
    ends = (1.0, float(max(epochs, 2)))
    values = [value for curve in curves for value in curve]
    low = min(0.0, min(values)) if quantity == "loss" else min(values)
    x = Axis("epoch", *ends, ((1.0, "1"), (ends[1], f"{ends[1]:.0f}")))
    return x, round_axis(quantity, low, max(values))
