"""The report's overlays show what spoke for a grade, and its colours can be told apart."""

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

import lumbar.report
from lumbar.labels import GROUPS
from lumbar.report.gradcam import explain, last_map

THEMES = ("light", "dark")


class BrightnessGrader(nn.Module):
    """Says severe as much as the picture is bright, and moderate as much as it is dark."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        brightness = self.same(crops).mean(dim=(1, 2, 3))
        return torch.stack([0 * brightness, -brightness, brightness], dim=1)


def test_grad_cam_lights_up_what_spoke_for_the_grade():
    crop = torch.zeros(1, 1, 8, 8)
    crop[..., 1, 6] = 3.0
    grader = BrightnessGrader()
    heat = explain(grader, (crop,), output=2)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (row // 8, column // 8) == (1, 6)
    assert heat.max() == 1
    assert explain(grader, (crop,), output=1).max() == 0, "brightness speaks against moderate"


class OneLogit(nn.Module):
    """Says by one number how bright the picture is, and does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(1, 1, 1, bias=False).requires_grad_(False)
        self.same.weight.fill_(1.0)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.same(crops).mean(dim=(1, 2, 3))[:, None]


def test_one_logit_of_a_frozen_net_speaks_for_the_second_class_and_against_the_first():
    crop = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert explain(OneLogit(), (crop,), output=1).max() == 1
    assert explain(OneLogit(), (crop,), output=0).max() == 0


@pytest.mark.parametrize(
    ("backbone", "size", "module"),
    [("test_convnext3", 64, "stages.1"), ("test_convnext3", 256, "stages.3"), ("test_resnet", 64, "layer2")],
)
def test_the_map_that_is_read_is_the_last_one_fine_enough(backbone, size, module):
    grader = nn.Module()
    grader.backbone = timm.create_model(backbone, in_chans=1, num_classes=3).eval()
    grader.forward = grader.backbone.forward
    crops = torch.zeros(1, 1, size, size)
    assert last_map(grader, (crops,)) is grader.backbone.get_submodule(module)


def test_a_transformer_without_maps_gets_no_overlay():
    backbone = timm.create_model("test_vit", in_chans=1, num_classes=3).eval()
    grader = nn.Module()
    grader.backbone, grader.forward = backbone, backbone.forward
    size = backbone.patch_embed.img_size[0]
    assert explain(grader, (torch.zeros(1, 1, size, size),), output=0) is None


def colours_of(theme: str) -> dict[str, np.ndarray]:
    """The named colours (3,) in [0, 1] of a theme of the style sheet."""
    style = (Path(lumbar.report.__file__).parent / "templates" / "style.css").read_text()
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[THEMES.index(theme)]
    named = re.findall(r"--([a-z]+): #([0-9a-f]{6})", block)
    return {name: np.array([int(value[place : place + 2], 16) for place in (0, 2, 4)]) / 255 for name, value in named}


def linear(colour: np.ndarray) -> np.ndarray:
    """Light of an sRGB colour (IEC 61966-2-1)."""
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """WCAG 2's contrast ratio of two colours."""
    light, dark = sorted((float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


SEEN_AS = {
    "normal sight": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""Machado, Oliveira and Fernandes (2009), full severity, on linear light."""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SEEN_AS)
def test_the_grades_colours_stay_apart_for_every_eye(theme, sight):
    colours = colours_of(theme)
    seen = {
        name: lab(np.clip(SEEN_AS[sight] @ linear(colours[name]), 0, 1)) for name in ("normal", "moderate", "severe")
    }
    pairs = [("normal", "moderate"), ("normal", "severe"), ("moderate", "severe")]
    assert min(np.linalg.norm(seen[one] - seen[other]) for one, other in pairs) > 25


def lab(light: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear sRGB light."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    scaled = to_xyz @ light / [0.9505, 1.0, 1.089]
    root = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_marks_stand_out_from_the_paper(theme):
    colours = colours_of(theme)
    assert contrast(colours["ink"], colours["paper"]) > 7
    assert contrast(colours["quiet"], colours["paper"]) > 4.5
    for name in ("normal", "moderate", "severe", *GROUPS, "better", "worse"):
        assert contrast(colours[name], colours["paper"]) > 3, name
