"""The nets that a grader can be built from: those of the published systems by their own names, and all of timm's."""

from lumbar.grade.networks.blocks import ACTIVATIONS
from lumbar.grade.networks.build import build_features, build_head, build_timm, expect_backbone, is_own
from lumbar.grade.networks.place import PlaceBranch

__all__ = ["ACTIVATIONS", "PlaceBranch", "build_features", "build_head", "build_timm", "expect_backbone", "is_own"]
