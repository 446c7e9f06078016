"""What a net tells apart: its classes, its loss, and how its outputs become the three grades.

A *posterior* here is what the net's probabilities are once the weights that it was trained with are taken out again.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lumbar.labels import CONDITIONS, GRADE_WEIGHTS, GRADES, LEVELS

Batch = dict[str, Any]
"""A batch of `data.SystemDataset`."""


@dataclass(frozen=True)
class Cells:
    """Where the rows of a batch are: indices (B,) of their conditions and levels, and the shares of severe among
    moderate and severe cases (5 conditions, 5 levels)."""

    conditions: torch.Tensor
    levels: torch.Tensor
    severe_shares: torch.Tensor

    def split(self, affected: torch.Tensor) -> torch.Tensor:
        """Grades (B, 3) of probabilities (B,) to be moderate or severe, split as the two are in the cell's prior."""
        severe = self.severe_shares[self.conditions, self.levels]
        return torch.stack([1 - affected, affected * (1 - severe), affected * severe], dim=1)


class Target(ABC):
    """What a net tells apart."""

    classes: tuple[str, ...]
    """The names of the classes, for which the net's own figures are measured."""
    outputs: int
    """How many numbers the net gives."""
    ordered: bool = True
    """Whether the order of the classes means something."""
    tells_unannotated: bool = False
    """Whether it also has a class for slices that nobody has annotated."""

    @abstractmethod
    def truth(self, grades: NDArray[np.int64], conditions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The classes (N,) of grades (N,) and condition indices (N,), which are past the last condition for slices that
        nobody has annotated."""

    @abstractmethod
    def loss(self, outputs: torch.Tensor, truth: torch.Tensor, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
        """The log loss of outputs (B, O), its mean weighted with those of the classes (C,)."""

    @abstractmethod
    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, C) of the classes."""

    @abstractmethod
    def grade(self, posterior: torch.Tensor, cells: Cells) -> torch.Tensor:
        """Probabilities (B, 3) of the grades from a posterior (B, C)."""


class Grades(Target):
    """The three grades, by softmax."""

    classes = GRADES
    outputs = len(GRADES)

    def truth(self, grades: NDArray[np.int64], conditions: NDArray[np.int64]) -> NDArray[np.int64]:
        return grades

    def loss(self, outputs: torch.Tensor, truth: torch.Tensor, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, truth, weights)

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        return torch.softmax(outputs, dim=1)

    def grade(self, posterior: torch.Tensor, cells: Cells) -> torch.Tensor:
        return posterior


class Affected(Target):
    """Normal or mild against moderate and severe together, by one sigmoid."""

    classes = (GRADES[0], "_or_".join(GRADES[1:]))
    outputs = 1

    def truth(self, grades: NDArray[np.int64], conditions: NDArray[np.int64]) -> NDArray[np.int64]:
        return (grades > 0).astype(np.int64)

    def loss(self, outputs: torch.Tensor, truth: torch.Tensor, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
        each = functional.binary_cross_entropy_with_logits(outputs[:, 0], truth.to(outputs.dtype), reduction="none")
        return (each * weights[truth]).sum() / weights[truth].sum()

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        affected = torch.sigmoid(outputs[:, 0])
        return torch.stack([1 - affected, affected], dim=1)

    def grade(self, posterior: torch.Tensor, cells: Cells) -> torch.Tensor:
        return cells.split(posterior[:, 1])


class ConditionAndLevel(Target):
    """Which condition an image is annotated with, whatever its grade, or "healthy" where it has no annotation; and at
    which level. Two heads, each by softmax.

    The labels of "Automated Detection and Classification of Lumbar Spine Diseases" (University of Misan). They say
    nothing of the grade; as in the paper, a condition is read as a disease.
    """

    classes = (*CONDITIONS, "healthy")
    outputs = len(classes) + len(LEVELS)
    ordered = False
    tells_unannotated = True

    def truth(self, grades: NDArray[np.int64], conditions: NDArray[np.int64]) -> NDArray[np.int64]:
        return conditions

    def loss(self, outputs: torch.Tensor, truth: torch.Tensor, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
        condition, level = outputs.split([len(self.classes), len(LEVELS)], dim=1)
        return functional.cross_entropy(condition, truth, weights) + self.level_loss(level, truth, batch["level"])

    def level_loss(self, outputs: torch.Tensor, truth: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """The log loss of the level head's outputs (B, 5); a slice without an annotation has no level."""
        has_level = truth < len(CONDITIONS)
        each = functional.cross_entropy(outputs, levels, reduction="none")
        return (each * has_level).sum() / has_level.sum().clamp(min=1)

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        return torch.softmax(outputs[:, : len(self.classes)], dim=1)

    def grade(self, posterior: torch.Tensor, cells: Cells) -> torch.Tensor:
        # A cell's condition and level are known, so the only question is between its condition and healthy.
        own = posterior.gather(1, cells.conditions[:, None])[:, 0]
        return cells.split(own / (own + posterior[:, -1]))


class AffectedConditionAndLevel(ConditionAndLevel):
    """The same two heads, with "healthy" for cells that are normal or mild: labels that do speak of the grade."""

    tells_unannotated = False

    def truth(self, grades: NDArray[np.int64], conditions: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(grades > 0, conditions, len(CONDITIONS))

    def level_loss(self, outputs: torch.Tensor, truth: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """The log loss of the level head's outputs (B, 5), each of which has a level."""
        return functional.cross_entropy(outputs, levels)


TARGETS: dict[str, Target] = {
    "grades": Grades(),
    "affected": Affected(),
    "condition_and_level": ConditionAndLevel(),
    "affected_condition_and_level": AffectedConditionAndLevel(),
}


def answer(target: str, probabilities: torch.Tensor, trained_with: torch.Tensor, cells: Cells) -> torch.Tensor:
    """The best answer (B, 3) to the weighted metric that a net's probabilities (B, C) make.

    `trained_with` (C,) is the weight that a case of each class had in training. A net trained with weights w aims at
    the posterior times w; the metric, with weights v, is answered best by the posterior times v.
    """
    posterior = probabilities / trained_with.to(probabilities.dtype)
    posterior = posterior / posterior.sum(dim=1, keepdim=True)
    weighted = TARGETS[target].grade(posterior, cells) * probabilities.new_tensor(GRADE_WEIGHTS)
    return weighted / weighted.sum(dim=1, keepdim=True)
