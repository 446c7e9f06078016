"""The recipes for the real data: their real nets are built, trained for two steps, interrupted and resumed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from graded_crops import FailingPixels
from lumbar.config import Config, GraderConfig, read_config
from lumbar.crop.crops import Crops, slice_facts, with_row_ids
from lumbar.errors import InputError
from lumbar.grade.asking import views_of
from lumbar.grade.graders import TEXTURE
from lumbar.grade.net import Grader
from lumbar.grade.predict import predict_grades
from lumbar.grade.train import train_grader
from lumbar.labels import GRADES, LEVELS
from lumbar.pipeline import expect_weights

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = {name: read_config(CONFIGS / f"{name}.yaml") for name in ("rsna2024", "gold")}
KINDS = {
    f"{grader.backbone}, {grader.pooling}": (config, grader)
    for config in RECIPES.values()
    for grader in config.trained_graders.values()
    if grader.backbone != TEXTURE  # no net, and nothing to resume
}
"""Each backbone and pooling once: what differs otherwise is only what is cropped."""
CELLS = 2
"""A step of the optimiser an epoch: the real nets take seconds for each."""


def crops_for(config: Config, grader: GraderConfig) -> Crops:
    """Noise of the shape that a grader's view has, with grades."""
    (view,) = views_of(config, grader).values()
    shape = (CELLS, view.stored_slices, view.size, view.size)
    index = pd.DataFrame({"study_id": range(CELLS), "fold": 0, "condition": "spinal_canal_stenosis"})
    index = index.assign(level="l4_l5", source="detected", is_own=1, grade=np.arange(CELLS) % 3)
    index[list(slice_facts(view.stored_slices))] = 1.0
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    return Crops(pixels, with_row_ids(index))


def short(grader: GraderConfig) -> GraderConfig:
    """A grader as it is, but for two epochs of two cells a step, and from scratch."""
    few = {"epochs": 2, "batch_size": 2, "accumulate": 1, "weights": None, "points": "detected"}
    return grader.model_copy(update=few)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipes_net_trains_resumes_and_predicts(kind, tmp_path):
    config, grader = KINDS[kind]
    crops, rows = crops_for(config, grader), np.arange(CELLS)[:, None]
    views = list(views_of(config, grader).values())

    def train(pixels, epochs_read: float) -> dict[str, list[float]]:
        torch.manual_seed(0)
        net = Grader(short(grader), views)
        failing = FailingPixels(pixels, limit=epochs_read * CELLS)
        _, curves = train_grader(net, Crops(failing, crops.index), rows, tmp_path, 1, kind)
        predicted = predict_grades(net.eval(), crops, rows[:1, 0])
        assert predicted[list(GRADES)].sum(axis=1).to_numpy() == pytest.approx(1)
        return curves

    with pytest.raises(RuntimeError, match="the machine went down"):
        train(crops.pixels, 1.5)
    curves = train(crops.pixels, 1)  # the second epoch only
    assert len(curves["loss"]) == 2
    assert np.isfinite(curves["loss"]).all()


def test_gold_has_every_view_and_grader_of_the_plain_recipe_and_more():
    plain, gold = RECIPES["rsna2024"], RECIPES["gold"]
    assert set(plain.members) < set(gold.members)
    assert set(plain.crop.views) < set(gold.crop.views)
    assert {view.series_description for view in plain.crop.views.values()} == {
        "Sagittal T2/STIR",
        "Axial T2",
        "Sagittal T1",
    }


def test_the_smoke_run_has_batches_for_every_net_of_gold():
    smoke = read_config(CONFIGS / "smoke.yaml")
    assert set(smoke.members) == set(RECIPES["gold"].members)
    studies = smoke.phantom.studies * (smoke.folds.count - 1) // smoke.folds.count
    batches = {name: studies * len(LEVELS) // grader.batch_size for name, grader in smoke.trained_graders.items()}
    assert min(batches.values()) >= 2, "of a level's single cell, as the canal's are"


@pytest.mark.parametrize("name", RECIPES)
def test_what_the_reader_must_bring_is_named_with_the_command_that_gets_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"detect\.weights: there is no weights/yolov8..safetensors \(make weights"):
        expect_weights(RECIPES[name])
