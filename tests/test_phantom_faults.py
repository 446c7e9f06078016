"""Broken studies: whatever is broken is told in words, and costs no more than itself."""

import contextlib
import hashlib
import itertools
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import RLELossless

from lumbar.data.competition import Competition
from lumbar.data.problems import Problems
from lumbar.data.studies import read_study
from lumbar.errors import InputError
from lumbar.labels import CELLS, SERIES_DESCRIPTIONS, plane_of, sequence_of
from lumbar.mri.geometry import Plane
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, SeriesError, read_series
from lumbar.phantom import FAULTS, break_competition, copy_test_studies
from lumbar.phantom.faults.catalogue import FILES, RECORD
from lumbar.phantom.faults.damage import edit_tags, files_of, unpack
from lumbar.phantom.faults.tables import PATH_LIKE, SERIES_TABLE, SUBMISSION_TABLE
from lumbar.phantom.replicas import PIXEL_DATA
from lumbar.submit.asked import read_asked, salvage_series_descriptions
from scans import axial_planes, balls, plane_tags, sagittal_planes, write_image

SIDE, OFFSETS = 32, (-8, -4, 0, 4, 8)
HEADER = {
    "SliceThickness": 4,
    "SpacingBetweenSlices": 4,
    "WindowCenter": 1500,
    "WindowWidth": 3000,
}
OF_FILES = sorted(name for name, fault in FAULTS.items() if fault.scope == FILES)
OTHERS = sorted(set(FAULTS) - set(OF_FILES))
FITTING = [
    (name, kind) for name in OF_FILES for kind in SERIES_DESCRIPTIONS if kind.startswith(FAULTS[name].description)
]
HARMLESS = [(name, kind) for name, kind in FITTING if FAULTS[name].harmless]


def write_series(folder: Path, description: str, study_id: int = 0) -> None:
    """A series of five small images, with the tags and the encoding of a real one."""
    planes = (axial_planes if plane_of(description) == "axial" else sagittal_planes)(OFFSETS, side=SIDE)
    said = {"SeriesDescription": sequence_of(description), "PatientID": str(study_id)}
    for number, (plane, offset) in enumerate(zip(planes, OFFSETS, strict=True), start=1):
        pixels = balls(plane, [[0, 0, offset], [5, 5, 5]], SIDE) + np.uint16(number)
        tags = HEADER | plane_tags(plane) | said | {"SliceLocation": offset}
        write_image(folder / f"{number}.dcm", pixels, number, **tags)
    edit_tags(files_of(folder), compress)


def compress(dataset: pydicom.Dataset) -> None:
    """As a phantom's files are."""
    dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)


def write_competition(root: Path, studies: int) -> Competition:
    """A phantom's test part, but for the anatomy: studies of three series, and the tables about them."""
    rows = []
    for study_id, (place, description) in itertools.product(range(studies), enumerate(SERIES_DESCRIPTIONS)):
        rows.append((4_000_000_000 + 2 * study_id, 50_000 + 10 * study_id + place, description))
        write_series(root / "test_images" / str(rows[-1][0]) / str(rows[-1][1]), description, rows[-1][0])
    (root / "hidden").mkdir()
    pd.DataFrame(rows, columns=["study_id", "series_id", "series_description"]).to_csv(root / SERIES_TABLE, index=False)
    asked = [f"{study_id}_{cell}" for study_id in sorted({row[0] for row in rows}) for cell in CELLS]
    answers = pd.DataFrame({"row_id": asked, "normal_mild": 0.4, "moderate": 0.3, "severe": 0.3})
    for name in (SUBMISSION_TABLE, "hidden/oracle.csv"):
        answers.to_csv(root / name, index=False)
    pd.DataFrame({"study_id": sorted({row[0] for row in rows})}).to_csv(root / "hidden/test_labels.csv", index=False)
    return Competition(root)


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


def say(folder: Path, description: str) -> list[str]:
    """Everything that the reader says of a series."""
    try:
        series = read_series(folder, plane_of(description), sequence_of(description))
    except SeriesError as error:
        return [str(error)]
    return [*series.problems, *series.remarks]


