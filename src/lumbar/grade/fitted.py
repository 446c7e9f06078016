"""Classifiers that are fitted at once, as heads of a net: scikit-learn fits them, and their arrays answer.

The arrays are kept as weights are, so that loading one never executes code from it, and nothing but torch is needed to
ask it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lumbar.errors import InputError

TREES = 300
SMALLEST_LEAF = 3
"""Cases of a leaf; with fewer, a forest is too sure for a log loss."""
LEAST = 1e-7
"""The least probability of a pair of classes, as in libsvm, and of any class."""
Features = NDArray[np.float32]


class FittedHead(nn.Module, ABC):
    """Log probabilities of classes from features, by arrays whose sizes are known once they are fitted."""

    def __init__(self, classes: int, names: tuple[str, ...]) -> None:
        super().__init__()
        self.classes = classes
        for name in names:
            self.register_buffer(name, torch.zeros(0))

    @abstractmethod
    def fit(self, features: Features, truth: NDArray[np.int64], weights: NDArray[np.float64], seed: int) -> None:
        """Fits the arrays to features (N, F) of at least two classes (N,), each case with its weight (N,)."""

    @abstractmethod
    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, C) of features (B, F), both in float64."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Log probabilities (B, C) of features (B, F), in float32."""
        return self.shares(features.double()).clamp(min=LEAST).log().float()

    def keep(self, **arrays: Any) -> None:
        """Takes the arrays of a fit."""
        for name, array in arrays.items():
            setattr(self, name, torch.as_tensor(np.asarray(array)))

    def _load_from_state_dict(self, state: dict[str, torch.Tensor], prefix: str, *options: Any) -> None:
        for name in self._buffers:
            if prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name]))
        super()._load_from_state_dict(state, prefix, *options)


