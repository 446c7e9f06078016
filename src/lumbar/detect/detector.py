"""A trained detector: canvases in, candidate boxes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from lumbar.config import LOOKS_WITH, DetectConfig
from lumbar.detect.canvas import Canvas
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.network import build_network
from lumbar.run.checkpoint import expect_card, load_weights

BATCH = 16
"""Canvases a forward pass: more gains nothing on a CPU and costs memory on a large canvas."""
OVERLAP = 0.5
"""Boxes of one class that share more of their union are one."""
STRONGEST = 300
"""Boxes of a canvas that are looked at, the most confident first."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A box of one class: its confidence, its centre as a patient point (3,), and the slice it was seen on."""

    landmark: int
    confidence: float
    point: NDArray[np.float64]
    series_id: int
    instance_number: int


class Detector:
    """One fold's detector, ready to look at canvases."""

    def __init__(self, network: torch.nn.Module, config: DetectConfig) -> None:
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # With channels last, convolutions take a third less time on a CPU; answers differ by rounding.
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, stem: Path, config: DetectConfig) -> "Detector":
        """From a checkpoint, strictly. It works as it was trained; `config` says no more than what of it to take."""
        trained = DetectConfig.model_validate(expect_card(stem, "detector", CLASS_NAMES).config)
        network = build_network(trained.scale)
        load_weights(stem, network)
        return cls(network, trained.model_copy(update={key: getattr(config, key) for key in LOOKS_WITH}))

    @torch.inference_mode()
    def look(self, canvases: Sequence[Canvas]) -> list[Candidate]:
        """Every candidate on the canvases, at least as confident as the config's minimum."""
        found: list[Candidate] = []
        for start in range(0, len(canvases), BATCH):
            batch = canvases[start : start + BATCH]
            images = torch.from_numpy(np.stack([canvas.pixels for canvas in batch])).to(self.device)
            images = images[:, None].expand(-1, 3, -1, -1).float() / 255  # (B, 3, S, S)
            images = images.contiguous(memory_format=torch.channels_last)
            output = self.network(images)[0].float().cpu()  # (B, 4 + classes, anchors)
            for canvas, boxes in zip(batch, output, strict=True):
                found.extend(self._read(canvas, boxes.T))
        return found

    def _read(self, canvas: Canvas, boxes: torch.Tensor) -> Iterator[Candidate]:
        anchors, classes = torch.nonzero(boxes[:, 4:] >= self.config.min_confidence, as_tuple=True)
        confidences = boxes[anchors, 4 + classes]
        strongest = confidences.argsort(descending=True, stable=True)[:STRONGEST]
        anchors, classes, confidences = anchors[strongest], classes[strongest], confidences[strongest]
        centres, sizes = boxes[anchors, :2], boxes[anchors, 2:4]
        corners = torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1)
        for index in batched_nms(corners, confidences, classes, OVERLAP).tolist():
            # The network counts from the image's corner, geometry from the first pixel's centre.
            point = canvas.plane.to_patient(centres[index].numpy().astype(np.float64) - 0.5)
            yield Candidate(
                int(classes[index]), float(confidences[index]), point, canvas.series_id, canvas.instance_number
            )
