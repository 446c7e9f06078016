"""The thesis' system on data of its own kind: boxes around lesions in images."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from lumbar.baselines.boxes import cut_boxes, read_boxes, read_grey
from lumbar.cli import app
from lumbar.config import ConfigError
from lumbar.data.tables import TableError, write_table
from lumbar.report.system_names import SHOWN_FOLDER
from lumbar.systems.boxed import open_boxed, run_boxed
from miniature import dated
from test_comparison import CONFIG

HEADER = "image_id,rad_id,lesion_type,xmin,ymin,xmax,ymax"
BRIGHT, DARK = "Osteophytes", "Disc space narrowing"


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory):
    """Twelve images with two bright boxes and a dark one each, and one without a finding; and the table's path."""
    root = tmp_path_factory.mktemp("boxed")
    rng, rows = np.random.default_rng(0), []
    (root / "images").mkdir()
    for number in range(13):
        image = rng.integers(90, 130, (96, 80), dtype=np.uint8)
        places = [(5, 5, BRIGHT), (50, 10, BRIGHT), (20, 60, DARK)] if number else []
        for left, top, lesion in places:
            image[top : top + 24, left : left + 20] = 230 if lesion == BRIGHT else 15
            rows.append((f"image{number}", "R1", lesion, left, top, left + 20, top + 24))
        Image.fromarray(image).save(root / "images" / f"image{number}.png")
    rows.append(("image0", "R1", "No finding", None, None, None, None))
    columns = HEADER.split(",")
    # As such tables are: not in the order of the images.
    write_table(pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=1), root / "boxes.csv")
    return root


