"""The detector's network: Ultralytics' YOLOv8, built from its YAML, without a download and without a pickle."""

import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import ultralytics
import yaml
from ultralytics.nn.tasks import DetectionModel

from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.run.checkpoint import CheckpointError, load_state

SCALES = {"p": [0.33, 0.125, 512]}
"""Depth, width and most channels of our own sizes, beside those of Ultralytics."""
KNOWN_PACKAGES = ("ultralytics.nn.", "torch.nn.")
"""A `.pt` holds a pickled module. Only classes of networks from here may be named in one, and none of them is built."""
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


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a local `.pt` or `.safetensors`, by their names in a network's state."""
    return load_state(path) if path.suffix == ".safetensors" else _load_pickled(path)


class StandIn:
    """Stands where a pickle names a class, and keeps what the pickle says of the object, as data.

    To build the class itself would run code that the file chooses: a DetectionModel, for one, evaluates the text that
    its description gives as `activation`.
    """

    def __init__(self, *_: object) -> None:
        """Nothing: what the file would pass to the class is not looked at."""


def _load_pickled(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there are no such weights; nothing is downloaded, give a local file")
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        stand_ins: list[Any] = [(_stand_in_for(path, name), name) for name in names]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True)
        model = content.get("ema") or content.get("model") or content if isinstance(content, dict) else content
        state = dict(_tensors_of(model)) if isinstance(model, StandIn) else model
    except CheckpointError:
        raise
    except (RuntimeError, ValueError, EOFError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: cannot be read as weights: {error}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: expected a network or its tensors, got {type(content).__name__}")
    return {name: tensor.float() for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def _stand_in_for(path: Path, name: str) -> type[StandIn]:
    """The stand-in for a name in a pickle; anything but a network's class is refused."""
    module, _, attribute = name.rpartition(".")
    if name.startswith(KNOWN_PACKAGES):
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ImportError:
            raise CheckpointError(f"{path}: names {name}, which this version of its package does not have") from None
        if isinstance(found, type) and issubclass(found, torch.nn.Module):
            return StandIn
    raise CheckpointError(f"{path}: refused, it wants to load {name}, which is no part of a network")


def _tensors_of(module: StandIn, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """A pickled module's parameters and buffers and those of the modules in it, by the names of its state."""
    state = vars(module)
    for name, tensor in {**state.get("_parameters", {}), **state.get("_buffers", {})}.items():
        yield f"{prefix}{name}", tensor
    for name, below in state.get("_modules", {}).items():
        if isinstance(below, StandIn):
            yield from _tensors_of(below, f"{prefix}{name}.")
