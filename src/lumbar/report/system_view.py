"""What a published system saw: its crops as its nets were given them, what they answered, and what spoke for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lumbar.baselines.cases import open_cases, predict_cases
from lumbar.baselines.data import SystemDataset
from lumbar.baselines.net import SystemNet
from lumbar.baselines.opening import at_annotated_points
from lumbar.baselines.predict import load_system, outputs_of
from lumbar.baselines.samplers import Examples, Numbers, true_classes
from lumbar.baselines.stage import labelled_rows
from lumbar.baselines.targets import TARGETS
from lumbar.crop.crops import Crops
from lumbar.labels import LEVELS
from lumbar.report.gradcam import explain
from lumbar.run.run import Run


@dataclass(frozen=True, eq=False)
class Seen:
    """A crop, the net that has not seen its study, and what it answered."""

    row_id: str
    study_id: int
    fold: int
    row: int
    """The crop's number."""
    image: NDArray[np.float64]
    """The middle slice (S, S) in [0, 1], as the net was given it."""
    place: tuple[float, float]
    """Where its point lies in the image, as shares of its sides."""
    truth: str
    predicted: str
    probability: float
    level: str
    """The level that was predicted, where the net says one, or else the cell's."""


class SystemView:
    """A system's crops and nets, each opened once: those of its first grader, at the points that its paper used."""

    def __init__(self, run: Run) -> None:
        self.run, self.grader = run, next(iter(run.config.trained_graders))
        annotated = at_annotated_points(run)
        self.crops, _ = open_cases(annotated, self.grader)
        self.rows = labelled_rows(annotated, self.crops.index)  # also those that the paper drops
        self._nets: dict[int, SystemNet] = {}

    @property
    def has_answers(self) -> bool:
        """Whether a net was trained that has not seen some of the crops."""
        return len(self._predicted_rows()) > 0

    def net(self, fold: int) -> SystemNet:
        """The net that has not seen a fold's studies."""
        if fold not in self._nets:
            self._nets[fold] = load_system(self._stem(fold)).cpu()
        return self._nets[fold]

    def choose(self, count: int, seed: int) -> Numbers:
        """So many crops of different studies if possible, of the true classes by turns, in a random order."""
        order = np.random.default_rng(seed).permutation(self._predicted_rows())
        index = self.crops.index.iloc[order]
        classes = true_classes(index, TARGETS[self.run.config.system.target])
        table = pd.DataFrame({"row": order, "class": classes, "study_id": index["study_id"].to_numpy()})
        table["again"] = table.groupby("study_id").cumcount()
        table = table.sort_values("again", kind="stable")
        table["turn"] = table.groupby("class").cumcount()
        return table.sort_values(["turn", "class"], kind="stable")["row"].to_numpy(dtype=np.int64)[:count]

    def rows_of(self, row_id: str) -> Numbers:
        """The crops of a cell."""
        rows = self._predicted_rows()
        return rows[(self.crops.index["row_id"].iloc[rows] == row_id).to_numpy()]

    def look(self, rows: Numbers) -> Iterator[Seen]:
        """What was seen in some crops, in their order."""
        for row in rows.tolist():
            yield self._look(row)

    def explain(self, seen: Seen) -> dict[str, NDArray[np.float64] | None]:
        """The Grad-CAM of what was answered: of the `class`, and of the `level` where the net says one."""
        net = self.net(seen.fold)
        outputs = {"class": net.target.classes.index(seen.predicted)}
        if net.target.outputs > len(net.target.classes):
            outputs["level"] = len(net.target.classes) + LEVELS.index(seen.level)
        return {head: explain(net, self._inputs(seen), output) for head, output in outputs.items()}

    def _stem(self, fold: int) -> Path:
        return self.run.models / f"{self.grader}_fold{fold}"

    def _predicted_rows(self) -> Numbers:
        there = [fold for fold in self.run.fold_numbers if self._stem(fold).with_suffix(".json").is_file()]
        return self.rows[self.crops.index["fold"].iloc[self.rows].isin(there).to_numpy()]

    def _look(self, row: int) -> Seen:
        index = self.crops.index.iloc[row]
        net, examples = self.net(int(index["fold"])), Examples.of(np.array([row]))
        case = predict_cases(net.target, outputs_of(net, self.crops, examples), self.crops, examples).iloc[0]
        image = middle_slice(SystemDataset(self.crops, examples, net.config)[0]["crop"])
        return Seen(
            row_id=index["row_id"],
            study_id=int(index["study_id"]),
            fold=int(index["fold"]),
            row=row,
            image=image,
            place=_place(self.crops, row, net, len(image)),
            truth=case["truth"],
            predicted=case["predicted"],
            probability=float(case[case["predicted"]]),
            level=case["level"],
        )

    def _inputs(self, seen: Seen) -> tuple[torch.Tensor, ...]:
        return inputs_of(self.net(seen.fold), self.crops, seen.row)


def inputs_of(net: SystemNet, crops: Crops, row: int) -> tuple[torch.Tensor, ...]:
    """What a net is called with for one crop, (1, ...) each, the crop first."""
    example = SystemDataset(crops, Examples.of(np.array([row])), net.config)[0]
    return tuple(torch.as_tensor(example[name])[None] for name in net.inputs)


def middle_slice(crop: torch.Tensor) -> NDArray[np.float64]:
    """The middle slice (S, S) of a crop (slices, S, S)."""
    return crop[len(crop) // 2].double().numpy()


def _place(crops: Crops, row: int, net: SystemNet, side: int) -> tuple[float, float]:
    """The point of a crop of whole slices lies anywhere, that of another in the middle; the net sees the middle part of
    `side` pixels."""
    if not net.published.slices.whole_slice:
        return 0.5, 0.5
    stored = np.asarray(crops.pixels[row]).shape[-1]
    x, y = (0.5 + (float(crops.index[f"place_{axis}"].iloc[row]) - 0.5) * stored / side for axis in "xy")
    return x, y
