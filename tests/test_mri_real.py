"""Two whole real studies as the competition's own DICOM files: what they are read as, against their annotations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.data.competition import Competition
from lumbar.labels import LEVELS, plane_of, sequence_of
from lumbar.mri.series import Series, nearest_slice, read_series

STUDY = 100206310
TEST_STUDY = 44036939


@pytest.fixture(scope="module")
def real(shared: Path) -> Competition:
    """The real studies, laid out like the competition."""
    return Competition(shared / "rsna2024_studies")


@pytest.fixture(scope="module")
def series(real: Competition) -> dict[int, Series]:
    """The series of the training study by id."""
    return read_all(real, "train", STUDY)


def read_all(real: Competition, split: str, study_id: int) -> dict[int, Series]:
    """The series of a study by id, read as what the table says."""
    table = pd.read_csv(real.root / f"{split}_series_descriptions.csv")
    rows = table[table["study_id"] == study_id]
    return {
        series_id: read_series(real.series_directory(split, study_id, series_id), plane_of(kind), sequence_of(kind))
        for series_id, kind in zip(rows["series_id"], rows["series_description"], strict=True)
    }


@pytest.fixture(scope="module")
def annotated(real: Competition, series: dict[int, Series]) -> pd.DataFrame:
    """The annotated points of the training study with their places in the patient."""
    rows = real.coordinates[real.coordinates["study_id"] == STUDY].copy()
    planes = [series[row.series_id].by_instance_number(row.instance_number).plane for row in rows.itertuples()]
    places = np.stack([plane.to_patient(xy) for plane, xy in zip(planes, rows[["x", "y"]].to_numpy(), strict=True)])
    back = np.stack([plane.to_pixels(place) for plane, place in zip(planes, places, strict=True)])
    np.testing.assert_allclose(back, rows[["x", "y"]].to_numpy(), atol=1e-3)
    return rows.assign(patient_x=places[:, 0], patient_y=places[:, 1], patient_z=places[:, 2])


@pytest.mark.parametrize(("split", "study_id", "files"), [("train", STUDY, 96), ("test", TEST_STUDY, 97)])
def test_every_file_of_a_real_study_is_read_and_no_problem_is_told(real, split, study_id, files):
    read = read_all(real, split, study_id)
    assert sum(len(stack.slices) for stack in read.values()) == files
    assert [stack.problems for stack in read.values()] == [()] * 3
    assert all(stack.is_placed for stack in read.values())


def test_left_and_right_of_all_annotated_points_are_right_by_patient_x(annotated):
    sided = annotated[annotated["condition"].str.contains("left|right")]
    kinds = sided["condition"].str.replace("left_|right_", "", regex=True)
    for _, rows in sided.groupby([kinds, "level"]):
        left, right = (rows[rows["condition"].str.startswith(side)]["patient_x"] for side in ("left", "right"))
        assert left.min() > right.max()


def test_the_axial_slice_next_to_a_sagittal_point_is_the_annotated_one_within_one_and_a_half_slices(annotated, series):
    canal = annotated[annotated["condition"].str.startswith("spinal")].set_index("level")
    recesses = annotated[annotated["condition"].str.contains("subarticular")]
    stack = series[int(recesses["series_id"].iloc[0])]
    for level in LEVELS:
        point = canal.loc[level, ["patient_x", "patient_y", "patient_z"]].to_numpy(dtype=float)
        found = nearest_slice([stack], point)
        assert found is not None
        for number in recesses[recesses["level"] == level]["instance_number"]:
            offset = found[1].distance(stack.by_instance_number(number).centre)
            assert offset <= 1.5 * stack.spacing
