"""The published nets hold as many numbers as their papers say, and every net can be trained, saved and read again."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumbar.baselines.backbones import NETWORKS, PlaceBranch
from lumbar.baselines.net import SystemNet, count_parameters
from lumbar.config import Config, ConfigError, GradeConfig, GraderConfig, PublishedConfig, ViewConfig, read_config
from lumbar.grade.encoder import expect_backbone
from lumbar.grade.net import Grader
from lumbar.labels import LEVELS

SEEDS = sorted((Path(__file__).parents[1] / "configs" / "published").glob("*.yaml"))
NETS = [path for path in SEEDS if not path.stem.startswith("classical_")]
"""The systems that are nets: the others say nothing before they are fitted."""
SIZES = {"inception_two_head": 75, "five_block_cnn": 32}
"""The least that these nets can take; the others are tested at 64 pixels."""


def grader_of(config: Config, seed: int = 0, **changes) -> SystemNet:
    """The net of a system."""
    changed = config.model_copy(update={"grade": config.grade.model_copy(update=changes)})
    torch.manual_seed(seed)
    return SystemNet(changed, config.crop.views[config.cells.groups[0]].slices)


def net_of(slices: int, published: dict, **grade) -> SystemNet:
    """A net of some settings."""
    config = Config(name="x", grade=GradeConfig(**grade), published=PublishedConfig.model_validate(published))
    return SystemNet(config, slices)


def paper_grader(name: str, **changes) -> SystemNet:
    """The net of a system as its paper has it."""
    return grader_of(read_config(next(path for path in SEEDS if path.stem == name)), **changes)


def batch_for(config: Config, size: int) -> tuple[torch.Tensor, ...]:
    """Four crops of noise, their levels and places."""
    generator = torch.Generator().manual_seed(1)
    slices = config.crop.views[config.cells.groups[0]].slices
    crops = torch.rand(4, slices, size, size, generator=generator)
    return crops, torch.tensor([0, 1, 2, 4]), torch.rand(4, 2, generator=generator)


def test_image_and_coordinates_hold_as_many_numbers_as_the_paper_counts():
    grader = paper_grader("cnn_coordinates")
    image, places = count_parameters(grader.backbone), count_parameters(grader.places)
    assert (image["trainable"] + image["running"], image["running"]) == (93_568, 448)
    assert places == {"trainable": 2_272, "frozen": 0, "running": 0}
    assert count_parameters(grader) == {"trainable": 4_302_371, "frozen": 0, "running": 448}
    assert grader.head[0].in_features == 32_768 + PlaceBranch.features == 32_800


def test_the_frozen_vgg_holds_as_many_numbers_as_the_thesis_counts():
    counts = count_parameters(paper_grader("vgg16_frozen"))
    assert counts["trainable"] + counts["frozen"] == 14_747_585
    assert counts["trainable"] == 32_897


@pytest.mark.parametrize(
    ("name", "trainable"),
    [
        # Convolutions 1-32-64-128: 320 + 18,496 + 73,856. LSTM of 64 on 128 (torch has two biases): 49,664.
        # Dense 64-64-32-3: 4,160 + 2,080 + 99.
        ("cnn_lstm", 148_675),
        # InceptionV3 without its top, 21,785,568; dense 2,048-1,024: 2,098,176; heads of 6 and 5: 11,275.
        ("inception_two_head", 23_895_019),
        # Ten convolutions, 4,716,192 with their normalisation; dense 32,768-512-256-3 with theirs, 16,911,363.
        ("five_block_cnn", 21_627_555),
    ],
)
def test_the_nets_that_no_paper_counts_hold_what_their_layers_add_up_to(name, trainable):
    assert count_parameters(paper_grader(name))["trainable"] == trainable


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_a_published_net_is_trained_saved_and_read_again(path, tmp_path):
    config = read_config(path)
    size = SIZES.get(path.stem, 64)
    grader, batch = grader_of(config, image_size=size), batch_for(config, size)

    outputs = grader.train()(*batch)
    assert outputs.shape == (4, grader.target.outputs)
    truth = torch.tensor([0, 1, 1, 0])
    grader.target.loss(outputs, truth, {"level": batch[1]}, torch.ones(len(grader.target.classes))).backward()
    trained = {name: tensor for name, tensor in grader.named_parameters() if tensor.requires_grad}
    assert [name for name, tensor in trained.items() if tensor.grad is None or not tensor.grad.any()] == []

    save_file(grader.state_dict(), tmp_path / "grader.safetensors")
    again = grader_of(config, seed=1, image_size=size)
    with torch.inference_mode():
        before = grader.eval()(*batch)
        assert not torch.equal(again.eval()(*batch), before)
        again.load_state_dict(load_file(tmp_path / "grader.safetensors"), strict=True)
        assert torch.equal(again(*batch), before)


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_the_same_seed_builds_the_same_net(path):
    config = read_config(path)
    size = SIZES.get(path.stem, 64)
    first, second = (grader_of(config, seed=3, image_size=size).eval() for _ in range(2))
    with torch.inference_mode():
        assert torch.equal(first(*batch_for(config, size)), second(*batch_for(config, size)))


def test_a_frozen_backbone_neither_learns_nor_counts_statistics():
    grader = net_of(3, {"fit": {"frozen": True}, "head": {"dense": [8]}}, backbone="test_resnet").train()
    before = {name: tensor.clone() for name, tensor in grader.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([tensor for tensor in grader.parameters() if tensor.requires_grad], lr=0.1)
    grader(torch.rand(4, 3, 96, 96), torch.zeros(4, dtype=torch.long)).sum().backward()
    optimizer.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in grader.backbone.state_dict().items())


def test_the_place_of_the_point_reaches_the_answer():
    grader = net_of(1, {"input": {"coordinates": True}}, backbone="three_block_cnn", image_size=32).eval()
    crops, levels = torch.rand(2, 1, 32, 32), torch.zeros(2, dtype=torch.long)
    with torch.inference_mode():
        here, there = (grader(crops, levels, torch.full((2, 2), place)) for place in (0.1, 0.9))
    assert not torch.allclose(here, there)


def test_the_order_of_the_slices_matters_to_the_lstm():
    grader = paper_grader("cnn_lstm").eval()
    crops, levels = torch.rand(1, 9, 128, 128), torch.zeros(1, dtype=torch.long)
    with torch.inference_mode():
        assert not torch.allclose(grader(crops, levels), grader(crops.flip(1), levels))


BACKBONES = {
    "inception_v3": {},
    "xception": {},
    "inception_resnet_v2": {},
    "vgg16": {},
    "nasnetalarge": {},
    "resnet50": {},
    "mobilenetv2_100": {},
    "mobilenetv3_large_100": {},
    "densenet121": {},
    "efficientnet_b0": {},
    "vit_tiny_patch16_224": {},
    # Its classifier is a convolution.
    "resnetv2_50": {},
    # It has two classifiers, whose mean it gives.
    "deit_tiny_distilled_patch16_224": {},
    # The same net behind the head that "Automated Detection and Classification of Lumbar Spine Diseases" has.
    "nasnetalarge with a head": {"backbone": "nasnetalarge", "head": {"dense": [1024]}},
    "vit_tiny with a head": {"backbone": "vit_tiny_patch16_224", "head": {"dense": [1024]}},
}


def grader_of_any_view(**settings) -> Grader:
    """A net of the main pipeline, for five slices."""
    return Grader(GraderConfig(views="spinal", **settings), [ViewConfig(group="spinal")])


@pytest.mark.parametrize("name", BACKBONES)
def test_any_timm_backbone_takes_a_line_of_config_and_starts_at_the_prior(name):
    settings = {"backbone": name, "head": {}} | BACKBONES[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mapping deprecated model name")
        grader = (
            net_of(5, {"head": settings["head"]}, backbone=settings["backbone"], image_size=96)
            if settings["head"]
            else grader_of_any_view(backbone=settings["backbone"], image_size=96)
        ).eval()
    prior = np.random.default_rng(0).dirichlet(np.ones(3), size=len(LEVELS))
    grader.start_at_prior(prior)
    with torch.inference_mode():
        outputs = grader(torch.rand(1, 5, 96, 96), torch.tensor([3]))
    np.testing.assert_allclose(torch.softmax(outputs, dim=1)[0], prior[3], rtol=1e-5)


def test_a_wrong_backbone_lists_the_right_ones():
    config = Config(name="x", grade=GradeConfig(backbone="cnn_lst"))
    with pytest.raises(ConfigError, match=r"no model 'cnn_lst'.*cnn_lstm.*three_block_cnn.*five_block_cnn"):
        expect_backbone(config, list(NETWORKS))


def test_a_net_of_our_own_is_taken_over_from_a_local_file(tmp_path):
    settings = {"backbone": "three_block_cnn", "image_size": 32}
    torch.manual_seed(1)
    first = net_of(1, {}, **settings)
    save_file(first.backbone.state_dict(), tmp_path / "backbone.safetensors")
    second = net_of(1, {}, **settings)
    second.start_backbone_from(tmp_path / "backbone.safetensors")
    assert all(
        torch.equal(tensor, second.backbone.state_dict()[name]) for name, tensor in first.backbone.state_dict().items()
    )
