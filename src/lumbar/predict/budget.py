"""How many folds a study is graded by, so that all studies are graded in time: folds are dropped, studies never."""

import math
import time

MARGIN = 1.15
"""The studies that are left are taken to be this much slower than those so far."""


class Budget:
    """The time until a deadline (seconds since the epoch), shared among the studies that are left.

    A study costs its reading once and its grading once for each fold; both are the means of what was measured.
    """

    def __init__(self, deadline: float, folds: int) -> None:
        self.deadline, self.folds = deadline, folds
        self.studies, self.reading, self.gradings, self.grading = 0, 0.0, 0, 0.0

    def folds_for(self, studies_left: int) -> int:
        """As many folds as fit for each study that is left, but at least one, and none when the time is up."""
        left = self.deadline - time.time()
        if left <= 0:
            return 0
        if not self.gradings or math.isinf(left):
            return self.folds
        reading, grading = self.reading / self.studies, self.grading / self.gradings
        affordable = (left / (studies_left * MARGIN) - reading) / max(grading, 1e-9)
        return int(min(max(affordable, 1), self.folds))

    def spend(self, reading: float, grading: float, folds: int) -> None:
        """Notes the seconds that a study took."""
        self.studies += 1
        self.reading += reading
        self.gradings += folds
        self.grading += grading
