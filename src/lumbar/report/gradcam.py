"""Grad-CAM: where in its crop a grader saw what spoke for a grade (Selvaraju et al., ICCV 2017), by captum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray
from torch import nn

from lumbar.config import ViewConfig
from lumbar.crop.crops import Crops, found_rows, open_crops
from lumbar.grade.graders import TEXTURE, AnyGrader
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.run.checkpoint import Card

LEAST_CELLS = 6
"""Fewest cells to a side of the feature map that is read: on small crops the last stage has 2 x 2, which says no more
than a quarter of the picture. 7 x 7 is what the method's authors read from a ResNet."""
PICTURE = 64
"""Side in pixels that a map is smoothly enlarged to."""

Inputs = tuple[torch.Tensor, ...]
"""What a grader is called with: crops (1, slices, S, S) and, each (1, ...), what else it takes."""


@dataclass(frozen=True, eq=False)
class Attention:
    """What spoke for a grade: a map (PICTURE, PICTURE) in [0, 1] over the square of `field_mm` in the crop's middle,
    as the grader saw it: on the left."""

    heat: NDArray[np.float64]
    field_mm: float


def explain(grader: nn.Module, inputs: Inputs, output: int) -> NDArray[np.float64] | None:
    """The map (PICTURE, PICTURE) in [0, 1] of one crop and an output, 0 where nothing spoke for it.

    The outputs of a net with one sigmoid are those of its two classes. None for a network without square feature maps,
    such as a vision transformer.
    """
    layer = last_map(grader, inputs)
    if layer is None:
        return None
    crops, *others = inputs
    cam = LayerGradCam(lambda *given: _by_class(grader(*given)), layer).attribute(
        crops.clone().requires_grad_(),  # without it, nothing leads to the maps of a frozen net
        target=output,
        additional_forward_args=tuple(others),
        relu_attributions=True,
    )
    smooth = LayerAttribution.interpolate(cam, (PICTURE, PICTURE), interpolate_mode="bicubic")
    heat = smooth.detach().mean(dim=(0, 1)).clamp(min=0).double().numpy()
    return heat / heat.max() if heat.max() > 0 else heat


def _by_class(outputs: torch.Tensor) -> torch.Tensor:
    """Outputs (B, O) as they are, or (B, 2) of one logit, which speaks against the first class and for the second."""
    return torch.cat([-outputs, outputs], dim=1) if outputs.shape[1] == 1 else outputs


def last_map(grader: nn.Module, inputs: Inputs) -> nn.Module | None:
    """The last module whose output (B, C, H, W) is a square map of at least `LEAST_CELLS` to a side, or None."""
    found: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3] >= LEAST_CELLS:
            found.append(module)

    hooks = [module.register_forward_hook(note) for module in _stages(grader)]
    with torch.no_grad():
        grader(*inputs)
    for hook in hooks:
        hook.remove()
    return found[-1] if found else None


def _stages(grader: nn.Module) -> Iterable[nn.Module]:
    """A timm backbone's stages, as it lists them itself; of another network every module."""
    backbone = getattr(grader, "backbone", None)
    listed = getattr(backbone, "feature_info", None)
    if not isinstance(backbone, nn.Module) or not isinstance(listed, list):
        return [module for name, module in grader.named_modules() if name]
    modules = dict(backbone.named_modules())
    return [modules[stage["module"]] for stage in listed if stage["module"] in modules]


def inputs_of(grader: AnyGrader, crops: Crops, row: int) -> Inputs:
    """Exactly what `predict_grades` calls the grader with for one crop."""
    seen: list[Inputs] = []
    hook = grader.register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    predict_grades(grader, crops, np.array([row]))
    hook.remove()
    grader.cpu()
    return tuple(tensor.cpu().clone() for tensor in seen[0])


class Explainer:
    """Explains a run's cells, each by a grader that has not seen its study; opens each grader and table once."""

    def __init__(self, models: Path, crops: Path, cards: Mapping[str, Card]) -> None:
        self.models, self.folder = models, crops
        self.cards = {stem: card for stem, card in cards.items() if "published" not in card.config}
        self._crops: dict[str, Crops] = {}
        self._graders: dict[str, AnyGrader] = {}

    def explain(self, row_id: str, view: str, fold: int, grade: int) -> Attention | None:
        """The attention of the grader of a view alone, or None where there is no grader of our own, no crop or no
        feature map."""
        stem = self._grader_of(view, fold)
        crops = self._open_crops(view)
        of_cell = (crops.index["row_id"] == row_id) & (crops.index["fold"] == fold) & found_rows(crops.index)
        rows = np.flatnonzero(of_cell)
        if stem is None or not len(rows):
            return None
        inputs = inputs_of(self._load(stem), crops, int(rows[0]))
        heat = explain(self._load(stem), inputs, grade)
        if heat is None:
            return None
        scale = ViewConfig.model_validate(self.cards[stem].config["views"][view]).mm_per_pixel
        return Attention(heat, inputs[0].shape[-1] * scale)

    def _grader_of(self, view: str, fold: int) -> str | None:
        """The first net of a view alone."""
        nets = {stem: card for stem, card in self.cards.items() if card.config["grader"]["backbone"] != TEXTURE}
        of_view = (stem for stem, card in nets.items() if card.fold == fold and list(card.config["views"]) == [view])
        return next(of_view, None)

    def _open_crops(self, view: str) -> Crops:
        if view not in self._crops:
            self._crops[view] = open_crops(self.folder, view)
        return self._crops[view]

    def _load(self, stem: str) -> AnyGrader:
        if stem not in self._graders:
            self._graders[stem] = load_grader(self.models / stem)
        return self._graders[stem]
