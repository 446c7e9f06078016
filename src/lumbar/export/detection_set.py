"""The detector's training images as a data set of Ultralytics' own: what `yolo train data=.../data.yaml` reads."""

from contextlib import suppress
from pathlib import Path

import pandas as pd
import yaml

from lumbar.config import DetectConfig
from lumbar.data.competition import Competition
from lumbar.data.folds import find_folds, make_folds, read_folds
from lumbar.data.problems import problem_table
from lumbar.data.tables import TableError, write_table
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.training_set import write_training_set
from lumbar.errors import InputError
from lumbar.export.tables import PLACE
from lumbar.records import write_text
from lumbar.run.remarks import remarks_on

COMMITTED = Path("folds/rsna2024.csv")
"""The repository's folds of the competition."""
FOLDS, SEED = 5, 2024
"""How folds are made where there is no fold file of the data set."""
PARTS = ("train", "val")
WHOLE = [*PLACE, "boxes"]
COLUMNS = ["part", "image", "label", *WHOLE, "classes"]
"""Of an image: its part and files, relative to the set, its slice, and how many boxes of which classes it has."""
UNFLIPPED = "left and right are classes: train with fliplr=0"


def choose_folds(competition: Competition, file: Path | None) -> pd.DataFrame:
    """study_id and fold: of the file, of one that has the data set's studies, or made anew where there is none."""
    studies = competition.study_ids
    if file:
        return read_folds(file, studies)
    with suppress(TableError):
        return read_folds(find_folds(COMMITTED, competition.root, studies), studies)
    if len(studies) < 2:
        raise InputError(f"{competition.root}: has {len(studies)} study; expected two, to train on and to validate")
    annotated = competition.coordinates["study_id"]
    return make_folds(studies, competition.labels, set(annotated), min(FOLDS, len(studies)), SEED)


def export_yolo(
    competition: Competition, folds: pd.DataFrame, fold: int, out: Path, config: DetectConfig, jobs: int = -1
) -> list[str]:
    """Writes `train/` and `val/` with `images/` and `labels/`, `data.yaml`, the sample tables and `folds.csv`.

    The studies of one fold are the validation part. Returns what is to be said of it; a fold that leaves one of the
    parts without an annotated study is an InputError.
    """
    part_of = _part_studies(competition, folds, fold)
    images, _, problems = write_training_set(competition, config, out, folds, jobs)
    rows = [_describe(name, part_of[study_id], out) for study_id, name in images.itertuples(index=False)]
    samples = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(WHOLE, "int64"))
    samples = samples.merge(competition.series("train"), on=WHOLE[:2])
    _part_files(samples, out)
    parts = {part: samples[samples["part"] == part] for part in PARTS}
    for name, table in {"all": samples, **parts}.items():
        write_table(table, out / f"{name}_samples.csv")
    write_table(folds, out / "folds.csv")
    write_table(problem_table(problems), out / "problems.csv")
    write_text(_yaml(), out / "data.yaml")
    said = [f"{part}: {_count(table)}" for part, table in parts.items()]
    return [*said, *remarks_on(problems), UNFLIPPED]


def _part_studies(competition: Competition, folds: pd.DataFrame, fold: int) -> dict[int, str]:
    """The part of each study."""
    known = sorted(folds["fold"].unique())
    if fold not in known:
        raise InputError(f"there is no fold {fold}, expected one of {', '.join(map(str, known))}")
    part_of = {row.study_id: PARTS[row.fold == fold] for row in folds.itertuples()}
    annotated = {part_of[study_id] for study_id in competition.coordinates["study_id"] if study_id in part_of}
    for part in PARTS:
        if part not in annotated:
            raise InputError(f"{competition.root}: with fold {fold} as val, no study in {part} has an annotated point")
    return part_of


def _describe(name: str, part: str, out: Path) -> tuple[object, ...]:
    """The `COLUMNS` of an image that the training set has just written."""
    boxes = (out / "labels" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    classes = sorted({int(box.split()[0]) for box in boxes})
    files = f"{part}/images/{name}.png", f"{part}/labels/{name}.txt"
    return part, *files, *map(int, name.split("_")), len(boxes), " ".join(CLASS_NAMES[number] for number in classes)


def _part_files(samples: pd.DataFrame, out: Path) -> None:
    """Moves images and labels into their parts."""
    for part in PARTS:
        for kind in ("images", "labels"):
            (out / part / kind).mkdir(parents=True, exist_ok=True)
    for kind in ("image", "label"):
        for file in map(Path, samples[kind]):
            (out / file.parent.name / file.name).rename(out / file)
    for kind in ("images", "labels"):
        (out / kind).rmdir()


def _yaml() -> str:
    """The set's description; without a `path` Ultralytics takes the folder that it lies in, so the set can be moved."""
    content = {**{part: f"{part}/images" for part in PARTS}, "names": dict(enumerate(CLASS_NAMES))}
    return f"# {UNFLIPPED}\n{yaml.safe_dump(content, sort_keys=False)}"


def _count(samples: pd.DataFrame) -> str:
    return f"{len(samples):,} images of {samples['study_id'].nunique():,} studies, {samples['boxes'].sum():,} boxes"
