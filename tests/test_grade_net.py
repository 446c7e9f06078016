"""The parts of the grader's net, mixing, and the looks of a prediction, each by itself."""

import numpy as np
import pandas as pd
import pytest
import torch

from graded_crops import CONDITION, TINY, draw_crops
from lumbar.config import GraderConfig, ViewConfig
from lumbar.crop.crops import NOWHERE, Crops, slice_facts
from lumbar.data.priors import fit_prior
from lumbar.grade.data import UNMARKED, EpochSampler, Look, ViewDataset, window
from lumbar.grade.encoder import spread_colours
from lumbar.grade.head import level_prior
from lumbar.grade.metric_loss import soft_loss
from lumbar.grade.mixing import mix, targets_of
from lumbar.grade.net import Grader
from lumbar.grade.predict import looks_of, predict_grades, predict_look
from lumbar.grade.sequence import POOLINGS
from lumbar.grade.stage import take_studies
from lumbar.grade.train import moving_average, train_grader
from lumbar.labels import GRADE_WEIGHTS, GRADES, LEVELS

VIEW = ViewConfig(group="spinal", size=40, slices=3)
SEQUENCE = {"slices_as": "sequence", "slice_loss": 0.2, "level_embedding": 4}


def with_facts(crops: Crops) -> Crops:
    """The crops with what is kept of their slices."""
    slices = crops.pixels.shape[1]
    facts = pd.DataFrame(0.0, index=crops.index.index, columns=list(slice_facts(slices)))
    facts[[f"real_{number}" for number in range(slices)]] = 1
    return Crops(crops.pixels, pd.concat([crops.index, facts], axis=1).assign(is_own=1))


def grader_of(config: dict, *views: ViewConfig) -> Grader:
    torch.manual_seed(3)
    return Grader(GraderConfig(**TINY | {"views": ["a", "b"][: len(views)], "epochs": 1} | config), views)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_slice_that_is_not_there_never_counts(name):
    torch.manual_seed(0)
    pooling = POOLINGS[name](8).eval()
    features, distance = torch.randn(2, 4, 8), torch.zeros(2, 4)
    present = torch.tensor([[True, True, True, False]] * 2)
    changed = features.clone()
    changed[:, 3] += 100
    with torch.inference_mode():
        torch.testing.assert_close(pooling(features, present, distance), pooling(changed, present, distance))
        assert pooling(features, present, distance).shape == (2, pooling.width)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_view_without_any_slice_is_no_error(name):
    pooled = POOLINGS[name](8)(torch.zeros(1, 3, 8), torch.zeros(1, 3, dtype=torch.bool), torch.zeros(1, 3))
    assert torch.isfinite(pooled).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_first_layer_of_colours_says_of_grey_slices_what_it_said_of_a_grey_picture(channels):
    torch.manual_seed(0)
    weight, grey = torch.randn(4, 3, 3, 3), torch.rand(1, 1, 8, 8)
    expected = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    spread = torch.nn.functional.conv2d(grey.expand(-1, channels, -1, -1), spread_colours(weight, channels))
    if channels % 3 == 0 or channels < 3:
        torch.testing.assert_close(spread, expected, rtol=1e-4, atol=1e-5)
    assert spread.shape == expected.shape


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_untrained_sequence_says_the_prior_and_a_trained_one_something_else(tmp_path, pooling):
    crops = with_facts(draw_crops())
    prior = level_prior(fit_prior(crops.index.assign(group="spinal")), [CONDITION])
    grader = grader_of({**SEQUENCE, "pooling": pooling, "epochs": 2}, VIEW)
    grader.start_at_prior(prior)
    rows = np.arange(len(crops.index))
    expected = prior[[LEVELS.index(level) for level in crops.index["level"]]]
    np.testing.assert_allclose(predict_grades(grader.eval(), crops, rows)[list(GRADES)], expected, rtol=1e-5)
    _, curves = train_grader(grader.train(), crops, rows, tmp_path, 1, "test")
    assert curves["loss"][-1] < curves["loss"][0]
    assert not np.allclose(predict_grades(grader.eval(), crops, rows)[list(GRADES)], expected, atol=1e-3)


