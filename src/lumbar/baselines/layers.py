"""A net as a table of its layers, with what each gives and how many numbers it holds, as Keras prints it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lumbar.baselines.net import SystemNet, count_parameters
from lumbar.config import Config
from lumbar.records import align

BYTES = 4
"""Of a number in single precision."""


@dataclass(frozen=True)
class Layer:
    """A layer: its name in the net, its kind, the shape of what it gives, and its numbers, of which some are trained.

    The shape is channels first; its first place, the batch, is None.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]
    parameters: int


def build_bare(config: Config) -> SystemNet:
    """A system's net without any numbers in it: shapes are known, and nothing is computed."""
    with torch.device("meta"):
        return SystemNet(config, _slices_of(config))


def _slices_of(config: Config) -> int:
    return config.crop.views[config.cells.groups[0]].slices


def list_layers(net: SystemNet) -> list[Layer]:
    """The layers of a bare net in the order in which they work."""
    found: dict[str, Layer] = {}

    def note(name: str, layer: nn.Module, output: Any) -> None:
        given = output[0] if isinstance(output, tuple) else output
        found.setdefault(name, Layer(name, type(layer).__name__, (None, *given.shape[1:]), count_all(layer)))

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))
        for name, layer in net.named_modules()
        if name and _is_shown(layer)
    ]
    net.eval()(*_any_batch(net))
    for hook in hooks:
        hook.remove()
    return list(found.values())


def _is_shown(layer: nn.Module) -> bool:
    """Whether a module is no mere container: it holds numbers itself, or nothing that does."""
    return bool(list(layer.parameters(recurse=False))) or not (list(layer.children()) or isinstance(layer, nn.Identity))


def _any_batch(net: SystemNet) -> Iterator[torch.Tensor]:
    slices, size = _slices_of(net.config), net.grade.image_size
    yield torch.zeros(1, slices, size, size, device="meta")
    yield torch.zeros(1, dtype=torch.long, device="meta")
    yield torch.zeros(1, 2, device="meta")


def count_all(module: nn.Module) -> int:
    """All numbers of a module, with the running statistics, which Keras counts as not trainable."""
    return sum(count_parameters(module).values())


def format_layers(net: SystemNet) -> list[str]:
    """The table as lines, with the totals below it."""
    rows = [("layer (type)", "output shape", "parameters")]
    rows += [(f"{each.name} ({each.kind})", _shape(each), f"{each.parameters:,}") for each in list_layers(net)]
    return [*align(rows, left=(0, 1)), "", *_totals(count_parameters(net))]


def _shape(layer: Layer) -> str:
    return f"({', '.join(map(str, layer.shape))})"


def _totals(counts: Mapping[str, int]) -> list[str]:
    total = sum(counts.values())
    kinds = {"Total": total, "Trainable": counts["trainable"], "Non-trainable": total - counts["trainable"]}
    return [f"{kind} parameters: {count:,} ({count * BYTES / 2**20:.2f} MiB)" for kind, count in kinds.items()]
