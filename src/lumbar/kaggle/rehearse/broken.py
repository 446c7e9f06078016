"""A rehearsal on broken studies: what was broken is told, and who is intact does not notice."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from lumbar.data.competition import Competition
from lumbar.data.problems import HARMLESS
from lumbar.data.tables import write_table
from lumbar.labels import GRADES
from lumbar.phantom.faults.catalogue import FAULTS, RECORD
from lumbar.submit.asked import read_asked, salvage_series_descriptions

HIDDEN_TABLES = ("test_labels.csv", "oracle.csv")
"""What the score needs; nothing breaks it."""


def read_faults(root: Path) -> pd.DataFrame:
    """What was broken in a phantom: study_id (or the name of a table), series_id, fault, detail, tell."""
    return pd.read_csv(root / RECORD, dtype=str, keep_default_na=False)


def untold_faults(record: pd.DataFrame, report: dict[str, Any]) -> list[str]:
    """The faults that a run's report must name and does not, as `<study or table> <fault>`."""
    return [
        f"{row.study_id} {row.fault}"
        for row in record.itertuples()
        if row.tell and not any(row.tell in message for message in _said_of(row.study_id, report))
    ]


def costly_faults(record: pd.DataFrame, report: dict[str, Any]) -> list[str]:
    """The harmless faults of whose series a run's report says that something was lost, as `<study> <fault>`."""
    lost = [problem["message"] for problem in report["problems"] if problem["instead"] != HARMLESS]
    return [
        f"{row.study_id} {row.fault}"
        for row in record.itertuples()
        if FAULTS[row.fault].harmless and any(f"{row.study_id}/{row.series_id}" in message for message in lost)
    ]


def _said_of(subject: str, report: dict[str, Any]) -> Iterator[str]:
    """What a report says of a study; a fault of a table may show in any study that it names."""
    for problem in report["problems"]:
        if not subject.isdecimal() or str(problem["study_id"]) == subject:
            yield problem["message"]


def intact_studies(broken: Competition) -> list[int]:
    """The test studies that no fault was dealt to."""
    broken_ids = set(read_faults(broken.root)["study_id"])
    labelled = pd.read_csv(broken.root / "hidden" / "test_labels.csv", dtype=str)["study_id"]
    return [study_id for study_id in read_asked(broken).study_ids if str(study_id) in set(labelled) - broken_ids]


def keep_intact_only(broken: Competition, folder: Path) -> Competition:
    """A competition of the intact studies alone, on the same images."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "hidden").mkdir(parents=True)
    intact = {str(study_id) for study_id in intact_studies(broken)}
    for study_id in intact:
        (folder / "test_images" / study_id).mkdir(parents=True)
        for series in (broken.root / "test_images" / study_id).iterdir():
            shutil.copytree(series, folder / "test_images" / study_id / series.name, copy_function=_link)
    rows = [row_id for row_id in read_asked(broken).row_ids if row_id.partition("_")[0] in intact]
    sample = pd.DataFrame({"row_id": list(dict.fromkeys(rows))}).assign(**dict.fromkeys(GRADES, 1 / len(GRADES)))
    write_table(sample, folder / "sample_submission.csv")
    series, _ = salvage_series_descriptions(broken.root / "test_series_descriptions.csv")
    write_table(series[series["study_id"].astype(str).isin(intact)], folder / "test_series_descriptions.csv")
    for name in HIDDEN_TABLES:
        shutil.copyfile(broken.root / "hidden" / name, folder / "hidden" / name)
    return Competition(folder)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def changed_rows(broken: Path, alone: Path) -> list[str]:
    """The row ids of `alone`, a submission of intact studies, whose text is another in `broken`."""
    expected, found = (_lines(path) for path in (alone, broken))
    return [row_id for row_id, values in expected.items() if found.get(row_id) != values]


def _lines(submission: Path) -> dict[str, str]:
    parts = (line.partition(",") for line in submission.read_text(encoding="utf-8").splitlines()[1:])
    return {row_id: values for row_id, _, values in parts}
