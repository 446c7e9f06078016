"""The data in the papers' forms: a detection set that Ultralytics trains on, pictures by grade, joined tables."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner
from ultralytics import YOLO
from ultralytics.data.utils import check_det_dataset

from lumbar.cli import app
from lumbar.config import DetectConfig
from lumbar.data.competition import Competition, read_coordinates
from lumbar.data.problems import read_problems
from lumbar.data.studies import OTHER_SERIES
from lumbar.detect.landmarks import CLASS_NAMES, class_of
from lumbar.errors import InputError
from lumbar.export.detection_set import choose_folds, export_yolo
from lumbar.export.graded_slices import FOLDERS, export_png
from lumbar.export.tables import annotation_table, export_annotations, export_master, master_table
from lumbar.mri.series import read_series

FOLD = 1
CANAL = "spinal_canal_stenosis"


@pytest.fixture(scope="module")
def yolo(competition: Competition, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom as a detection set, small images."""
    out = tmp_path_factory.mktemp("export") / "a set"
    config = DetectConfig(image_size=128, mm_per_pixel=2.4)
    export_yolo(competition, choose_folds(competition, None), FOLD, out, config, jobs=1)
    return out


@pytest.fixture(scope="module")
def pictures(competition: Competition, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom's canals as pictures by grade."""
    out = tmp_path_factory.mktemp("export") / "png"
    export_png(competition, CANAL, out, jobs=1)
    return out


@pytest.fixture
def damaged(competition: Competition, tmp_path: Path) -> tuple[Competition, int]:
    """The phantom without the images of one study, and that study."""
    study_id = int(competition.coordinates["study_id"].iloc[0])
    root = tmp_path / "damaged"
    shutil.copytree(competition.root, root, ignore=shutil.ignore_patterns("test_images", str(study_id)))
    return Competition(root), study_id


def studies_with_absent_series(problems: Path) -> set[int]:
    """The studies that have lost a series."""
    return {problem.study_id for problem in read_problems(problems) if problem.instead == OTHER_SERIES}


# The detection set


def test_no_study_is_in_both_parts_of_the_detection_set(competition, yolo):
    train, val, every = (pd.read_csv(yolo / f"{part}_samples.csv") for part in ("train", "val", "all"))
    folds = pd.read_csv(yolo / "folds.csv")
    assert set(val["study_id"]) <= set(folds.loc[folds["fold"] == FOLD, "study_id"])
    assert not set(val["study_id"]) & set(train["study_id"])
    assert len(train) + len(val) == len(every)
    assert set(every["study_id"]) == set(competition.coordinates["study_id"])


def test_every_image_of_the_detection_set_has_a_label_file_and_a_row(yolo):
    every = pd.read_csv(yolo / "all_samples.csv")
    assert {yolo / name for name in every["image"]} == set(yolo.glob("*/images/*.png"))
    assert {yolo / name for name in every["label"]} == set(yolo.glob("*/labels/*.txt"))
    boxes = [len((yolo / name).read_text().splitlines()) for name in every["label"]]
    assert boxes == every["boxes"].tolist()
    assert not (yolo / "images").exists()


def test_a_box_is_28_mm_wide_around_its_point(competition, yolo):
    row = competition.coordinates[competition.coordinates["condition"] == CANAL].iloc[0]
    series = read_series(competition.series_directory("train", row.study_id, row.series_id))
    image = series.by_instance_number(row.instance_number)
    offset = image.plane.to_patient([row.x, row.y]) - image.centre
    (label,) = yolo.glob(f"*/labels/{row.study_id}_{row.series_id}_{row.instance_number}.txt")
    boxes = np.array([list(map(float, line.split())) for line in label.read_text().splitlines()])
    _, x, y, width, height = boxes[boxes[:, 0] == class_of(row.condition, row.level)][0]
    assert (width, height) == pytest.approx((28 / 307.2, 28 / 307.2), abs=1e-5)
    # In a sagittal picture of 307.2 mm the back (+y) is to the right, and the feet (-z) are below.
    assert (x - 0.5) * 307.2 == pytest.approx(offset[1], abs=1.5)
    assert (y - 0.5) * 307.2 == pytest.approx(-offset[2], abs=1.5)


def test_ultralytics_reads_the_detection_set_where_it_lies_and_trains_on_it(yolo, tmp_path):
    moved = Path(shutil.copytree(yolo, tmp_path / "moved"))
    read = check_det_dataset(str(moved / "data.yaml"), autodownload=False)
    assert Path(read["train"]) == moved / "train" / "images"
    assert list(read["names"].values()) == list(CLASS_NAMES)
    quick = {"imgsz": 64, "epochs": 1, "device": "cpu", "workers": 0, "plots": False, "amp": False, "fliplr": 0}
    trained = YOLO("yolov8n.yaml").train(
        data=str(moved / "data.yaml"), project=str(tmp_path), name="trained", verbose=False, **quick
    )
    assert (tmp_path / "trained" / "weights" / "last.pt").is_file()
    assert set(trained.names.values()) == set(CLASS_NAMES)


def test_a_study_without_images_costs_the_detection_set_that_study_only(damaged, tmp_path):
    competition, study_id = damaged
    folds = choose_folds(competition, None)
    said = export_yolo(competition, folds, FOLD, tmp_path / "set", DetectConfig(image_size=64), jobs=1)
    every = pd.read_csv(tmp_path / "set" / "all_samples.csv")
    assert set(every["study_id"]) == set(competition.coordinates["study_id"]) - {study_id}
    assert studies_with_absent_series(tmp_path / "set" / "problems.csv") == {study_id}
    assert any("series of 1 study are absent" in line for line in said)


def test_a_fold_that_is_not_there_is_refused(competition, tmp_path):
    folds = choose_folds(competition, None)
    with pytest.raises(InputError, match="there is no fold 7, expected one of 0, 1, 2, 3, 4"):
        export_yolo(competition, folds, 7, tmp_path, DetectConfig())


def test_a_fold_without_an_annotated_study_is_refused(competition, tmp_path):
    folds = choose_folds(competition, None).assign(fold=0)
    with pytest.raises(InputError, match="with fold 0 as val, no study in train has an annotated point"):
        export_yolo(competition, folds, 0, tmp_path, DetectConfig())


def test_the_competitions_own_folds_are_taken_for_it(rsna):
    committed = pd.read_csv(Path(__file__).parents[1] / "folds" / "rsna2024.csv")
    folds = choose_folds(Competition(rsna), None)
    assert dict(folds.itertuples(index=False)) == dict(committed[["study_id", "fold"]].itertuples(index=False))


# Pictures by grade


def test_every_annotated_level_with_a_grade_becomes_a_picture_in_its_grades_folder(competition, pictures):
    samples = pd.read_csv(pictures / "samples.csv")
    assert {pictures / name for name in samples["file"]} == set(pictures.glob("*/*.png"))
    labels = competition.labels.merge(competition.coordinates, on=["study_id", "condition", "level"])
    labels = labels[labels["condition"] == CANAL]
    grades = dict(zip(zip(labels["study_id"], labels["level"], strict=True), labels["grade"], strict=True))
    assert len(samples) == len(labels)
    for row in samples.itertuples():
        assert row.grade == grades[row.study_id, row.level]
        assert row.file.startswith(f"{FOLDERS[row.grade]}/")


def test_a_picture_is_the_windowed_slice(competition, pictures):
    row = pd.read_csv(pictures / "samples.csv").iloc[0]
    series = read_series(competition.series_directory("train", row.study_id, row.series_id))
    expected = series.windowed(series.by_instance_number(row.instance_number))
    np.testing.assert_array_equal(cv2.imread(str(pictures / row.file), cv2.IMREAD_UNCHANGED), expected)


def test_a_picture_may_be_a_square_around_its_point(competition, tmp_path):
    export_png(competition, "left_subarticular_stenosis", tmp_path, field_mm=60, jobs=1)
    row = pd.read_csv(tmp_path / "samples.csv").iloc[0]
    series = read_series(competition.series_directory("train", row.study_id, row.series_id))
    spacing = series.by_instance_number(row.instance_number).plane.x_spacing
    shape = cv2.imread(str(tmp_path / row.file), cv2.IMREAD_UNCHANGED).shape
    assert shape == (round(60 / spacing),) * 2


def test_the_label_map_and_the_counts_say_what_was_there_and_what_was_written(competition, pictures):
    assert json.loads((pictures / "label_map.json").read_text()) == {"Normal_Mild": 0, "Moderate": 1, "Severe": 2}
    counts = pd.read_csv(pictures / "counts.csv").set_index("grade")
    labels = competition.labels[competition.labels["condition"] == CANAL]
    assert counts["before"].tolist() == [int((labels["grade"] == grade).sum()) for grade in range(3)]
    assert counts["after"].tolist() == [len(list((pictures / folder).iterdir())) for folder in FOLDERS]


def test_pictures_of_a_study_without_images_are_left_out_and_told(damaged, tmp_path):
    competition, study_id = damaged
    said = export_png(competition, CANAL, tmp_path / "png", jobs=1)
    counts = pd.read_csv(tmp_path / "png" / "counts.csv")
    assert counts["after"].sum() == counts["before"].sum() - 5
    assert studies_with_absent_series(tmp_path / "png" / "problems.csv") == {study_id}
    assert any("1 study" in line for line in said)


def test_a_condition_that_is_none_is_refused(competition, tmp_path):
    with pytest.raises(InputError, match="condition 'scoliosis': expected one of spinal_canal_stenosis, "):
        export_png(competition, "scoliosis", tmp_path)


# Tables


def test_the_master_table_of_the_competition_has_a_row_for_each_point(rsna):
    table = master_table(Competition(rsna))
    assert len(table) == 48_668
    assert table["severity"].isna().sum() == 35
    assert not table["series_description"].isna().any()
    of_condition = table.groupby("condition")["series_description"].agg(["nunique", "first"])
    assert of_condition.loc["Left Subarticular Stenosis", "first"] == "Axial T2"
    left = table[table["condition"] == "Left Subarticular Stenosis"]
    counts = left["severity"].value_counts()
    assert counts[["Normal/Mild", "Moderate", "Severe"]].tolist() == [6_857, 1_834, 912]


def test_the_master_table_can_be_read_as_coordinates(competition, tmp_path):
    export_master(competition, tmp_path)
    pd.testing.assert_frame_equal(read_coordinates(tmp_path / "master.csv"), competition.coordinates)


def test_labels_without_a_point_are_counted_beside_the_master_table(rsna, tmp_path):
    said = export_master(Competition(rsna), tmp_path)
    assert said == [
        "48,668 annotated points, 35 of them without a label",
        "170 labels have no annotated point, and no row",
    ]


def test_the_annotations_name_dicom_files_that_are_there(competition, tmp_path):
    table = annotation_table(competition)
    assert all((competition.root / path).is_file() for path in table["path"])
    assert export_annotations(competition, tmp_path)[0].endswith("of which 0 are not there")


# The command


def test_the_command_exports_by_kind_and_leaves_what_is_there_alone(competition, rsna, tmp_path):
    words = ["data", "export", "master", "--data", str(rsna), "--out", str(tmp_path / "tables")]
    assert CliRunner().invoke(app, words).exit_code == 0
    words = ["data", "export", "yolo", "--data", str(competition.root), "--out", str(tmp_path / "tables")]
    refused = CliRunner().invoke(app, words).exception
    assert str(refused) == f"{tmp_path / 'tables'}: is not an empty folder; name one of its own"


def test_the_command_says_that_pictures_need_images(rsna, tmp_path):
    words = ["data", "export", "png", "--data", str(rsna), "--out", str(tmp_path / "png")]
    assert str(CliRunner().invoke(app, words).exception).endswith("with train_images in it")