@pytest.fixture(scope="module")
def small_config(tmp_path_factory):
    """The thesis' system, so small that it trains in seconds."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "published").symlink_to(CONFIG.parent / "published")
    views = "{spinal: {size: 32}, foraminal: {size: 32}, subarticular: {size: 32}}"
    small = f"{{crop: {{views: {views}}}, grade: {{image_size: 32, epochs: 8, backbone: test_resnet}}}}"
    (folder / "small.yaml").write_text(f"compare: {{systems: {{vgg16_frozen: {small}}}}}\n")
    return folder / "small.yaml"


@pytest.fixture(scope="module")
def boxed(radiographs, small_config, tmp_path_factory):
    """The folder of a finished run on the boxes, and what it said."""
    folder = tmp_path_factory.mktemp("run") / "boxed"
    config = open_boxed(small_config, "vgg16_frozen")
    return folder, run_boxed(config, radiographs / "boxes.csv", radiographs / "images", folder)


def test_each_crop_is_what_is_in_its_box(radiographs):
    boxes = read_boxes(radiographs / "boxes.csv", radiographs / "images")
    crops = cut_boxes(boxes, 16)
    assert crops.pixels.shape == (36, 1, 16, 16)
    assert boxes.dominant == BRIGHT
    assert crops.index["grade"].sum() == 24
    assert (crops.pixels.mean(axis=(1, 2, 3)) > 128).tolist() == (crops.index["grade"] == 1).tolist()
    assert crops.index["study_id"].value_counts().tolist() == [3] * 12, "three boxes of one image belong together"


def test_both_splits_are_measured_and_no_image_is_on_both_sides_of_a_fold(boxed):
    folder, text = boxed
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["classes"] == ["others", BRIGHT]
    grouped = pd.read_csv(folder / "cases" / "grouped.csv")
    assert len(grouped) == 36
    assert grouped.groupby("study_id")["part"].nunique().max() == 1
    own = pd.read_csv(folder / "cases" / "own_split.csv")
    assert own["truth"].value_counts().to_dict() == {BRIGHT: 5, "others": 3}, "a fifth, stratified"
    assert figures["grouped"]["accuracy"] == pytest.approx((grouped["truth"] == grouped["predicted"]).mean())
    assert figures["grouped"]["most_frequent_class"] == pytest.approx(2 / 3)
    assert f"{BRIGHT} against all others" in text
    assert f"boxes: {BRIGHT} 24, {DARK} 12" in text


def test_a_net_learns_what_can_be_seen(boxed):
    folder, _ = boxed
    assert json.loads((folder / "figures.json").read_text())["grouped"]["roc_auc"] > 0.9


def test_the_thesis_pictures_are_there(boxed):
    folder, _ = boxed
    names = ("regions", "sample_predictions", "gradcam", "class_counts", "confusion_matrix", "training_curves")
    for name in names:
        image = plt.imread(folder / SHOWN_FOLDER / f"{name}.png")
        assert min(image.shape[:2]) > 200, name
        assert image[..., :3].std() > 0.05, name


def test_a_second_run_on_the_same_boxes_does_nothing(boxed, radiographs, small_config):
    folder, text = boxed
    before = dated(folder, "*.png", "*.csv")
    config = open_boxed(small_config, "vgg16_frozen")
    assert run_boxed(config, radiographs / "boxes.csv", radiographs / "images", folder) == text
    assert dated(folder, "*.png", "*.csv") == before


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("image77,R1,Osteophytes,1,1,9,9", "row 5: image 'image77' is not there"),
        ("image1,R1,Osteophytes,1,1,,9", "row 5: a box needs all of xmin, ymin, xmax, ymax"),
        ("image1,R1,Osteophytes,90,1,99,9", "row 5: the box has no area in its image of 80 x 96 pixels"),
        ("broken,R1,Osteophytes,1,1,9,9", "row 5: image 'broken' cannot be read"),
    ],
)
def test_a_bad_row_is_named_and_costs_no_other(radiographs, tmp_path, row, said):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("image1", "image2"):
        (images / f"{name}.png").write_bytes((radiographs / "images" / f"{name}.png").read_bytes())
    (images / "broken.png").write_bytes(b"no image")
    good = [f"image{number},R1,{lesion},1,1,9,9" for number in (1, 2) for lesion in (BRIGHT, DARK)]
    (tmp_path / "boxes.csv").write_text("\n".join([HEADER, *good, row]))
    boxes = read_boxes(tmp_path / "boxes.csv", images)
    assert len(boxes.findings) == 4
    assert boxes.remarks == (f"{tmp_path / 'boxes.csv'}: {said}; left out",)


def test_a_table_that_leaves_nothing_to_tell_apart_is_refused(radiographs, tmp_path):
    (tmp_path / "boxes.csv").write_text(f"{HEADER}\nimage1,R1,Osteophytes,1,1,9,9\n")
    with pytest.raises(TableError, match=r"boxes\.csv: expected boxes of two lesion types or more .* only 'Osteoph"):
        read_boxes(tmp_path / "boxes.csv", radiographs / "images")


def test_an_image_of_16_bits_is_stretched_to_its_range(tmp_path):
    deep = np.linspace(1000, 5000, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    grey = read_grey(tmp_path / "deep.png")
    assert grey.dtype == np.uint8
    assert (grey.min(), grey.max()) == (0, 255)


def test_a_system_whose_paper_had_the_competitions_data_takes_no_boxes():
    with pytest.raises(ConfigError, match=r"cnn_lstm: its paper had the competition's data; vgg16_frozen is the one"):
        open_boxed(CONFIG, "cnn_lstm")


def test_boxes_without_their_images_are_a_mistake(radiographs):
    result = CliRunner().invoke(app, ["system", "run", "vgg16_frozen", "--boxes", str(radiographs / "boxes.csv")])
    assert result.exit_code == 2
    assert "go together" in result.output


def test_boxes_beside_a_data_folder_are_a_mistake(radiographs):
    where = ["--boxes", str(radiographs / "boxes.csv"), "--images", str(radiographs / "images")]
    result = CliRunner().invoke(app, ["system", "run", "vgg16_frozen", *where, "--data", str(radiographs)])
    assert result.exit_code == 2
    assert "boxes are their own data" in result.output
