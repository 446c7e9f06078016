"""What a run has left on disk, read into plain tables. Nothing is made here: what is missing is named."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from lumbar.baselines.opening import folder_for, list_systems, open_main
from lumbar.config import read_config
from lumbar.data.competition import read_predictions, split_row_ids
from lumbar.data.points import read_points
from lumbar.data.priors import nested_prior
from lumbar.ensemble.report import REPORT_FILE
from lumbar.errors import InputError
from lumbar.labels import GRADE_WEIGHTS, GRADES, GROUPS
from lumbar.metric import EPSILON, normalise
from lumbar.phantom.keep import phantom_folder
from lumbar.report.system_names import Link, link_files
from lumbar.run.checkpoint import Card, read_card
from lumbar.run.run import MAIN, Run
from lumbar.run.stamps import STAMP

Value = TypeVar("Value")


class ReportError(InputError):
    """A run that there is nothing to report of, or a file of it that cannot be read."""


@dataclass(frozen=True)
class Missing:
    """Something that the report would show, where it was looked for, and the command that makes it."""

    what: str
    path: Path
    command: str


@dataclass(frozen=True, eq=False)
class Compared:
    """What `make compare` has left."""

    rows: list[dict[str, Any]]
    """`compare.json`: a row for each system."""
    reference: dict[str, Any] | None
    """`cv.json` of the pipeline in the comparison, with the prior and the oracle."""
    figures: dict[str, dict[str, Any]]
    """Each system's `figures.json`, where it has one."""
    files: dict[str, tuple[Link, ...]]
    """What each of these systems shows in files."""


@dataclass(frozen=True, eq=False)
class Findings:
    """A run's results; a part whose file is not there is None or empty, and stands in `missing`."""

    result: dict[str, Any] | None
    """`cv.json`."""
    cells: pd.DataFrame | None
    """The 25 cells of every study, see `join_cells`."""
    points: pd.DataFrame | None
    """`detect/points.csv`, or where a system that ran alone has cropped, a point for each cell."""
    errors: pd.DataFrame | None
    """`detect/errors.csv`: study_id, condition, level, group, distance, in_plane (mm, infinite where missed)."""
    cards: dict[str, Card]
    """The graders' cards by their files' stems."""
    crops: Path | None
    """The folder of the crops."""
    compared: Compared | None
    alone: dict[str, Any] | None
    """`figures.json` of a published system that ran alone."""
    blend: dict[str, Any] | None
    """The ensemble's own report."""
    missing: list[Missing]


def collect(run: Run, config_path: Path) -> Findings:
    """Reads everything that the run has left; `config_path` is for the commands that make what is missing.

    Raises ReportError where there is nothing at all to show.
    """
    missing: list[Missing] = []
    folder, alone = run.folder, run.config.published is not None

    def find(what: str, path: Path, target: str, read: Callable[[Path], Value]) -> Value | None:
        if path.exists():
            return read(path)
        if target == "compare" and open_main(run, _data_of(run)).folder != folder:
            return None
        if target == "system" and not _ran_alone(run, config_path):
            return None
        missing.append(Missing(what, path, _command(run, config_path, target)))
        return None

    cards = _grader_cards(run.models)
    if not cards:
        missing.append(Missing("Training curves and Grad-CAM", run.models, _command(run, config_path, "grade")))
    findings = Findings(
        result=find("The score", folder / "cv.json", "cv", read_json),
        cells=find("Grades out of fold", folder / "oof.csv", "cv", lambda path: join_cells(run, path)),
        points=find("The points", run.system_points_file, "crop", read_points)
        if alone
        else find("Detected points", folder / "detect" / "points.csv", "detect", read_points),
        errors=None if alone else find("Detection errors", folder / "detect" / "errors.csv", "detect", pd.read_csv),
        cards=cards,
        crops=find("Crops", folder / "crop" / STAMP, "crop", lambda path: path.parent),
        compared=None if alone else find("The published systems", folder / "compare.json", "compare", _read_comparison),
        alone=find("The system's own figures", folder / "figures.json", "system", read_json) if alone else None,
        blend=find("The ensemble's weights", folder / "ensemble" / REPORT_FILE, "ensemble", read_json),
        missing=missing,
    )
    if findings.cells is None and findings.points is None:
        raise ReportError(
            f"{folder}: there is no finished stage to report of; `{_command(run, config_path, 'cv')}` runs them"
        )
    return findings


