"""The grader's net: an encoder over slices, as channels or one by one, a pooling of each view's slices, a head."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lumbar.config import GraderConfig, ViewConfig
from lumbar.grade.encoder import Encoder, load_backbone
from lumbar.grade.head import GradeHead
from lumbar.grade.sequence import LEAST, POOLINGS


@dataclass(frozen=True, eq=False)
class Answer:
    """Logits (B, 3) of the grades; of each view by itself, where it has a head, with the cells (B,) that it shows; and
    of each slice (B, S) of being the one that was marked, where a head says so."""

    grades: torch.Tensor
    by_view: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()
    slices: torch.Tensor | None = None


class Grader(nn.Module):
    """Logits of the grades from a crop and its level; a sequence also needs which of its slices are there, and where.

    `inputs` are what `forward` takes of a batch.
    """

    def __init__(self, config: GraderConfig, views: Sequence[ViewConfig]) -> None:
        super().__init__()
        self.config, self.views = config, tuple(views)
        self.is_sequence = config.slices_as == "sequence"
        self.inputs = ("crop", "level", "present", "distance") if self.is_sequence else ("crop", "level")
        self.encoder = Encoder(config, 1 if self.is_sequence else self.views[0].slices)
        width = self.encoder.width
        poolings = [POOLINGS[config.pooling](width) for _ in views] if self.is_sequence else []
        self.poolings, widths = nn.ModuleList(poolings), [pooling.width for pooling in poolings] or [width]
        self.head = GradeHead(sum(widths), config.dropout, config.level_embedding)
        self.view_heads = nn.ModuleList(
            [GradeHead(each, config.dropout) for each in widths] if config.view_loss else []
        )
        self.slice_head = nn.Linear(width, 1) if config.slice_loss else None

    @property
    def backbone(self) -> nn.Module:
        """The encoder's timm net."""
        backbone: nn.Module = self.encoder.backbone
        return backbone

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, 3) of a batch's `inputs`: crops (B, slices, H, W) in [0, 1], level indices (B,) and, of the slices
        of a sequence, which are there (B, slices) and their mm from the point (B, slices)."""
        return self.examine(*inputs).grades

    def examine(
        self,
        crops: torch.Tensor,
        levels: torch.Tensor,
        present: torch.Tensor | None = None,
        distance: torch.Tensor | None = None,
    ) -> Answer:
        """All that the net says of a batch, see `forward`."""
        if present is None or distance is None:
            return Answer(self.head(self.encoder(crops), levels))
        features = self._encode(crops, present)
        ends = np.cumsum([view.slices for view in self.views])[:-1].tolist()
        parts = zip(*(each.tensor_split(ends, dim=1) for each in (features, present, distance)), strict=True)
        pooled, shown = [], []
        for pooling, (seen, there, away) in zip(self.poolings, parts, strict=True):
            shown.append(there.any(dim=1))  # (B,)
            pooled.append(pooling(seen, there, away) * shown[-1][:, None])  # a view that a cell lacks says nothing
        by_view = [
            (head(part, levels), there) for head, part, there in zip(self.view_heads, pooled, shown, strict=False)
        ]
        marked = None
        if self.slice_head is not None:
            marked = self.slice_head(features)[..., 0].masked_fill(~present, LEAST)
        return Answer(self.head(torch.cat(pooled, dim=1), levels), by_view, marked)

    def _encode(self, crops: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Features (B, S, F) of the slices (B, S, H, W) that are there (B, S), 0 of the others: these would only cost
        time, and bend the statistics of batch normalisation."""
        seen = self.encoder(crops[present][:, None])
        features = seen.new_zeros((*present.shape, seen.shape[1]))
        features[present] = seen
        return features

    def start_at_prior(self, prior: NDArray[np.float64]) -> None:
        """Lets every head say a prior (5, 3) as long as nothing is learned."""
        for head in (self.head, *self.view_heads):
            head.start_at_prior(prior)

    def start_backbone_from(self, path: Path) -> None:
        """Loads a local `.safetensors` of the backbone, see `load_backbone`."""
        load_backbone(self.backbone, path)
