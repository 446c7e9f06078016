"""A broken competition: every fault is told of its study, costs no other, and is dealt again by the same seed."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from lumbar.data.competition import Competition
from lumbar.data.problems import Problems
from lumbar.data.studies import read_study
from lumbar.errors import InputError
from lumbar.labels import CELLS
from lumbar.mri.series import read_series
from lumbar.phantom import FAULTS, break_competition, copy_test_studies
from lumbar.phantom.faults.catalogue import FILES, RECORD
from lumbar.phantom.faults.tables import PATH_LIKE, SERIES_TABLE, SUBMISSION_TABLE
from lumbar.submit.asked import read_asked, salvage_series_descriptions
from small_studies import fingerprint, say, write_competition


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Path:
    """Forty healthy studies; tests copy it."""
    return write_competition(tmp_path_factory.mktemp("healthy") / "competition", 40).root


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Eight healthy studies; tests copy them."""
    return write_competition(tmp_path_factory.mktemp("few") / "competition", 8).root


@pytest.fixture(scope="module")
def broken(healthy, tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """The forty studies, most of them broken, and the record of it."""
    root = tmp_path_factory.mktemp("broken") / "competition"
    shutil.copytree(healthy, root)
    return root, break_competition(root, seed=4, jobs=1)


def report(root: Path) -> list[tuple[str, str]]:
    """Everything that is said of a competition's test part, each message with its study (`None` for a table's)."""
    competition, asked = Competition(root), read_asked(Competition(root))
    listed, _ = salvage_series_descriptions(root / SERIES_TABLE)
    problems = Problems(found=list(asked.problems))
    for study_id in asked.study_ids:
        read_study(competition, "test", study_id, listed[listed["study_id"] == study_id], problems)
    told = [(str(problem.study_id), problem.message) for problem in problems.found]
    for row in listed.itertuples():
        folder = competition.series_directory("test", row.study_id, row.series_id)
        told += [(str(row.study_id), message) for message in say(folder, row.series_description)]
    return told


def test_every_fault_of_a_broken_competition_is_told(broken):
    root, record = broken
    assert set(record["fault"]) == set(FAULTS), "forty studies are enough to deal every fault"
    told = report(root)
    for case in record.itertuples():
        of_it = [
            message for study, message in told if study in (case.study_id, case.detail) or case.study_id in message
        ]
        assert not case.tell or any(case.tell in message for message in of_it), case


def test_the_same_seed_breaks_the_same_bytes(few, tmp_path):
    prints = []
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        shutil.copytree(few, tmp_path / name)
        break_competition(tmp_path / name, seed, jobs=1 if name == "first" else 2)
        prints.append(fingerprint(tmp_path / name))
    assert prints[0] == prints[1] != prints[2]


def test_what_is_not_in_the_record_is_intact(healthy, broken):
    root, record = broken
    studies = sorted(path.name for path in (healthy / "test_images").iterdir())
    intact = set(studies) - set(record["study_id"])
    assert 2 <= len(intact) <= 20
    for study_id in studies:
        before, after = (fingerprint(folder / "test_images" / study_id) for folder in (healthy, root))
        faults = [FAULTS[name].scope for name in record.loc[record["study_id"] == study_id, "fault"]]
        assert (before == after) == (FILES not in faults), study_id
    for name in (SERIES_TABLE, SUBMISSION_TABLE):
        before, after = (
            pd.read_csv(folder / name, dtype=str, quoting=3, encoding="utf-8-sig") for folder in (healthy, root)
        )
        rows = [
            [
                sorted(value.strip('"') for value in row)
                for row in table.dropna().to_numpy()
                if set("_".join(row).split("_")) & intact
            ]
            for table in (before, after.drop_duplicates())
        ]
        assert rows[0] == rows[1]


def test_only_what_is_asked_for_is_broken(few, tmp_path):
    shutil.copytree(few, tmp_path / "broken")
    record = break_competition(tmp_path / "broken", 1, ["jpeg2000", "no_window"], intact_share=0.0, jobs=1)
    assert set(record["fault"]) == {"jpeg2000", "no_window"}
    assert record["study_id"].nunique() == 8
    assert pd.read_csv(tmp_path / "broken" / RECORD).shape == record.shape


def test_what_may_be_real_or_is_broken_already_is_left_alone(broken, tmp_path):
    root, _ = broken
    before = fingerprint(root)
    with pytest.raises(InputError, match=r"faults\.csv: this phantom is broken already"):
        break_competition(root, 0)
    (tmp_path / "real").mkdir()
    with pytest.raises(InputError, match="expected a phantom, with a folder `hidden`"):
        break_competition(tmp_path / "real", 0)
    with pytest.raises(InputError, match="there is no fault gremlin; the faults are truncated_files, "):
        break_competition(root, 0, ["gremlin"])
    assert fingerprint(root) == before


def test_an_id_that_is_a_path_is_refused_and_never_followed(broken):
    root, _ = broken
    asked = read_asked(Competition(root))
    assert sum(row_id.startswith(f"{PATH_LIKE}_") for row_id in asked.row_ids) == len(CELLS)
    assert all(isinstance(study_id, int) for study_id in asked.study_ids)
    series, messages = salvage_series_descriptions(root / SERIES_TABLE)
    assert pd.api.types.is_integer_dtype(series["study_id"])
    assert any(f"got '{PATH_LIKE}'" in message for message in messages)
    for ids in ((PATH_LIKE, 5), (5, PATH_LIKE), (5, -1), (5.0, 5)):
        with pytest.raises(InputError, match="expected a whole number that is not negative"):
            Competition(root).series_directory("test", *ids)


def test_copies_are_the_rendered_studies_under_other_ids(few, tmp_path):
    for name in ("first", "again"):
        shutil.copytree(few, tmp_path / name)
        copy_test_studies(tmp_path / name, 12, seed=3, jobs=1)
    root = tmp_path / "first"
    assert fingerprint(root) == fingerprint(tmp_path / "again")
    competition = Competition(root)
    table = competition.series("test")
    assert table["study_id"].nunique() == 20
    assert (table["study_id"] % 2 == 0).all(), "odd ids are those of training studies"
    assert len(competition.sample_submission) == len(pd.read_csv(root / "hidden/oracle.csv")) == 20 * 25
    original, copy = (table[table["study_id"] == study].iloc[0] for study in table["study_id"].unique()[[0, 8]])
    folders = [competition.series_directory("test", one["study_id"], one["series_id"]) for one in (original, copy)]
    assert folders[0].name == folders[1].name
    tags = [pydicom.dcmread(folder / "3.dcm") for folder in folders]
    assert [one.PatientID for one in tags] == [str(original["study_id"]), str(copy["study_id"])]
    for before, after in zip(*(read_series(folder).slices for folder in folders), strict=True):
        np.testing.assert_array_equal(before.pixels, after.pixels)
