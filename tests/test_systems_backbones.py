"""The papers' tables of backbones: every net can be built and asked, and the table says what was measured."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import timm
import torch

from lumbar.baselines.backbones import NETWORKS
from lumbar.baselines.layers import build_bare
from lumbar.baselines.opening import read_published
from lumbar.baselines.papers import PAPERS
from lumbar.config import CompareConfig, Config, ConfigError, FitConfig, check_config, merge, read_config
from lumbar.data.competition import Competition
from lumbar.run.run import Run
from lumbar.systems.backbones import (
    BACKBONES,
    COLUMNS,
    TRANSFORMER,
    choose_backbones,
    find_weights,
    open_backbones,
    run_backbones,
    with_backbone,
)
from lumbar.systems.table_rows import as_number, kept_epoch, read_printed
from lumbar.systems.table_text import format_table, write_highlights
from miniature import dated, small_run
from test_comparison import CONFIG, SYSTEMS

ROWS = [(name, backbone) for name, backbones in BACKBONES.items() for backbone in backbones]
NAME, OWN = "cnn_coordinates", "three_block_cnn"
NETS = (OWN, "mobilenetv1_100")
IDS = [f"{name}-{backbone.name}" for name, backbone in ROWS]


def small_config(name: str) -> Config:
    """A system's config at the size of the demo's table."""
    asked, published = read_config(CONFIG).compare, read_published(CONFIG, name).model_dump()
    changes = merge(asked.systems[name], asked.backbones[name])
    return check_config(CONFIG, merge(published, changes))


@pytest.mark.parametrize(("name", "backbone"), ROWS, ids=IDS)
def test_each_net_of_a_table_is_known_and_gives_outputs_at_both_sizes(name, backbone):
    assert backbone.name in NETWORKS or timm.is_model(backbone.name)
    for config in (small_config(name), read_published(CONFIG, name)):
        net = build_bare(with_backbone(config, backbone, Path("nowhere"))).eval()
        side = net.grade.image_size
        crops = torch.zeros(1, 1, side, side, device="meta")
        levels, places = torch.zeros(1, dtype=torch.long, device="meta"), torch.zeros(1, 2, device="meta")
        assert net(crops, levels, places).shape == (1, net.target.outputs)


def test_a_table_has_all_nets_of_its_paper_in_the_papers_order():
    for name, backbones in BACKBONES.items():
        printed = [row[0] for row in PAPERS[name].tables[0].rows]
        assert [backbone.title for backbone in backbones] == [*printed, TRANSFORMER.title]
        assert all(read_printed(name, backbone.title)["accuracy"] > 0.5 for backbone in backbones[:-1])
        assert read_printed(name, TRANSFORMER.title) == {}


def test_a_net_of_timms_sees_grey_in_three_channels_and_the_papers_own_sees_it_once():
    config = read_published(CONFIG, "cnn_coordinates")
    vgg, custom = (with_backbone(config, choose_backbones("cnn_coordinates", [name])[0]) for name in ("vgg16", OWN))
    assert vgg.system.input.repeat_channels
    assert not custom.system.input.repeat_channels
    assert custom.grade == config.grade


def test_the_papers_own_batch_size_is_kept_for_the_net_that_has_one():
    config = read_published(CONFIG, "inception_two_head")
    sizes = {each.name: with_backbone(config, each).grade.batch_size for each in BACKBONES["inception_two_head"]}
    assert sizes.pop("resnet50") == 16
    assert set(sizes.values()) == {8}


def test_local_weights_are_started_from_but_not_those_for_images_of_another_size(tmp_path):
    config = read_published(CONFIG, "cnn_coordinates")
    for name in ("resnet50", TRANSFORMER.name):
        (tmp_path / f"{name}.safetensors").touch()
    found = {each.name: with_backbone(config, each, tmp_path).grade.weights for each in BACKBONES["cnn_coordinates"]}
    assert found.pop("resnet50") == tmp_path / "resnet50.safetensors"
    assert set(found.values()) == {None}
    large = config.grade.model_copy(update={"image_size": 224})
    assert find_weights(large, TRANSFORMER, tmp_path) == tmp_path / f"{TRANSFORMER.name}.safetensors"


def test_a_wrong_system_or_net_lists_the_right_ones():
    with pytest.raises(ConfigError, match=r"cnn_lstm: its paper compares no backbones; those of cnn_coord"):
        choose_backbones("cnn_lstm")
    with pytest.raises(ConfigError, match=r"cnn_coordinates: there is no backbone 'resnet', there are effic"):
        choose_backbones("cnn_coordinates", ["vgg16", "resnet"])


def test_figures_are_read_as_they_are_printed():
    assert [as_number(text) for text in (".618", "88.2 %", "-")] == [0.618, 0.882, None]
    expected = {"train_accuracy": 0.994, "accuracy": 0.607, "roc_auc_as_published": 0.799}
    assert read_printed("cnn_coordinates", "ResNet50") == expected


def test_the_epoch_that_was_kept_is_the_best_by_what_was_watched():
    curves = {"loss": [3, 2, 1], "accuracy": [0.2, 0.9, 0.8], "watched_loss": [1.0, 1.5, 2.0], "watched_accuracy": []}
    assert kept_epoch(curves, FitConfig(watch="loss")) == 0
    assert kept_epoch(curves, FitConfig(watch="training_accuracy")) == 1
    assert kept_epoch(curves, FitConfig()) == 2


def made_up(net: str, split: str, accuracy: float, **others: float) -> dict:
    """A row of the table."""
    told = {"net": net, "backbone": net.lower(), "weights": "from scratch", "parameters": 1234567, "batch_size": 8}
    return told | {"split": split, "accuracy": accuracy, "most_frequent_class": 0.5} | others


TABLE = [
    made_up("VGG16", "own_split", 0.7, train_accuracy=0.99),
    made_up("VGG16", "grouped", 0.55, accuracy_low=0.5, accuracy_high=0.6),
    made_up("VGG16", "paper", 0.61, train_accuracy=None),
    made_up("ResNet50", "own_split", 0.62, train_accuracy=0.63),
    made_up("ResNet50", "grouped", 0.45, accuracy_low=0.4, accuracy_high=0.5),
    made_up("ResNet50", "paper", 0.607, train_accuracy=0.994),
]


def test_the_table_sets_both_splits_beside_what_the_paper_prints():
    lines = format_table(read_published(CONFIG, NAME), TABLE, COLUMNS[NAME]).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("net "))
    assert lines[start].split()[:6] == ["net", "weights", "parameters", "split", "train", "accuracy"]
    assert lines[start + 1].split()[:8] == ["VGG16", "from", "scratch", "1,234,567", "own", "split", "0.990", "0.700"]
    assert lines[start + 2].split()[:4] == ["grouped", "folds", "-", "0.550"]
    assert lines[start + 6].split()[:4] == ["the", "paper", "0.994", "0.607"]


def test_the_highlights_say_what_the_table_says():
    assert write_highlights(TABLE) == [
        "Best in own split: VGG16 (accuracy 0.700).",
        "Best in grouped folds: VGG16 (accuracy 0.550).",
        "Best in the paper: VGG16 (accuracy 0.610).",
        "In grouped folds VGG16 has a 95 % interval from 0.500 to 0.600 over studies, in which 0 of the 1 "
        "other nets lie.",
        "Accuracy in the own split is 16.0 points above that in grouped folds in the mean of the nets, and 17.0 points "
        "above it for ResNet50, the largest gap.",
        "Overfit here, far better in training than in testing: VGG16 (0.990 against 0.700).",
        "Overfit in the paper, far better in training than in testing: ResNet50 (0.994 against 0.607).",
        "Always the most frequent class would be right in 0.500 of the cases of the grouped folds; 1 of 2 nets are "
        "right more often.",
    ]


def test_a_net_that_had_too_little_to_train_on_has_dashes_and_no_sentence():
    rows = [made_up("VGG16", split, None) for split in ("own_split", "grouped")]  # type: ignore[arg-type]
    assert write_highlights(rows) == []
    assert "VGG16  from scratch   1,234,567  own split" in format_table(
        read_published(CONFIG, NAME), rows, COLUMNS[NAME]
    )


def test_a_misspelt_name_in_the_config_lists_the_right_ones(competition, tmp_path):
    compare = CompareConfig(backbones={"cnn_coordinate": {"grade": {"epochs": 1}}})
    with pytest.raises(ConfigError, match=r"backbones\.cnn_coordinate: expected one of cnn_coordinates, ince"):
        open_backbones(small_run(competition, tmp_path, compare), CONFIG, NAME, None)
    compare = CompareConfig(systems={"cnn_coordinate": {}})
    with pytest.raises(ConfigError, match=r"cnn_coordinate: there is no .*; there are classical_forest"):
        open_backbones(small_run(competition, tmp_path, compare), CONFIG, NAME, None)


@pytest.fixture(scope="module")
def finished(competition: Competition, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """A table of two nets that has been made in miniature, and the text."""
    folder = tmp_path_factory.mktemp("backbones")
    compare = CompareConfig(systems=SYSTEMS, backbones={NAME: {"grade": {"learning_rate": 0.01}}})
    shared = open_backbones(small_run(competition, folder, compare), CONFIG, NAME, None)
    return shared, run_backbones(shared, choose_backbones(NAME, NETS))


def test_every_net_is_run_on_the_crops_of_one_folder_at_the_size_of_the_table(finished):
    shared, _ = finished
    assert shared.folder.parts[-4:] == ("small", "systems", NAME, "backbones")
    for net in NETS:
        assert (shared.folder / net / "crop").resolve() == (shared.folder / "crop").resolve()
        card = json.loads((shared.folder / net / "models" / "subarticular_fold0.json").read_text())
        assert card["config"]["grade"]["backbone"] == net
        assert card["config"]["grade"]["learning_rate"] == 0.01


def test_the_table_holds_what_each_run_measured(finished):
    shared, text = finished
    table = pd.read_csv(shared.folder / "backbones.csv")
    assert table["backbone"].unique().tolist() == ["mobilenetv1_100", OWN]
    assert table["split"].tolist() == ["own_split", "grouped", "paper"] * 2
    for net, rows in table.groupby("backbone"):
        figures = json.loads((shared.folder / net / "figures.json").read_text())
        for split in ("own_split", "grouped"):
            row = rows[rows["split"] == split].iloc[0]
            assert row["accuracy"] == pytest.approx(figures[split]["accuracy"])
            assert row["rmse_as_published"] == pytest.approx(figures[split]["rmse_as_published"])
            trained = [curves["accuracy"][0] for curves in figures["curves"][split].values()]
            assert row["train_accuracy"] == pytest.approx(sum(trained) / len(trained))
    assert (shared.folder / "backbones.txt").read_text() == f"{text}\n"
    written = json.loads((shared.folder / "backbones.json").read_text())
    assert [row["accuracy"] for row in written["rows"]] == pytest.approx(table["accuracy"].tolist())


def test_the_plot_and_the_picture_show_something(finished):
    shared, _ = finished
    for name in ("backbones.png", "backbones_predictions.png"):
        image = plt.imread(shared.folder / name)
        assert min(image.shape[:2]) > 200, name
        assert image[..., :3].std() > 0.05, name


def test_a_table_that_is_made_again_trains_nothing(finished):
    shared, text = finished
    before = dated(shared.folder, "*.safetensors")
    assert len(before) == 6
    assert run_backbones(Run(shared.config, shared.competition, shared.folder), choose_backbones(NAME, NETS)) == text
    assert dated(shared.folder, "*.safetensors") == before
