"""How long a run takes with so many workers, by the order in which `lumbar cv` starts its jobs: prints the table of
docs/scale.md (python tests/scale_schedule.py)."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

FOLDS = 5
TIMES_AS_MANY = 20_000 / 1_975
"""Studies, against those of the competition, whose hours the recipes' arithmetic gives."""
FOLD, NET = "fold", "view, net of a fold"
WORKERS = (1, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Recipe:
    """GPU-hours of all folds with the competition's studies, by the recipe's config; its views and nets take
    equal shares."""

    name: str
    detectors: float
    crops: float
    """Hours of four cores."""
    graders: float
    views: int
    nets: int


RECIPES = (
    Recipe("rsna2024.yaml", detectors=6.5, crops=1.0, graders=9.0, views=4, nets=4),
    Recipe("gold.yaml", detectors=6.5, crops=2.2, graders=40.0, views=8, nets=11),
)


def rounds_of(recipe: Recipe, part: str) -> list[list[float]]:
    """The hours of each job, round by round: the crops as one job and a fold's graders, or each view and each net."""
    views, nets = (recipe.views, recipe.nets) if part == NET else (1, 1)
    hours = [
        [recipe.detectors / FOLDS] * FOLDS,
        [recipe.crops / views] * views,
        [recipe.graders / FOLDS / nets] * (nets * FOLDS),
    ]
    return [[each * TIMES_AS_MANY for each in jobs] for jobs in hours]


def hours_with(workers: int, rounds: Sequence[Sequence[float]]) -> float:
    """When the last job ends: each goes to the worker that is free first, and a round waits for the one before it."""
    now = 0.0
    for jobs in rounds:
        free = [now] * workers
        for job in jobs:
            heapq.heapreplace(free, free[0] + job)
        now = max(free)
    return now


def main() -> None:
    """Prints the table."""
    print(f"| recipe, a job for each | {' | '.join(str(count) for count in WORKERS)} |")
    print(f"|---|{'---|' * len(WORKERS)}")
    for recipe in RECIPES:
        for part in (FOLD, NET):
            hours = [hours_with(count, rounds_of(recipe, part)) for count in WORKERS]
            print(f"| {recipe.name}, {part} | {' | '.join(f'{each:.0f}' for each in hours)} |")


if __name__ == "__main__":
    main()
