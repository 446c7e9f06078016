"""The grader without a net: that it learns, that it is kept and asked as any other, and what it heeds of a config."""

import numpy as np
import pytest
import torch

from graded_crops import draw_crops, keep_grader
from lumbar.config import GraderConfig, ViewConfig
from lumbar.crop.crops import Crops
from lumbar.grade.graders import TEXTURE, build_grader
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.grade.train import fit_grader
from lumbar.labels import GRADE_WEIGHTS, GRADES

CONFIG = GraderConfig(backbone=TEXTURE, image_size=32, batch_size=8, views=("spinal",))
VIEW = ViewConfig(group="spinal", size=40, mm_per_pixel=1.0, slices=3)


def fitted(crops: Crops, config: GraderConfig = CONFIG):
    """A grader fitted to all of the crops, and its curves."""
    grader = build_grader(config, [VIEW])
    _, curves = fit_grader(grader, crops, np.arange(len(crops.index))[:, None], seed=1)
    return grader.eval(), curves


def said(grader, crops: Crops) -> np.ndarray:
    """The probabilities (N, 3) of every crop."""
    return predict_grades(grader, crops, np.arange(len(crops.index)))[list(GRADES)].to_numpy()


def test_it_learns_what_can_be_seen():
    _, curves = fitted(draw_crops())
    assert curves["accuracy"][0] > 0.8, "of three grades"


def test_it_answers_the_same_from_its_checkpoint(tmp_path):
    crops = draw_crops()
    grader, _ = fitted(crops)
    stem = tmp_path / "spinal_fold0"
    config = {"grader": CONFIG.model_dump(mode="json"), "views": {"spinal": VIEW.model_dump(mode="json")}}
    keep_grader(stem, grader.state_dict(), config)
    np.testing.assert_array_equal(said(load_grader(stem), crops), said(grader, crops))


def test_its_answers_are_the_cases_shares_times_the_metrics_weights():
    crops = draw_crops()
    grader, _ = fitted(crops)
    images = torch.from_numpy(crops.pixels[:4, :, 4:36, 4:36].astype(np.float32)) / 255
    shares = torch.exp(grader.head(grader.features(images)))
    weighted = shares * torch.tensor(GRADE_WEIGHTS)
    expected = weighted / weighted.sum(dim=1, keepdim=True)
    torch.testing.assert_close(torch.softmax(grader(images), dim=1), expected.float(), rtol=1e-5, atol=1e-6)


def test_a_label_that_counts_nothing_is_not_fitted_to():
    crops = draw_crops()
    wrong = np.arange(len(crops.index)) % 4 == 0
    clean = Crops(crops.pixels, crops.index.assign(label_weight=np.where(wrong, 0.0, 1.0)))
    spoilt = Crops(crops.pixels, clean.index.assign(grade=np.where(wrong, 0, clean.index["grade"])))
    trusting = Crops(crops.pixels, spoilt.index.assign(label_weight=1.0))
    truth = crops.index["grade"].to_numpy()

    def right(answers: np.ndarray) -> float:
        return float((answers.argmax(axis=1) == truth)[~wrong].mean())

    assert right(said(fitted(spoilt)[0], crops)) >= right(said(fitted(trusting)[0], crops))


def test_it_is_asked_with_shifts_as_a_net_is():
    crops = draw_crops()
    grader, _ = fitted(crops)
    shifted = build_grader(CONFIG.model_copy(update={"shifts_mm": (-2.0, 0.0, 2.0)}), [VIEW])
    shifted.load_state_dict(grader.state_dict())
    assert not np.array_equal(said(shifted.eval(), crops), said(grader, crops))


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_crops_is_answered(count):
    crops = draw_crops()
    grader, _ = fitted(crops)
    few = predict_grades(grader, crops, np.arange(count))[list(GRADES)].to_numpy()
    np.testing.assert_allclose(few, said(grader, crops)[:count], atol=1e-6)
