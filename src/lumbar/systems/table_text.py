"""The table of a system's variants as text, and what it says in words."""

from collections.abc import Mapping, Sequence

from lumbar.baselines.opening import describe_cells
from lumbar.baselines.papers import PAPERS
from lumbar.config import Config
from lumbar.records import align, figure
from lumbar.systems.table_rows import PAPER, TableRow

DIGITS = {"epochs": 1, "batch_size": 0, "seconds": 0}
"""Decimals of the columns that do not have three."""
SPLIT_WORDS = {"own_split": "own split", "grouped": "grouped folds", PAPER: "the paper"}
LEGEND = """\
own split: rows split as the paper split them. grouped folds: a study's rows are all on one side. the paper: as it
prints them, on its own data."""
NOTES = {
    "train_accuracy": "train accuracy: in the epoch that was kept.",
    "precision_as_published": "precision, recall, F1, F-beta: micro at .5, the likeliest reading of the paper.",
    "roc_auc_as_published": "the areas: micro, each class of each case a question of its own.",
    "rmse_as_published": "RMSE: of the probabilities.",
    "seconds": "seconds: training and testing of all nets of the split, when they were last made.",
    "final_loss": "final loss: in training, in the last epoch.",
}
"""What is said of a column, where a table has it."""
OVERFIT = 0.15
"""So much more accuracy in training than on the rows of its own split is told of a net."""


def format_table(config: Config, rows: Sequence[TableRow], columns: Mapping[str, str]) -> str:
    """The highlights and the table of a system's nets; `columns` are keys of a row, and their heads."""
    lines = [("net", "weights", "parameters", "split", *columns.values())]
    for row in rows:
        lines.append((*_names(row), SPLIT_WORDS[row["split"]], *(_figure(row, key) for key in columns)))
    head = f"{PAPERS[config.name].title}: variants ({describe_cells(config.cells)})"
    size = f"{config.grade.image_size} x {config.grade.image_size} pixels, at most {config.grade.epochs} epochs"
    said = [f"- {sentence}" for sentence in write_highlights(rows)]
    notes = [note for key, note in NOTES.items() if key in columns]
    return "\n".join([head, size, "", *said, "", *align(lines, left=(0, 1, 3)), "", LEGEND, *notes])


def _names(row: TableRow) -> tuple[str, str, str]:
    """A net's name and what it starts from, once for all of its splits."""
    if row["split"] != "own_split":
        return "", "", ""
    return row["net"], row["weights"], f"{row['parameters']:,}"


def _figure(row: TableRow, key: str) -> str:
    if row["split"] == PAPER and key in ("batch_size", "seconds"):
        return "-"  # ours
    return figure(row.get(key), DIGITS.get(key, 3))


def write_highlights(rows: Sequence[TableRow]) -> list[str]:
    """What the table says, in sentences: the best nets, the gap between the splits, who overfits, and a constant
    answer."""
    found = {split: _accuracies(rows, split) for split in SPLIT_WORDS}
    said = [f"Best in {SPLIT_WORDS[split]}: {_best(of)}." for split, of in found.items() if of]
    said += _describe_doubt(rows)
    said += _describe_gap(found["own_split"], found["grouped"])
    said += _describe_overfit(rows)
    return said + _describe_constant(rows)


def _accuracies(rows: Sequence[TableRow], split: str) -> dict[str, float]:
    return {row["net"]: row["accuracy"] for row in rows if row["split"] == split and row["accuracy"] is not None}


def _best(accuracies: Mapping[str, float]) -> str:
    """All that share the highest accuracy to three decimals."""
    highest = max(round(value, 3) for value in accuracies.values())
    *others, last = [name for name, value in accuracies.items() if round(value, 3) == highest]
    return f"{', '.join(others)}{' and ' if others else ''}{last} (accuracy {highest:.3f})"


def _describe_doubt(rows: Sequence[TableRow]) -> list[str]:
    """How far the best net's interval in grouped folds reaches: a best one of many is partly luck."""
    tested = [row for row in rows if row["split"] == "grouped" and row.get("accuracy_low") is not None]
    if len(tested) < 2:
        return []
    best = max(tested, key=lambda row: row["accuracy"])
    low, high = best["accuracy_low"], best["accuracy_high"]
    inside = sum(low <= row["accuracy"] for row in tested) - 1
    return [
        f"In grouped folds {best['net']} has a 95 % interval from {low:.3f} to {high:.3f} over studies, in which "
        f"{inside} of the {len(tested) - 1} other nets lie."
    ]


def _describe_gap(own: Mapping[str, float], grouped: Mapping[str, float]) -> list[str]:
    gaps = {name: own[name] - grouped[name] for name in own if name in grouped}
    if not gaps:
        return []
    mean, most = sum(gaps.values()) / len(gaps), max(gaps, key=gaps.__getitem__)
    return [
        f"Accuracy in the own split is {_points(mean)} that in grouped folds in the mean of the nets, and "
        f"{_points(gaps[most])} it for {most}, the largest gap."
    ]


def _points(gap: float) -> str:
    """A difference of accuracies in words."""
    return f"{abs(100 * gap):.1f} points {'below' if gap < 0 else 'above'}"


def _describe_overfit(rows: Sequence[TableRow]) -> list[str]:
    """Of our nets by their own split, and of the paper's where it says both figures."""
    said = []
    for split, whose in (("own_split", "here"), (PAPER, "in the paper")):
        pairs = {row["net"]: (row.get("train_accuracy"), row["accuracy"]) for row in rows if row["split"] == split}
        known = {name: pair for name, pair in pairs.items() if None not in pair}
        found = [
            f"{name} ({high:.3f} against {low:.3f})" for name, (high, low) in known.items() if high - low > OVERFIT
        ]
        if known:
            said.append(f"Overfit {whose}, far better in training than in testing: {', '.join(found) or 'none'}.")
    return said


def _describe_constant(rows: Sequence[TableRow]) -> list[str]:
    tested = [row for row in rows if row["split"] == "grouped" and row["accuracy"] is not None]
    if not tested:
        return []
    constant = tested[0]["most_frequent_class"]
    better = sum(row["accuracy"] > constant for row in tested)
    return [
        f"Always the most frequent class would be right in {constant:.3f} of the cases of the grouped folds; "
        f"{better} of {len(tested)} nets are right more often."
    ]
