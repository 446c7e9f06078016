"""The ensemble: what each way of blending scores, its members' weights, and what it would be without each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lumbar.ensemble.report import ENSEMBLE
from lumbar.report.charts import DotPlot, Mark, Row, round_axis
from lumbar.report.score import HeatCell, HeatRow
from lumbar.report.words import GROUP_TITLES, figure, minus


@dataclass(frozen=True)
class Blend:
    """Everything the section on the ensemble shows; a part without its data is None or empty."""

    method: str
    methods: DotPlot | None
    without: DotPlot | None
    heads: tuple[str, ...]
    weights: tuple[HeatRow, ...]
    suspicious: tuple[str, ...]


def describe_blend(found: Mapping[str, Any]) -> Blend:
    """From the ensemble's own report: its method, scores, weights, without_member and suspicious, where it has them."""
    weights: Mapping[str, Any] = found.get("weights") or {}
    return Blend(
        str(found.get("method", "")),
        _methods(found.get("scores") or {}),
        _without(found.get("without_member") or []),
        tuple(GROUP_TITLES.get(group, group) for group in weights),
        _weigh(weights),
        tuple(map(str, found.get("suspicious") or ())),
    )


def _methods(scores: Mapping[str, Any]) -> DotPlot | None:
    known = {name: score["score"] for name, score in scores.items() if score.get("score") is not None}
    if not known:
        return None
    rows = tuple(
        Row(name.replace("_", " "), (Mark(score, "score", name),), text=f"{score:.4f}", strong=name == ENSEMBLE)
        for name, score in sorted(known.items(), key=lambda item: item[1])
    )
    return DotPlot(round_axis("weighted log loss, less is better", min(known.values()), max(known.values())), rows)


def _without(records: list[Mapping[str, Any]]) -> DotPlot | None:
    if not records:
        return None
    rows = tuple(
        Row(
            f"without {record['member']}",
            (Mark(record["difference"], "score", "difference"),),
            tuple(record["ci95"]) if record.get("ci95") else None,
            minus(f"{record['difference']:+.3f}"),
        )
        for record in sorted(records, key=lambda record: -record["difference"])
    )
    ends = [0.0, *(mark.value for row in rows for mark in row.marks), *(end for row in rows for end in row.band or ())]
    axis = round_axis("change of the score, above zero is worse", min(ends), max(ends))
    return DotPlot(axis, rows, rule=(0.0, "no change"))


def _weigh(weights: Mapping[str, Any]) -> tuple[HeatRow, ...]:
    """A row for each member, a column for each group; a member that is not in a group has a dash there."""
    members = sorted({member for of_group in weights.values() for member in of_group})
    return tuple(
        HeatRow(member, tuple(_weight(of_group.get(member)) for of_group in weights.values())) for member in members
    )


def _weight(weight: float | None) -> HeatCell:
    return HeatCell(figure(weight), "", "better", round(weight or 0.0, 2))
