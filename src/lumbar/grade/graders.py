"""The graders that there are: a timm net, or what is fitted to texture."""

from collections.abc import Sequence

from lumbar.config import GraderConfig, ViewConfig
from lumbar.grade.net import Grader
from lumbar.grade.texture_grader import TextureGrader

TEXTURE = "texture_svm"
"""The backbone's name of a grader without a net."""
AnyGrader = Grader | TextureGrader


def build_grader(config: GraderConfig, views: Sequence[ViewConfig]) -> AnyGrader:
    """An untrained grader."""
    return TextureGrader(config, views) if config.backbone == TEXTURE else Grader(config, views)