def test_joined_views_have_a_head_of_all_and_one_each():
    grader = grader_of({**SEQUENCE, "view_loss": 0.5}, VIEW, VIEW.model_copy(update={"slices": 5}))
    batch = (torch.rand(2, 8, 32, 32), torch.tensor([0, 4]), torch.ones(2, 8, dtype=torch.bool), torch.zeros(2, 8))
    answer = grader.examine(*batch)
    assert answer.grades.shape == (2, 3)
    assert [logits.shape for logits, _ in answer.by_view] == [(2, 3), (2, 3)]
    assert answer.slices is not None
    assert answer.slices.shape == (2, 8)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_view_that_a_cell_lacks_says_nothing(pooling):
    grader = grader_of({"slices_as": "sequence", "pooling": pooling}, VIEW, VIEW).eval()
    there = torch.tensor([[True] * 3 + [False] * 3])
    crop, rest = torch.rand(1, 6, 32, 32), (torch.tensor([2]), there, torch.zeros(1, 6))
    other = torch.cat([crop[:, :3], torch.rand(1, 3, 32, 32)], dim=1)
    torch.testing.assert_close(grader(crop, *rest), grader(other, *rest))


def test_the_encoder_sees_only_the_slices_that_are_there():
    grader = grader_of(SEQUENCE, VIEW)
    seen: list[int] = []
    grader.encoder.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    there = torch.tensor([[True, True, False], [False, True, False]])
    grader(torch.rand(2, 3, 32, 32), torch.tensor([0, 4]), there, torch.zeros(2, 3))
    assert seen == [3]


@pytest.mark.parametrize("slices_as", ["channels", "sequence"])
@pytest.mark.parametrize("slices", [1, 3])
def test_every_convolution_is_given_images_with_their_channels_last(slices_as, slices):
    config = SEQUENCE if slices_as == "sequence" else {"slices_as": "channels"}
    grader = grader_of(config, VIEW.model_copy(update={"slices": slices}))
    strides = []
    for layer in grader.encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(lambda _, given: strides.append(given[0].stride(1)))
    there = torch.ones(2, slices, dtype=torch.bool)
    rest = (there, torch.zeros(2, slices)) if slices_as == "sequence" else ()
    grader(torch.rand(2, slices, 32, 32), torch.tensor([0, 4]), *rest)
    assert len(strides) > 1
    assert set(strides) == {1}


def test_a_window_of_spare_slices_moves_by_what_it_is_off():
    views = [VIEW.model_copy(update={"spare": 1}), VIEW.model_copy(update={"slices": 1, "spare": 2})]
    assert window(views, [0, 0]).tolist() == [1, 2, 3, 7]
    assert window(views, [-1, 1]).tolist() == [0, 1, 2, 8]


def test_the_marked_slice_is_told_wherever_the_window_lies():
    crops = draw_crops()
    pixels = np.repeat(crops.pixels, 2, axis=1)[:, :5]
    config = GraderConfig(**TINY | SEQUENCE | {"slice_shift": 0.9}, views="a")
    view, rows = VIEW.model_copy(update={"spare": 1}), np.arange(8)[:, None]
    marked = {}
    for source in ("annotated", "detected"):
        cut = with_facts(Crops(pixels, crops.index.assign(source=source)))
        examples = ViewDataset(cut, rows, config, [view], seed=1)
        marked[source] = {examples[number, epoch]["marked"] for number in range(8) for epoch in range(6)}
    assert marked == {"annotated": {0, 1, 2}, "detected": {UNMARKED}}


def test_a_cell_is_cropped_at_either_of_its_points_by_chance_and_at_the_first_in_prediction():
    crops = draw_crops()
    choices = np.array([[0, 1], [2, NOWHERE]])
    config = GraderConfig(**TINY | {"augmentation": 0.0}, views="a")
    training = ViewDataset(crops, choices, config, [VIEW], seed=1)
    seen = {training[0, epoch]["crop"].sum().item() for epoch in range(12)}
    assert len(seen) == 2
    assert len({training[1, epoch]["crop"].sum().item() for epoch in range(12)}) == 1
    asked = ViewDataset(crops, choices, config, [VIEW])
    assert asked[0]["crop"].sum().item() in seen


def test_fewer_studies_are_some_of_the_more_and_whole():
    index = draw_crops().index
    rows = np.arange(len(index))[:, None]
    few, more = (take_studies(rows, index, count, seed=1) for count in (2, 5))
    assert set(few.ravel()) < set(more.ravel())
    assert len(few) == 2 * len(LEVELS)
    assert take_studies(rows, index, None, seed=1) is rows


# Mixing


