"""Checkpoints explain themselves and load strictly; stages run again only when what they are made from changes."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lumbar.run.checkpoint import (
    Card,
    CheckpointError,
    current_commit,
    expect_card,
    is_current,
    load_state,
    load_weights,
    read_card,
    save_checkpoint,
)
from lumbar.run.stamps import fingerprint, hash_files, run_stage, stage_seconds

CLASSES = ("a", "b")


def card(**changes) -> Card:
    """A card with some entries changed."""
    entries = {"kind": "grader", "classes": CLASSES, "fold": 0, "config": {"x": 1}, "seed": 3, "fingerprint": "abc"}
    return Card.model_validate({**entries, "training_studies": 9, "commit": "unknown", **changes})


@pytest.fixture
def saved(tmp_path):
    """A saved checkpoint's stem and the module it was made from."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    save_checkpoint(tmp_path / "models" / "net_fold0", module.state_dict(), card())
    return tmp_path / "models" / "net_fold0", module


def test_weights_survive_the_way_to_disk_and_back(saved):
    stem, module = saved
    torch.manual_seed(1)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    load_weights(stem, other)
    assert expect_card(stem, "grader", CLASSES) == card()
    assert all(torch.equal(mine, other.state_dict()[name]) for name, mine in module.state_dict().items())


def test_the_card_lies_beside_the_weights_as_plain_json(saved):
    stem, _ = saved
    assert sorted(path.name for path in stem.parent.iterdir()) == ["net_fold0.json", "net_fold0.safetensors"]
    assert json.loads(stem.with_suffix(".json").read_text())["classes"] == ["a", "b"]
    assert set(load_file(stem.with_suffix(".safetensors"))) == {
        *(f"{layer}.{name}" for layer in (0, 2) for name in ("weight", "bias")),
        *(f"1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    }


@pytest.mark.parametrize(("kind", "classes"), [("detector", CLASSES), ("grader", ("b", "a"))])
def test_weights_of_another_kind_or_label_order_are_refused(saved, kind, classes):
    with pytest.raises(CheckpointError, match=r"net_fold0\.json: expected a .*; it is a grader of a, b"):
        expect_card(saved[0], kind, classes)


def test_weights_of_another_architecture_are_refused(saved):
    with pytest.raises(CheckpointError, match=r"net_fold0\.safetensors: does not fit its card"):
        load_weights(saved[0], nn.Linear(3, 4))


def test_weights_without_a_card_are_refused(saved):
    saved[0].with_suffix(".json").unlink()
    assert read_card(saved[0]) is None
    with pytest.raises(CheckpointError, match=r"net_fold0\.json: there is no card beside the weights"):
        expect_card(saved[0], "grader", CLASSES)


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "grader"}', '{"more": 1}'])
def test_a_card_that_is_none_is_named(saved, content):
    saved[0].with_suffix(".json").write_text(content)
    with pytest.raises(CheckpointError, match=r"net_fold0\.json: not a checkpoint's card"):
        read_card(saved[0])
    assert not is_current(saved[0], "abc")


def test_missing_and_damaged_weights_are_named(saved):
    weights = saved[0].with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(CheckpointError, match=r"net_fold0\.safetensors: not a safetensors file"):
        load_state(weights)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"there are no such weights; nothing is downloaded, give a local file"):
        load_state(weights)


def test_a_checkpoint_is_current_only_for_the_training_that_made_it(saved):
    stem, _ = saved
    assert is_current(stem, "abc")
    assert not is_current(stem, "abd")
    stem.with_suffix(".safetensors").unlink()
    assert not is_current(stem, "abc")


def test_the_commit_is_twelve_hex_digits_or_unknown():
    commit = current_commit()
    assert commit == "unknown" or (len(commit) == 12 and int(commit, 16) >= 0)


class Work:
    """A stage's work that counts how often it was done, and fails on demand."""

    def __init__(self) -> None:
        self.done, self.fails = 0, False

    def __call__(self) -> None:
        if self.fails:
            raise RuntimeError("interrupted")
        self.done += 1


@pytest.fixture
def work() -> Work:
    """Work that was never done."""
    return Work()


def test_a_stage_runs_once_for_the_same_inputs(tmp_path, work):
    run_stage("crop", tmp_path / "crop", fingerprint(inputs="one"), work)
    run_stage("crop", tmp_path / "crop", fingerprint(inputs="one"), work)
    assert work.done == 1
    assert stage_seconds(tmp_path / "crop") >= 0


def test_a_stage_runs_again_when_its_inputs_change_and_when_they_change_back(tmp_path, work):
    for inputs in ("one", "two", "one"):
        run_stage("crop", tmp_path, fingerprint(inputs=inputs), work)
    assert work.done == 3


def test_a_stage_that_was_interrupted_runs_again(tmp_path, work):
    work.fails = True
    with pytest.raises(RuntimeError, match="interrupted"):
        run_stage("crop", tmp_path, fingerprint(inputs="one"), work)
    assert stage_seconds(tmp_path) is None
    work.fails = False
    run_stage("crop", tmp_path, fingerprint(inputs="one"), work)
    assert work.done == 1


def test_an_interruption_invalidates_what_an_earlier_run_left(tmp_path, work):
    run_stage("crop", tmp_path, fingerprint(inputs="one"), work)
    work.fails = True
    with pytest.raises(RuntimeError):
        run_stage("crop", tmp_path, fingerprint(inputs="two"), work)
    work.fails = False
    run_stage("crop", tmp_path, fingerprint(inputs="one"), work)
    assert work.done == 2


def test_a_damaged_stamp_only_costs_the_time_to_run_again(tmp_path, work):
    (tmp_path / "stamp.json").write_text("{")
    run_stage("crop", tmp_path, fingerprint(inputs="one"), work)
    assert work.done == 1


def test_a_fingerprint_depends_on_every_input_but_not_on_their_order():
    assert fingerprint(a=1, b={"c": 2, "d": 3}) == fingerprint(b={"d": 3, "c": 2}, a=1)
    different = [fingerprint(a=1, b=2), fingerprint(a=2, b=1), fingerprint(a=1), fingerprint(a="1", b=2)]
    assert len({origin.key for origin in different}) == 4


def test_a_hash_of_files_is_of_their_content_and_its_borders(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("ab")
    second.write_text("c")
    before = hash_files(first, second)
    os.utime(first, (0, 0))
    assert hash_files(first, second) == before
    first.write_text("a")
    second.write_text("bc")
    assert hash_files(first, second) != before
    assert hash_files(tmp_path / "missing") != hash_files(first)


def test_what_must_be_said_of_a_result_is_said_each_time_it_is_kept(tmp_path, caplog):
    for _ in range(2):
        caplog.clear()
        run_stage("detect", tmp_path, fingerprint(x=1), lambda: ["2 series are absent"])
        assert "detect: 2 series are absent" in caplog.text


def test_a_stage_that_runs_again_says_what_has_changed(tmp_path, work, caplog):
    caplog.set_level("INFO")
    run_stage("crop", tmp_path, fingerprint(code="a", data="b"), work)
    run_stage("crop", tmp_path, fingerprint(code="a", data="c"), work)
    assert "crop ... (again, since these have changed: data)" in caplog.text