class SupportVectors(FittedHead):
    """Support vectors with a Gaussian kernel: one machine for each pair of classes, whose answers Platt's sigmoids turn
    to probabilities, coupled after Wu, Lin and Weng (2004), their second method."""

    mean: torch.Tensor
    deviation: torch.Tensor
    vectors: torch.Tensor
    gamma: torch.Tensor
    pair_weights: torch.Tensor
    offsets: torch.Tensor
    sigmoids: torch.Tensor
    present: torch.Tensor

    def __init__(self, classes: int) -> None:
        names = ("mean", "deviation", "vectors", "gamma", "pair_weights", "offsets", "sigmoids", "present")
        super().__init__(classes, names)

    def fit(self, features: Features, truth: NDArray[np.int64], weights: NDArray[np.float64], seed: int) -> None:
        """Fits to features (N, F) of at least two classes (N,), each case with its weight (N,)."""
        if len(np.unique(truth)) < 2:
            raise InputError("support vectors need crops of two grades to train on, all are of one")
        from sklearn.svm import SVC  # here, for a kernel that only asks need not load it

        mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        deviation[deviation == 0] = 1.0
        gamma = 1 / features.shape[1]
        machine = SVC(gamma=gamma, probability=True, random_state=seed)
        machine.fit((features - mean) / deviation, truth, weights)
        self.keep(
            mean=mean,
            deviation=deviation,
            vectors=machine.support_vectors_.astype(np.float32),
            gamma=gamma,
            pair_weights=_pair_weights(machine),
            offsets=machine.intercept_ * _sign(machine),
            sigmoids=np.stack([machine.probA_, machine.probB_], axis=1),
            present=machine.classes_,
        )

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, C) of features (B, F), both in float64."""
        scaled = (features - self.mean) / self.deviation
        kernel = torch.exp(-self.gamma * torch.cdist(scaled, self.vectors.double()) ** 2)  # (B, vectors)
        decisions = kernel @ self.pair_weights.T + self.offsets  # (B, pairs)
        slope, shift = self.sigmoids.T
        first_wins = torch.sigmoid(-(slope * decisions + shift)).clamp(LEAST, 1 - LEAST)
        shares = features.new_zeros(len(features), self.classes)
        shares[:, self.present.long()] = couple(first_wins, len(self.present))
        return shares


def _sign(machine: Any) -> int:
    """Of two classes alone, scikit-learn turns the sign of what its sigmoids were fitted to."""
    return -1 if len(machine.classes_) == 2 else 1


def _pair_weights(machine: Any) -> NDArray[np.float64]:
    """The weight (pairs, vectors) of each support vector in the machine of each pair of classes."""
    of_class = np.repeat(np.arange(len(machine.classes_)), machine.n_support_)
    coefficients = machine.dual_coef_ * _sign(machine)  # (classes - 1, vectors): against each other class
    pairs = combinations(range(len(machine.classes_)), 2)
    return np.stack(
        [
            np.where(of_class == first, coefficients[second - 1], 0)
            + np.where(of_class == second, coefficients[first], 0)
            for first, second in pairs
        ]
    )


def couple(first_wins: torch.Tensor, classes: int) -> torch.Tensor:
    """Probabilities (B, K) of K classes that fit best to those (B, pairs) that the first of each pair wins."""
    wins = first_wins.new_zeros(len(first_wins), classes, classes)  # of the row's class over the column's
    for number, (first, second) in enumerate(combinations(range(classes), 2)):
        wins[:, first, second] = first_wins[:, number]
        wins[:, second, first] = 1 - first_wins[:, number]
    losses = wins.transpose(1, 2)
    # The least of the sum over pairs of (wins of j × p of i - wins of i × p of j)², with the sum of p held at 1.
    system = first_wins.new_ones(len(first_wins), classes + 1, classes + 1)
    system[:, :classes, :classes] = torch.diag_embed((losses**2).sum(dim=2)) - losses * wins
    system[:, classes, classes] = 0
    aims = first_wins.new_zeros(len(first_wins), classes + 1)
    aims[:, classes] = 1
    return torch.linalg.solve(system, aims)[:, :classes].clamp(min=0)


class Forest(FittedHead):
    """A random forest: the mean over its trees of the classes' shares in the leaf that a case comes to."""

    roots: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    feature: torch.Tensor
    threshold: torch.Tensor
    leaf_shares: torch.Tensor
    depth: torch.Tensor

    def __init__(self, classes: int) -> None:
        super().__init__(classes, ("roots", "left", "right", "feature", "threshold", "leaf_shares", "depth"))

    def fit(self, features: Features, truth: NDArray[np.int64], weights: NDArray[np.float64], seed: int) -> None:
        """Fits to features (N, F) of classes (N,), each case with its weight (N,)."""
        from sklearn.ensemble import RandomForestClassifier  # see above

        forest = RandomForestClassifier(TREES, min_samples_leaf=SMALLEST_LEAF, random_state=seed)
        trees = [tree.tree_ for tree in forest.fit(features, truth, weights).estimators_]
        of_present = np.concatenate([tree.value[:, 0] for tree in trees])
        leaf_shares = np.zeros((len(of_present), self.classes))
        leaf_shares[:, forest.classes_] = of_present
        self.keep(leaf_shares=leaf_shares, depth=max(tree.max_depth for tree in trees), **_join_trees(trees))

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, C) of features (B, F), both in float64."""
        nodes = self.roots.expand(len(features), -1)  # (B, trees)
        for _ in range(int(self.depth)):
            goes_left = features.gather(1, self.feature[nodes]) <= self.threshold[nodes]
            nodes = torch.where(goes_left, self.left[nodes], self.right[nodes])
        return self.leaf_shares[nodes].mean(dim=1)


def _join_trees(trees: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """The nodes of scikit-learn's trees one tree after the other, and where each begins.

    A leaf's children are itself, so that all cases can go as many steps.
    """
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    feature, threshold = (np.concatenate([getattr(tree, name) for tree in trees]) for name in ("feature", "threshold"))
    at_leaf = feature < 0
    children = {
        side: np.concatenate(
            [getattr(tree, f"children_{side}") + root for tree, root in zip(trees, roots, strict=True)]
        )
        for side in ("left", "right")
    }
    nodes = {side: np.where(at_leaf, np.arange(len(feature)), numbers) for side, numbers in children.items()}
    return {"roots": roots, "feature": np.where(at_leaf, 0, feature), "threshold": threshold, **nodes}


FITTED: dict[str, type[SupportVectors] | type[Forest]] = {"support_vectors": SupportVectors, "forest": Forest}
"""The heads that are fitted at once, by the name in a config."""
