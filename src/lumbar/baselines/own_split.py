"""A paper's own split: rows at random, so that one study's rows, or copies of one crop, can be on both sides of it.

As many rows are trained on as in a fold, for as many epochs, so that what differs is what leaks and not what there is
to learn from.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold

from lumbar.baselines.cases import no_cases, open_cases, predict_cases, system_answer
from lumbar.baselines.samplers import Examples, Numbers, balance, choose_each, true_classes
from lumbar.baselines.stage import SYSTEM, start_system
from lumbar.baselines.targets import TARGETS
from lumbar.baselines.train import train_on
from lumbar.config import OwnSplitConfig
from lumbar.crop.crops import Crops
from lumbar.data.points import NO_FOLD
from lumbar.data.tables import write_table
from lumbar.grade.stage import Training, describe_grader
from lumbar.run.checkpoint import is_current, read_card, save_checkpoint
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, key_of, run_stage

KINDS = ("cases", "cases_copied")
"""The tables of cases: without and with copies of what is tested among what is trained on."""
TRIALS = ("part", "copied")
"""What the names of their graders end in, before a number."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One of the split's disjoint parts: what its grader is trained on, and what it is tested on.

    `kind` is the table of cases that it belongs to.
    """

    name: str
    number: int
    kind: str
    grader: str
    crops: Crops
    trained: Examples
    tested: Examples


def run_own_split(run: Run, annotated: Run, split: OwnSplitConfig) -> None:
    """Writes `own_split/cases.csv` and the graders; `annotated` is the run at the points that the papers used.

    A split with as many of each class also gives `cases_copied.csv`, with copies of what is tested among what is
    trained on.
    """
    folder = run.folder / "own_split"
    origin = fingerprint(
        code=hash_code("baselines.own_split"),
        crops=key_of(annotated.folder / "crop"),
        graders=key_of(run.folder / "grade"),
        split=split.model_dump(),
    )

    def work() -> None:
        trials = [trial for grader in run.config.trained_graders for trial in _trials(run, annotated, split, grader)]
        for kind in KINDS if split.tested_each else KINDS[:1]:
            mine = [trial for trial in trials if trial.kind == kind]
            tables = [_train_and_test(run, trial, folder / trial.name, origin.key) for trial in mine]
            cases = pd.concat(tables, ignore_index=True) if tables else no_cases(run)
            write_table(cases, folder / f"{kind}.csv")

    run_stage(f"{run.config.name}: own split", folder, origin, work)


def _trials(run: Run, annotated: Run, split: OwnSplitConfig, grader: str) -> list[Trial]:
    """The trials, a part of the split each; none where no fold had enough to train on."""
    wanted = trained_rows(run, grader)
    if not wanted:
        return []
    crops, rows = open_cases(annotated, grader)
    target = TARGETS[run.config.system.target]
    if split.tested_each:
        rows = choose_rows(crops.index, rows, wanted + split.tested_each * len(target.classes), run.config.seed)
        return _with_and_without_copies(run, split, crops, rows, grader)
    rows = choose_rows(crops.index, rows, wanted / (1 - split.share), run.config.seed)
    tested_in = split_rows(true_classes(crops.index.iloc[rows], target), split, run.config.seed)
    trials = []
    for number in range(min(split.repeats, tested_in.max() + 1)):
        trained = _balance(run, crops, rows[tested_in != number])
        tested = Examples.of(rows[tested_in == number])
        trials.append(Trial(f"{grader}_{TRIALS[0]}{number}", number, KINDS[0], grader, crops, trained, tested))
    return trials


def _with_and_without_copies(run: Run, split: OwnSplitConfig, crops: Crops, rows: Numbers, grader: str) -> list[Trial]:
    """The two readings of a test on as many crops of each class, with copies of them trained on, and without."""
    copied = _balance(run, crops, rows)
    pool = np.unique(copied.rows)
    classes = true_classes(crops.index.iloc[pool], TARGETS[run.config.system.target])
    tested = pool[choose_each(pool, classes, split.tested_each or 0, split.share, run.config.seed)]
    apart = _balance(run, crops, rows[~np.isin(rows, tested)])
    return [
        Trial(f"{grader}_{name}", 0, kind, grader, crops, trained, Examples.of(tested))
        for name, kind, trained in zip((f"{word}0" for word in TRIALS), KINDS, (apart, copied), strict=True)
    ]


def trained_rows(run: Run, member: str) -> float:
    """How many rows a fold's grader was trained on, in the mean; 0 where no fold had enough to train on."""
    cards = [read_card(run.models / f"{member}_fold{fold}") for fold in run.fold_numbers]
    return float(np.mean([card.details["crops"] for card in cards if card] or [0]))


def choose_rows(index: pd.DataFrame, rows: Numbers, count: float, seed: int) -> Numbers:
    """Rows of whole studies, as many as it takes to have `count`: a smaller data set with all that a study has."""
    study_ids = index["study_id"].to_numpy()[rows]
    studies = np.random.default_rng(seed).permutation(np.unique(study_ids))
    sizes = pd.Series(study_ids).value_counts().loc[studies].to_numpy()
    enough = int(np.searchsorted(np.cumsum(sizes), count)) + 1
    return rows[np.isin(study_ids, studies[:enough])]


def split_rows(classes: Numbers, split: OwnSplitConfig, seed: int) -> Numbers:
    """The part (N,) that each row is tested in, of as many as the split's share allows."""
    kind = StratifiedKFold if split.stratified else KFold
    splitter = kind(round(1 / split.share), shuffle=True, random_state=seed)
    tested_in = np.zeros(len(classes), dtype=np.int64)
    for number, (_, tested) in enumerate(splitter.split(np.zeros(len(classes)), classes)):
        tested_in[tested] = number
    return tested_in


def _balance(run: Run, crops: Crops, rows: Numbers) -> Examples:
    """The rows balanced as the config says."""
    classes = true_classes(crops.index.iloc[rows], TARGETS[run.config.system.target])
    return balance(rows, classes, run.config.system.examples, run.config.seed)


def _train_and_test(run: Run, trial: Trial, stem: Path, made_from: str) -> pd.DataFrame:
    if not is_current(stem, made_from):
        _train(run, trial, stem, made_from)
    answer = system_answer(stem, trial.crops, trial.tested)
    return predict_cases(*answer, trial.crops, trial.tested).assign(part=trial.number)


def _train(run: Run, trial: Trial, stem: Path, made_from: str) -> None:
    training = Training(
        member=run.config.members[trial.grader],
        crops=trial.crops,
        rows=np.unique(trial.trained.rows),
        fold=NO_FOLD,
        seed=run.config.seed + trial.number,
        folder=stem.with_name(f"{stem.name}_{made_from}"),
        label=f"{run.config.name}: train on its own split, part {trial.number}",
    )
    net = start_system(run, training.member.group, NO_FOLD, training.seed)
    where = (training.folder, training.seed, training.label)
    state, curves = train_on(net, trial.crops, trial.trained, False, *where)
    rows = trial.crops.index.iloc[training.rows]
    save_checkpoint(stem, state, describe_grader(run, SYSTEM, training, made_from, curves, rows))
    for leftover in training.folder.parent.glob(f"{stem.name}_*"):
        shutil.rmtree(leftover)
