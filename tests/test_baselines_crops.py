"""The views and points that the published systems are made of, each a named option."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.baselines.clusters import cluster_heights
from lumbar.baselines.crops import SystemCutter, crop_slices, place_in_slice, pool_crops, pool_views
from lumbar.baselines.points import clustered_points, unannotated_points
from lumbar.baselines.samplers import UNANNOTATED, all_normal_studies
from lumbar.baselines.stage import SYSTEM, chosen_rows
from lumbar.config import CellsConfig, Config, ExamplesConfig, PublishedConfig, SliceConfig, ViewConfig
from lumbar.crop.crops import Crops, open_crops
from lumbar.crop.store import write_crops
from lumbar.data.annotations import annotated_points
from lumbar.data.competition import Competition
from lumbar.data.points import read_points
from lumbar.data.tables import write_table
from lumbar.detect.evaluate import measure_errors
from lumbar.labels import GROUPS, group_of
from lumbar.mri.series import Series, read_series
from lumbar.run.run import Run
from scans import axial_planes, bright_centre, sagittal_planes, write_scan

# Views

WHOLE = SliceConfig(whole_slice=True)


def system_of(views: dict, slices: SliceConfig) -> Config:
    """A system that cuts its crops so."""
    published = PublishedConfig(slices=slices)
    values = {"name": "x", "grade": {"image_size": 32}, "crop": {"views": {group: {} for group in GROUPS} | views}}
    return Config.model_validate(values | {"published": published.model_dump()})


def stack(directory: Path, planes: list, points: list) -> Series:
    """A series of balls, written and read back."""
    write_scan(directory, planes, points)
    return read_series(directory)


def test_the_whole_slice_is_fitted_to_the_crop(tmp_path):
    ball = np.array([20.0, -12.0, 0.0])
    series = stack(tmp_path, axial_planes([0]), [ball])  # 48 pixels of 2 mm
    crop = crop_slices(series, 1, np.array([30.0, 30, 0]), ViewConfig(group="spinal", size=64, slices=1), WHOLE, None)
    # 96 mm on 64 pixels: 1.5 mm each, the patient's origin in the middle.
    np.testing.assert_allclose(bright_centre(crop[0]), [31.5 + 20 / 1.5, 31.5 - 12 / 1.5], atol=0.3)


@pytest.mark.parametrize(("side", "expected"), [(None, 0.25), ("left", 0.25), ("right", 0.75)])
def test_the_place_of_a_point_is_its_share_of_the_slice_as_it_is_turned(tmp_path, side, expected):
    series = stack(tmp_path, axial_planes([0]), [[0, 0, 0]])
    np.testing.assert_allclose(place_in_slice(series, 1, np.array([-24.0, 12.0, 0.0]), side), (expected, 0.625))


def test_a_sagittal_slice_is_never_mirrored_within_itself(tmp_path):
    series = stack(tmp_path, sagittal_planes([0]), [[0, 0, 0]])
    np.testing.assert_allclose(place_in_slice(series, 1, np.array([0, 24.0, 24.0]), "right"), (0.75, 0.25))


def test_equalising_uses_every_grey_and_denoising_smooths(tmp_path):
    series = stack(tmp_path, axial_planes([0]), [[0, 0, 0], [14, 9, 0]])
    view, ways = ViewConfig(group="spinal", size=48, slices=1), [{}, {"equalise": True}, {"denoise": True}]
    plain, equalised, smooth = (
        crop_slices(series, 1, np.zeros(3), view, SliceConfig(whole_slice=True, **way), None)[0] for way in ways
    )
    shown = plain > 0
    assert np.ptp(np.percentile(equalised[shown], [25, 75])) > np.ptp(np.percentile(plain[shown], [25, 75]))
    assert np.abs(np.diff(smooth.astype(int), axis=1)).max() < np.abs(np.diff(plain.astype(int), axis=1)).max()


# Points


def test_slices_are_put_to_levels_from_head_to_foot():
    heights = np.array([0.0, 3, 80, 83, 40, 43, 120, 123, 160, 163])
    levels = cluster_heights(heights)
    expected = {160: "l1_l2", 120: "l2_l3", 80: "l3_l4", 40: "l4_l5", 0: "l5_s1"}
    assert levels == [expected[int(height // 40 * 40)] for height in heights]


def test_every_axial_slice_of_a_study_gets_a_level(competition, tmp_path):
    folds = pd.DataFrame({"study_id": competition.study_ids[:2], "fold": [0, 1]})
    points, _ = clustered_points(competition, folds, jobs=1)
    series = competition.series("train")
    axial = series[(series["series_description"] == "Axial T2") & series["study_id"].isin(folds["study_id"])]
    files = [
        path
        for row in axial.itertuples()
        for path in competition.series_directory("train", row.study_id, row.series_id).iterdir()
    ]
    assert len(points) == len(files)
    assert points.groupby("study_id")["level"].nunique().tolist() == [5, 5]
    means = points.pivot_table(index="study_id", columns="level", values="patient_z")
    assert (np.diff(means.to_numpy(), axis=1) < 0).all(), "L1/L2 is nearest to the head"
    assert points.groupby("study_id")["fold"].first().tolist() == [0, 1]


def test_clustered_slices_are_cropped_whole(competition, tmp_path):
    folds = pd.DataFrame({"study_id": competition.study_ids[:1], "fold": [0]})
    points, _ = clustered_points(competition, folds, jobs=1)
    view = {"size": 32, "slices": 1}
    cutter = SystemCutter(system_of({"spinal": view}, WHOLE), "spinal")
    write_crops(competition, "train", points, cutter, tmp_path / "spinal", jobs=1)
    crops = open_crops(tmp_path, "spinal")
    assert crops.pixels.shape == (len(points), 1, 32, 32)
    assert crops.pixels.reshape(len(points), -1).max(axis=1).min() > 0
    np.testing.assert_allclose(crops.index[["place_x", "place_y"]], 0.5, atol=1e-6)


def test_annotated_points_are_points_without_an_error(competition: Competition, tmp_path):
    folds = pd.DataFrame({"study_id": competition.study_ids, "fold": 0})
    points, _ = annotated_points(competition, folds, jobs=1)
    write_table(points, tmp_path / "points.csv")
    errors = measure_errors(points, read_points(tmp_path / "points.csv"))
    assert len(errors) == len(points)
    assert errors["distance"].max() < 0.01


def test_every_slice_without_a_point_is_taken_with_its_series_and_never_asked(competition):
    folds = pd.DataFrame({"study_id": competition.study_ids[:2], "fold": [0, 1]})
    points, _ = annotated_points(competition, folds, jobs=1)
    found, _ = unannotated_points(competition, points, folds, CellsConfig(), jobs=1)
    slices = ["study_id", "series_id", "instance_number"]
    files = [
        path for study in folds["study_id"] for path in (competition.root / "train_images" / str(study)).glob("*/*")
    ]
    assert len(found) == len(found.drop_duplicates(slices)) == len(files) - len(points.drop_duplicates(slices))
    assert not found[slices].merge(points[slices]).size
    assert found.groupby("study_id")["fold"].unique().map(list).tolist() == [[0], [1]]
    kinds = found.merge(competition.series("train"))["series_description"]
    assert [GROUPS[group_of(name)].series_description for name in found["condition"]] == kinds.tolist()
    assert set(found["source"]) == {UNANNOTATED}
    assert not SYSTEM.asking.is_asked(found).any()


def test_the_rows_of_a_study_that_is_normal_in_all_graded_cells_are_not_trained_on(competition, tmp_path):
    cells = CellsConfig(conditions=("left_subarticular_stenosis",))
    published = PublishedConfig(cells=cells, examples=ExamplesConfig(drop_all_normal=True))
    run = Run(Config(name="x", published=published), competition, tmp_path)
    index = competition.labels.assign(source="annotated")
    dropped = all_normal_studies(competition.labels, cells)
    mine = index["condition"] == "left_subarticular_stenosis"
    assert 0 < len(dropped) < len(competition.study_ids)
    assert chosen_rows(run, index).tolist() == np.flatnonzero(mine & ~index["study_id"].isin(dropped)).tolist()


def test_pooled_crops_are_those_of_all_groups(competition, tmp_path):
    folds = pd.DataFrame({"study_id": competition.study_ids[:2], "fold": 0})
    view = {"size": 32, "slices": 1}
    groups = ("spinal", "foraminal", "subarticular")
    config = system_of(dict.fromkeys(groups, view), SliceConfig())
    points, _ = annotated_points(competition, folds, jobs=1)
    for group in groups:
        write_crops(competition, "train", points, SystemCutter(config, group), tmp_path / group, jobs=1)
    crops = {group: open_crops(tmp_path, group) for group in groups}
    pooled, parts = pool_views(config.crop.views, crops), list(crops.values())
    assert len(pooled.index) == sum(len(part.index) for part in parts)
    pixels = np.concatenate([part.pixels for part in parts])
    for number, row in enumerate(pooled.index["row_id"]):
        np.testing.assert_array_equal(pooled.pixels[number], pixels[number], err_msg=row)


def test_groups_of_which_one_lacks_a_fact_are_pooled_without_a_warning(recwarn):
    whole = pd.DataFrame({"study_id": [1], "grade": [2.0], "place_x": [0.5]})
    lacking = pd.DataFrame({"study_id": [2], "grade": [np.nan]})
    pooled = pool_crops([Crops(np.zeros((1, 1, 2, 2), np.uint8), table) for table in (whole, lacking)])
    assert pooled.index.columns.tolist() == ["study_id", "grade", "place_x"]
    assert pooled.index["grade"].isna().tolist() == [False, True]
    assert not recwarn.list
