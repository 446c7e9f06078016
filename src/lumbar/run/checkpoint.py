"""Weights as safetensors beside a JSON card that says what they are. Loading one never executes code from it.

Cards are read without torch: a bundle is checked by the process that must survive when torch does not load.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from safetensors import SafetensorError

from lumbar.errors import InputError
from lumbar.records import Record, read_record, write_record, written_whole

if TYPE_CHECKING:
    import torch


BY_EPOCH = "_by_epoch"


class CheckpointError(InputError):
    """Weights or a card that do not fit; the message names the file."""


class Card(Record):
    """What a checkpoint says of itself."""

    kind: str
    """`detector` or `grader`."""
    classes: tuple[str, ...]
    """The outputs, in their order."""
    fold: int
    """The fold whose studies the weights have not seen."""
    config: dict[str, Any]
    """The config sections that made it: architecture, preprocessing, schedule."""
    seed: int
    fingerprint: str
    """A hash of all that it was made from: equal fingerprints, equal training."""
    training_studies: int
    commit: str
    """The repository's commit when it was trained, or `unknown`."""
    details: dict[str, Any] = Field(default_factory=dict)
    """What else is known; a list of figures by epoch under a name that ends in `BY_EPOCH`."""

    @property
    def curves(self) -> dict[str, list[float]]:
        """The figures by epoch, by their names without the ending."""
        return {name.removesuffix(BY_EPOCH): of for name, of in self.details.items() if name.endswith(BY_EPOCH)}


def save_checkpoint(stem: Path, state: dict[str, torch.Tensor], card: Card) -> None:
    """Writes `<stem>.safetensors`, then `<stem>.json`: where there is a card, the weights are whole."""
    from safetensors.torch import save

    stem.with_suffix(".json").unlink(missing_ok=True)  # never new weights beside an old card
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with written_whole(stem.with_suffix(".safetensors")) as beside:
        beside.write_bytes(save(weights))
    write_record(card, stem.with_suffix(".json"))


def remove_checkpoint(stem: Path) -> None:
    """Removes a checkpoint, if it is there."""
    for suffix in (".json", ".safetensors"):
        stem.with_suffix(suffix).unlink(missing_ok=True)


def read_card(stem: Path) -> Card | None:
    """The card of a checkpoint, or None when there is none; CheckpointError for one that cannot be read."""
    path = stem.with_suffix(".json")
    if not path.is_file():
        return None
    return read_record(path, Card, "a checkpoint's card", CheckpointError)


def is_current(stem: Path, fingerprint: str) -> bool:
    """Whether the checkpoint is there and was made by the same training."""
    try:
        card = read_card(stem)
    except CheckpointError:
        return False
    return card is not None and card.fingerprint == fingerprint and stem.with_suffix(".safetensors").is_file()


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{path}: there are no such weights; nothing is downloaded, give a local file")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error


def expect_card(stem: Path, kind: str, classes: tuple[str, ...]) -> Card:
    """The card of a checkpoint that must be of this kind and have these outputs."""
    card = read_card(stem)
    if card is None:
        raise CheckpointError(f"{stem.with_suffix('.json')}: there is no card beside the weights")
    if card.kind != kind or card.classes != classes:
        raise CheckpointError(
            f"{stem.with_suffix('.json')}: expected a {kind} of {', '.join(classes)}; "
            f"it is a {card.kind} of {', '.join(card.classes)}"
        )
    return card


def load_weights(stem: Path, module: torch.nn.Module) -> None:
    """Loads a checkpoint's weights into a module, strictly."""
    try:
        module.load_state_dict(load_state(stem.with_suffix(".safetensors")), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{stem.with_suffix('.safetensors')}: does not fit its card: {error}") from error


@cache
def current_commit() -> str:
    """The commit of the repository that the package lies in, or `unknown` outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
