"""Weights to start from, read from a local file as tensors: nothing that a pickle names is ever executed."""

import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lumbar.run.checkpoint import CheckpointError, load_state

KNOWN_PACKAGES = ("ultralytics.nn.", "torch.nn.")
"""A `.pt` holds a pickled module. Only classes of networks from here may be named in one, and none of them is built."""


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
