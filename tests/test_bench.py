"""The benchmarks' own: what they give a grader, every kind of grader takes, and what they run is a config."""

import pytest
import torch

from bench_growth import REPOSITORY, write_config
from bench_speed import cells_of
from graded_crops import TINY, draw_crops
from lumbar.config import GraderConfig, read_config
from lumbar.grade.graders import TEXTURE, build_grader
from lumbar.labels import GRADES
from test_grade_texture import VIEW, fitted


@pytest.mark.parametrize("backbone", [TINY["backbone"], TEXTURE])
def test_every_kind_of_grader_answers_for_as_many_cells_as_the_bench_asks_about(backbone):
    config = GraderConfig(**TINY | {"backbone": backbone}, views=("spinal",))
    grader = fitted(draw_crops(), config)[0] if backbone == TEXTURE else build_grader(config, [VIEW])
    with torch.inference_mode():
        assert grader.eval()(*cells_of(grader, 4)).shape == (4, len(GRADES))


def test_growth_is_measured_on_the_rehearsals_run_with_as_many_studies_as_are_asked_for(tmp_path):
    config, rehearsal = read_config(write_config(24, tmp_path)), read_config(REPOSITORY / "configs" / "rehearsal.yaml")
    assert (config.phantom.studies, config.detect.epochs) == (24, 2)
    assert config.graders.keys() == rehearsal.graders.keys()
