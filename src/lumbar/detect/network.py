"""The detector's network: Ultralytics' YOLOv8, built from its YAML, without a download."""

from pathlib import Path
from typing import Any

import ultralytics
import yaml
from ultralytics.nn.tasks import DetectionModel

from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.weights import read_weights
from lumbar.run.checkpoint import CheckpointError

SCALES = {"p": [0.33, 0.125, 512]}
"""Depth, width and most channels of our own sizes, beside those of Ultralytics."""
CLASS_BRANCH = ".cv3."
"""In the names of the tensors whose shapes depend on the classes: other weights know other ones."""


def build_network(scale: str) -> DetectionModel:
    """An untrained YOLOv8 of the given size over our landmarks."""
    path = Path(ultralytics.__file__).parent / "cfg" / "models" / "v8" / "yolov8.yaml"
    architecture: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    architecture["scales"] |= SCALES
    architecture |= {"scale": scale, "yaml_file": f"yolov8{scale}.yaml"}
    network = DetectionModel(architecture, ch=3, nc=len(CLASS_NAMES), verbose=False)
    network.names = dict(enumerate(CLASS_NAMES))
    return network


def start_from(network: DetectionModel, path: Path) -> int:
    """Copies the tensors of a local `.pt` or `.safetensors`, and counts them.

    All must be there in the network's shapes, but for the branch that tells classes apart: CheckpointError.
    """
    state = read_weights(path)
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    lacking = [name for name in own if name not in fitting and CLASS_BRANCH not in name]
    if lacking:
        raise CheckpointError(
            f"{path}: lacks {len(lacking)} of the {len(own)} tensors of this YOLOv8, such as {lacking[0]} with shape"
            f" {tuple(own[lacking[0]].shape)}; is it of another size than detect.scale?"
        )
    network.load_state_dict(fitting, strict=False)
    return len(fitting)
