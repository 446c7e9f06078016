"""The benchmark's own: what it gives a grader, every kind of grader takes."""

import numpy as np
import pytest
import torch

from bench_speed import cells_of
from graded_crops import TINY, draw_crops
from lumbar.config import GraderConfig, ViewConfig
from lumbar.grade.graders import TEXTURE, build_grader
from lumbar.grade.train import fit_grader
from lumbar.labels import GRADES

VIEW = ViewConfig(group="spinal", size=40, mm_per_pixel=1.0, slices=3)


@pytest.mark.parametrize("backbone", [TINY["backbone"], TEXTURE])
def test_every_kind_of_grader_answers_for_as_many_cells_as_the_bench_asks_about(backbone):
    grader = build_grader(GraderConfig(**TINY | {"backbone": backbone}, views=("spinal",)), [VIEW])
    if backbone == TEXTURE:  # it has no say before
        crops = draw_crops()
        fit_grader(grader, crops, np.arange(len(crops.index))[:, None], seed=1)
    with torch.inference_mode():
        assert grader.eval()(*cells_of(grader, 4)).shape == (4, len(GRADES))