def batch_of(count: int = 6) -> dict:
    classes = torch.arange(count) % 3
    levels = torch.tensor([0, 0, 0, 4, 4, 4])[:count]
    crop, target = torch.rand(count, 3, 8, 8), targets_of({"class": classes})
    return {"crop": crop, "level": levels, "class": classes, "target": target}


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0)])
def test_mixed_targets_stay_probabilities_and_say_how_much_of_each_cell_is_seen(shares):
    batch = batch_of()
    batch["crop"] = torch.arange(6.0)[:, None, None, None].expand(-1, 3, 8, 8) / 6  # a cell's grey value is its number
    mixed = mix(batch, *shares, np.random.default_rng(2))
    torch.testing.assert_close(mixed["target"].sum(dim=1), torch.ones(6))
    assert not torch.equal(mixed["crop"], batch["crop"])
    foreign = (mixed["crop"] != batch["crop"]).float().mean(dim=(1, 2, 3))
    changed = (mixed["target"] != batch["target"]).any(dim=1)
    assert (foreign[changed] > 0).all()
    if shares[1]:
        own = (mixed["target"] * batch["target"]).sum(dim=1)[changed]
        torch.testing.assert_close(1 - foreign[changed], own)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0)])
def test_a_cell_is_mixed_with_less_of_another_one_of_its_level(shares):
    batch = batch_of()
    batch["target"] = torch.eye(6)  # a target that says which cell it is of
    for seed in range(20):
        mixed = mix(batch, *shares, np.random.default_rng(seed))["target"]
        assert (mixed.diagonal() >= 0.5).all()
        assert (mixed[:3, 3:] == 0).all()
        assert (mixed[3:, :3] == 0).all()


def test_a_label_that_does_not_count_does_not_count_in_a_mixture_either():
    batch = batch_of()
    batch["weight"] = torch.tensor([1.0, 0, 0, 1, 0, 0])
    batch["target"] = targets_of(batch)
    mixed = mix(batch, 1.0, 0.0, np.random.default_rng(1))["target"]
    assert set(mixed.nonzero()[:, 1].tolist()) == {0}, "only the grade of the two that count"


def test_nothing_is_mixed_where_nothing_is_asked_for():
    batch = batch_of()
    assert mix(batch, 0.0, 0.0, np.random.default_rng(0)) is batch


def test_the_soft_loss_of_whole_grades_is_the_metrics_weighted_log_loss():
    batch, logits = batch_of(), torch.randn(6, 3)
    expected = torch.nn.functional.cross_entropy(logits, batch["class"], torch.tensor(GRADE_WEIGHTS))
    torch.testing.assert_close(soft_loss(logits, batch), expected)
    weight = torch.tensor([1.0, 1, 1, 0, 0, 0])
    half = {"target": batch["target"][:3]}
    weighted = {"target": targets_of({**batch, "weight": weight})}
    torch.testing.assert_close(soft_loss(logits, weighted), soft_loss(logits[:3], half))
    torch.testing.assert_close(soft_loss(logits, batch, weight > 0), soft_loss(logits[:3], half))


def test_the_moving_average_starts_as_a_plain_mean():
    average, value, batches = moving_average(0.9), torch.tensor(1.0), torch.tensor(1)
    for count, current in enumerate([3.0, 5.0], start=1):
        average([value], [torch.tensor(current)], torch.tensor(count))
        average([batches], [torch.tensor(count + 1)], torch.tensor(count))
    assert float(value) == pytest.approx(3.0)
    assert int(batches) == 3, "what counts is not averaged"
    average([value], [torch.tensor(13.0)], torch.tensor(1000))
    assert float(value) == pytest.approx(4.0)


def test_each_epoch_has_an_order_of_its_own_which_the_seed_decides():
    orders = []
    for epoch in (0, 1, 2, 0):
        sampler = EpochSampler(15, 3)
        sampler.set_epoch(epoch)
        orders.append([number for number, _ in sampler])
        assert sorted(orders[-1]) == list(range(15))
    assert orders[0] == orders[3]
    assert orders[0] != orders[1] != orders[2]


# Looks


def test_a_prediction_is_the_mean_of_its_looks_and_the_straight_one_is_as_before():
    crops, rows = draw_crops(), np.arange(10)
    grader = grader_of({"turns": (0.0, 15.0), "shifts_mm": (0.0, 1.0)}, VIEW).eval()
    torch.nn.init.normal_(grader.head.linear.weight)
    looks = list(looks_of(grader))
    assert len(looks) == 8
    answers = [predict_look(grader, crops, rows, look) for look in looks]
    assert not np.allclose(answers[0], answers[-1])
    np.testing.assert_allclose(predict_grades(grader, crops, rows)[list(GRADES)], np.mean(answers, axis=0), atol=1e-12)
    plain = grader_of({}, VIEW)
    assert list(looks_of(plain)) == [Look()]