def _command(run: Run, config_path: Path, target: str) -> str:
    """The command that makes something of a run, on its data: of a comparison's own run it is the comparison, of a
    system that `lumbar system run` has opened it is that."""
    data = _data_of(run)
    told = f" DATA={quote(str(data))}" if data else ""
    if _ran_alone(run, config_path):
        return f"make system NAME={run.config.name} CONFIG={quote(str(config_path))}{told}"
    is_compared = target == "compare" or (data is not None and run.folder == folder_for(run, data))
    config = _comparing(run, config_path) if is_compared else config_path
    return f"make {'compare' if is_compared else target} CONFIG={quote(str(config))}{told}"


def _ran_alone(run: Run, config_path: Path) -> bool:
    """Whether the run is of a system in `published/` beside the config, and not of the config itself."""
    return run.config.published is not None and run.config.name in list_systems(config_path)


def _data_of(run: Run) -> Path | None:
    """The data that a command must be told of; None for the phantom of the run's config."""
    root = run.competition.root
    return None if root.resolve() == phantom_folder(run.config.phantom).resolve() else root


def _comparing(run: Run, config_path: Path) -> Path:
    """The config to compare with: the demo's has one beside it, of the same run, in which the systems are smaller."""
    smaller = config_path.with_name("compare.yaml")
    return smaller if smaller.is_file() and read_config(smaller).name == run.config.name else config_path


def read_json(path: Path) -> Any:
    """A JSON file; ReportError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportError(f"{path}: not JSON: {error}") from error


def _grader_cards(models: Path) -> dict[str, Card]:
    cards = {path.stem: read_card(path.with_suffix("")) for path in sorted(models.glob("*_fold*.json"))}
    return {stem: card for stem, card in cards.items() if card is not None and card.kind == "grader"}


def _read_comparison(path: Path) -> Compared:
    rows, folder = read_json(path), path.parent
    places = {
        row["system"]: (folder if row["system"] == MAIN else folder / row["system"]) / "figures.json" for row in rows
    }
    figures = {name: read_json(place) for name, place in places.items() if place.is_file()}
    reference = folder / "cv.json"
    prior_and_oracle = read_json(reference) if reference.is_file() else None
    files = {name: link_files(places[name].parent, folder) for name in figures}
    return Compared(rows, prior_and_oracle, figures, files)


def join_cells(run: Run, predictions: Path) -> pd.DataFrame:
    """A row for each predicted cell: row_id, study_id, condition, level, group, fold, the three grades' probabilities,
    `grade` (NaN where it has no label), `graded` (False where no model did and the prior stands in) and, from these:

    `weight` in the metric, `predicted` (the likeliest grade), `loss` (-log of the truth's probability), `prior_loss`
    (the same by the other folds' prior) and `oracle` (the truth's probability by the best possible answer, which only
    a phantom knows).
    """
    labels = run.competition.labels
    given = read_predictions(predictions)
    cells = pd.concat([given[["row_id"]], split_row_ids(given["row_id"])], axis=1)
    cells[list(GRADES)] = normalise(given[list(GRADES)].to_numpy())
    cells = cells.merge(run.held_out, on="study_id", how="left").merge(
        labels[["row_id", "grade"]], on="row_id", how="left"
    )
    graded = run.folder / "ensemble" / "oof.csv"
    cells["graded"] = cells["row_id"].isin(read_predictions(graded)["row_id"]) if graded.is_file() else True
    cells["weight"] = cells["grade"].map(dict(enumerate(GRADE_WEIGHTS)))
    cells["predicted"] = cells[list(GRADES)].to_numpy().argmax(axis=1)
    cells["loss"] = -np.log(np.clip(truth_share(cells, cells), EPSILON, 1))
    cells["prior_loss"] = -np.log(np.clip(truth_share(cells, nested_prior(labels, run.held_out)), EPSILON, 1))
    oracle = run.competition.oracle
    cells["oracle"] = np.nan if oracle is None else truth_share(cells, oracle)
    return cells


def truth_share(cells: pd.DataFrame, predictions: pd.DataFrame) -> np.ndarray:
    """The probability (N,) that predictions in submission format give to each cell's own grade; NaN without one."""
    shares = predictions.set_index("row_id")[list(GRADES)].reindex(cells["row_id"]).to_numpy(dtype=np.float64)
    known = cells["grade"].notna().to_numpy()
    chosen = shares[np.arange(len(cells)), cells["grade"].fillna(0).to_numpy(dtype=np.int64)]
    return np.where(known, chosen / shares.sum(axis=1), np.nan)


def groups_with_labels(cells: pd.DataFrame) -> list[str]:
    """The condition groups of which at least one cell has a label, in their order."""
    known = set(cells.loc[cells["grade"].notna(), "group"])
    return [group for group in GROUPS if group in known]
