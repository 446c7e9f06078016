"""The detector's network, and the files that it starts from."""

import os

import pytest
import torch

from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.network import build_network, start_from
from lumbar.run.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """The smallest network, untrained."""
    torch.manual_seed(0)
    return build_network("p")


def test_the_network_predicts_a_box_and_every_class_at_every_anchor(network):
    with torch.inference_mode():
        output = network.eval()(torch.zeros(1, 3, 64, 64))[0]
    assert output.shape == (1, 4 + len(CLASS_NAMES), 8 * 8 + 4 * 4 + 2 * 2)
    assert network.names == dict(enumerate(CLASS_NAMES))


def test_the_own_size_is_smaller_than_the_smallest_published(network):
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count < sum(parameter.numel() for parameter in build_network("n").parameters()) / 3


def test_weights_of_a_pickled_ultralytics_model_are_taken_over_whole(network, tmp_path):
    torch.save({"model": network, "ema": None, "train_args": {"epochs": 1}}, tmp_path / "best.pt")
    torch.manual_seed(1)
    other = build_network("p")
    assert start_from(other, tmp_path / "best.pt") == len(network.state_dict())
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in network.state_dict().items())


class Payload:
    """Runs a function of our choice when it is unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_a_pickle_that_wants_to_run_code_is_refused_before_it_does(network, tmp_path):
    torch.save({"model": Payload(os.mkdir, str(tmp_path / "ran"))}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt: refused, it wants to load .*mkdir"):
        start_from(network, tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_function_of_a_trusted_module_is_refused_too(network, tmp_path):
    # Ultralytics' own loader unpickles whatever it is pointed at.
    from ultralytics.nn.tasks import torch_safe_load

    torch.save({"model": Payload(os.mkdir, str(tmp_path / "ran"))}, tmp_path / "inner.pt")
    torch.save({"model": Payload(torch_safe_load, str(tmp_path / "inner.pt"))}, tmp_path / "outer.pt")
    with pytest.raises(CheckpointError, match=r"outer\.pt: refused"):
        start_from(network, tmp_path / "outer.pt")
    assert not (tmp_path / "ran").exists()


def test_a_network_in_a_pickle_is_read_and_never_built(network, tmp_path):
    # Ultralytics evaluates the activation that a description names: built as it says, the file would run code.
    layers = {"backbone": [[-1, 1, "Conv", [16, 3, 2]]], "head": [[[0], 1, "Detect", ["nc"]]], "nc": 1, "scales": {}}
    description = {**layers, "activation": f"__import__('os').mkdir({str(tmp_path / 'ran')!r})"}
    torch.save({"model": Payload(type(network), description)}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt: lacks .* tensors of this YOLOv8"):
        start_from(network, tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["none.pt", "none.safetensors"])
def test_missing_weights_are_named_and_nothing_is_downloaded(network, tmp_path, name):
    with pytest.raises(CheckpointError, match=f"{name}: there are no such weights; nothing is downloaded"):
        start_from(network, tmp_path / name)


def test_a_file_that_is_no_checkpoint_is_named(network, tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"this is not a checkpoint")
    with pytest.raises(CheckpointError, match=r"broken\.pt"):
        start_from(network, tmp_path / "broken.pt")


def test_weights_of_another_architecture_are_refused(network, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(CheckpointError, match=r"linear\.pt: lacks .* tensors of this YOLOv8"):
        start_from(network, tmp_path / "linear.pt")


def test_weights_of_another_size_are_refused(network, tmp_path):
    # Buffers without a shape of their own fit any size: they must not pass for weights.
    torch.save(build_network("n").state_dict(), tmp_path / "yolov8n.pt")
    with pytest.raises(CheckpointError, match=r"such as model\.0\.conv\.weight .* of another size than detect\.scale"):
        start_from(network, tmp_path / "yolov8n.pt")