def fingerprint(folder: Path) -> str:
    """A hash of every name and byte below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def assert_sound(series: Series) -> None:
    """What every stage behind the reader relies on."""
    assert series.slices
    assert len(set(series.instance_numbers)) == len(series.slices)
    assert (np.diff(series.offsets) >= -1e-6).all()
    assert series.spacing > 0 or np.isnan(series.spacing)
    assert np.isnan(series.spacing) == (np.ptp(series.offsets) <= 0.01)
    for image in series.slices:
        assert image.pixels.dtype == np.float32
        assert np.isfinite(image.pixels).all()
        plane = image.plane
        assert min(plane.x_spacing, plane.y_spacing) > 0
        np.testing.assert_allclose([plane.x_axis @ plane.x_axis, plane.y_axis @ plane.y_axis], 1)
        assert plane.x_axis @ plane.y_axis == pytest.approx(0, abs=1e-9)
        assert np.isfinite(plane.position).all()
        assert sample_square(series, image, image.centre, 16, 2.0)[0].shape == (16, 16)


def test_a_healthy_series_is_nothing_to_speak_of(healthy):
    series = salvage_series_descriptions(healthy / SERIES_TABLE)[0]
    for row in series.head(3).itertuples():
        assert say(healthy / "test_images" / str(row.study_id) / str(row.series_id), row.series_description) == []


@pytest.mark.parametrize(("name", "description"), FITTING)
def test_a_fault_of_a_series_is_told(name, description, tmp_path):
    for seed in range(2):
        folder = tmp_path / str(seed) / "77"
        write_series(folder, description)
        detail = FAULTS[name].damage(folder, np.random.default_rng(seed))
        told = say(folder, description)
        tell = FAULTS[name].tell.format(detail=detail)
        assert not tell or any(tell in message for message in told), (detail, told)
        assert all(message.startswith(f"{folder}") for message in told)


@pytest.mark.parametrize(("name", "description"), HARMLESS)
def test_what_is_said_to_be_harmless_changes_no_pixel_and_no_place(name, description, templates, tmp_path):
    before = read_series(templates[description], plane_of(description), sequence_of(description))
    for seed in range(3):
        folder = tmp_path / str(seed) / "77"
        shutil.copytree(templates[description], folder)
        FAULTS[name].damage(folder, np.random.default_rng(seed))
        after = read_series(folder, plane_of(description), sequence_of(description))
        assert after.problems == ()
        assert after.series_id == before.series_id
        assert after.instance_numbers == before.instance_numbers
        for one, other in zip(before.slices, after.slices, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_allclose(plane_numbers(one.plane), plane_numbers(other.plane), atol=1e-9)


def plane_numbers(plane: Plane) -> list[float]:
    """A plane as numbers."""
    return [*plane.position, *plane.x_axis, *plane.y_axis, plane.x_spacing, plane.y_spacing]


def test_nothing_but_what_is_harmless_may_stay_unsaid():
    assert [name for name, fault in FAULTS.items() if not fault.tell and not fault.harmless] == []


@pytest.mark.parametrize("name", ["padded_border", "untagged_border"])
def test_a_border_of_padding_is_painted_black_and_leaves_the_window_alone(name, templates, tmp_path):
    whole = read_series(templates["Axial T2"], "axial")
    for seed in range(4):
        folder = tmp_path / str(seed) / "77"
        shutil.copytree(templates["Axial T2"], folder)
        FAULTS[name].damage(folder, np.random.default_rng(seed))
        series = read_series(folder, "axial")
        padded = [image for image in series.slices if image.padding is not None]
        assert padded
        assert all((series.windowed(image)[image.padding] == 0).all() for image in padded)
        assert series.window[0] >= whole.window[0]


def test_a_steep_block_counts_as_axial_and_keeps_its_middle(templates, tmp_path):
    shutil.copytree(templates["Axial T2"], tmp_path / "77")
    before = read_series(templates["Axial T2"], "axial")
    FAULTS["steep_block"].damage(tmp_path / "77", np.random.default_rng(0))
    after = read_series(tmp_path / "77", "axial")
    steep = [image for image in after.slices if image.plane.normal[2] < np.cos(np.deg2rad(44))]
    assert 0 < len(steep) < len(after.slices) == len(before.slices)
    for image in after.slices:
        np.testing.assert_allclose(image.centre, before.by_instance_number(image.instance_number).centre, atol=1e-3)


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


@pytest.fixture(scope="module")
def templates(tmp_path_factory) -> dict[str, Path]:
    """A healthy series of each description."""
    folders = {name: tmp_path_factory.mktemp("templates") / "77" for name in SERIES_DESCRIPTIONS}
    for description, folder in folders.items():
        write_series(folder, description)
    return folders


def read_or_name(folder: Path, plane: str) -> None:
    """Reads a series, which must be sound, or an error that names its folder."""
    try:
        assert_sound(read_series(folder, plane))
    except SeriesError as error:
        assert str(error).startswith((f"{folder}: the series ", f"{folder}.zip: the series "))


QUIET = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(
    st.lists(st.sampled_from(OF_FILES), min_size=1, max_size=5),
    st.sampled_from(SERIES_DESCRIPTIONS),
    st.integers(0, 999),
)
def test_any_faults_together_leave_a_sound_series_or_an_error_that_names_it(
    templates, tmp_path_factory, names, description, seed
):
    folder = tmp_path_factory.mktemp("together") / "77"
    shutil.copytree(templates[description], folder)
    rng = np.random.default_rng(seed)
    for name in names:
        with contextlib.suppress(BaseException):  # too broken already for this one; a decoder's panic is no Exception
            FAULTS[name].damage(folder, rng)
    read_or_name(folder, plane_of(description))


@QUIET
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.booleans())
def test_any_bytes_leave_a_sound_series_or_an_error_that_names_it(templates, tmp_path_factory, seed, count, in_header):
    folder = tmp_path_factory.mktemp("bytes") / "77"
    shutil.copytree(templates["Axial T2"], folder)
    rng = np.random.default_rng(seed)
    for path in sorted(folder.iterdir()):
        content = bytearray(path.read_bytes())
        end = content.index(PIXEL_DATA) if in_header else len(content)
        for place in rng.integers(0, end, count):
            content[place] = rng.integers(256)
        path.write_bytes(content)
    read_or_name(folder, "axial")


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_header_that_claims_gigabytes_costs_no_memory(templates, tmp_path, is_compressed):
    shutil.copytree(templates["Axial T2"], tmp_path / "77")
    for path in (tmp_path / "77").iterdir():
        dataset = pydicom.dcmread(path)
        if not is_compressed:
            unpack(dataset)
        dataset.Rows = dataset.Columns = 60_000
        dataset.save_as(path)
    tracemalloc.start()
    with pytest.raises(SeriesError, match="expected one grey image of 2 to 4096 pixels a side, got 1 of 60000 x 60000"):
        read_series(tmp_path / "77")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


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
