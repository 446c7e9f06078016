"""The command's manners: an error of the user or of the system is one line, and whoever stops reading is left alone."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lumbar import cli
from lumbar.records import write_json, write_text
from lumbar.run.checkpoint import Card, save_checkpoint
from lumbar.run.stamps import fingerprint, run_stage

FULL = "File too large"
"""What the system says at the limit that `full` sets; of a full disk it says another reason in the same way."""


@pytest.fixture
def full() -> Iterator[None]:
    """No file of this process may grow beyond 64 bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str]:
    """The exit status of the command, and what it wrote to standard error."""
    monkeypatch.setattr(sys, "argv", ["lumbar", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code, capsys.readouterr().err


def test_a_config_in_another_encoding_is_named_in_one_line(tmp_path, monkeypatch, capsys):
    config = tmp_path / "wide.yaml"
    config.write_bytes("seed: 1\n".encode("utf-16"))
    status, error = run_main(monkeypatch, capsys, "folds", "--config", str(config))
    assert status == 2
    assert error.startswith(f"lumbar: {config}: not YAML: ")
    assert error.count("\n") == 1


def test_a_place_that_cannot_be_written_to_is_named_in_one_line(competition, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text("seed: 1\n")
    Path("runs").write_text("a file where a folder should be")
    status, error = run_main(monkeypatch, capsys, "folds", "--config", "small.yaml", "--data", str(competition.root))
    assert (status, error) == (2, "lumbar: runs/small: Not a directory\n")


def test_a_profile_is_a_page_that_names_what_took_the_time_also_of_a_command_that_fails(
    competition, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text("folds: {count: 2}\n")
    options = ["--config", "small.yaml", "--data", str(competition.root)]
    for page, words, expected in (
        ("well.html", ["folds", *options], 0),
        ("failed.html", ["detect", *options, "--fold", "9"], 2),
    ):
        status, _ = run_main(monkeypatch, capsys, "--profile", page, *words)
        assert status == expected
        assert "lumbar/cli/stages.py" in Path(page).read_text(), "where the command was"


def test_data_that_may_not_be_read_are_named_in_one_line(competition, tmp_path, monkeypatch, capsys, forbid):
    (tmp_path / "small.yaml").write_text("seed: 1\n")
    forbid(competition.root)
    words = ["folds", "--config", str(tmp_path / "small.yaml"), "--data", str(competition.root)]
    status, error = run_main(monkeypatch, capsys, *words)
    assert (status, error) == (2, f"lumbar: {competition.root / 'train.csv'}: Permission denied\n")


def test_an_output_that_is_a_folder_is_named_and_nothing_is_left_beside_it(tmp_path):
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(IsADirectoryError) as refused:
        write_text("row_id\n", tmp_path / "out.csv")
    assert (refused.value.filename, refused.value.filename2) == (str(tmp_path / "out.csv"), None)
    assert os.listdir(tmp_path) == ["out.csv"]  # noqa: PTH208  # hidden ones, too


def test_a_full_disk_names_the_file_and_leaves_the_one_that_was_there(tmp_path, full):
    path = tmp_path / "result.json"
    write_json([1], path)
    with pytest.raises(OSError, match=FULL) as refused:
        write_json(list(range(100)), path)
    assert refused.value.filename == str(path)
    assert path.read_text() == "[\n  1\n]\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_half_weights(tmp_path, full):
    card = Card(
        kind="detector", classes=("a",), fold=0, config={}, seed=0, fingerprint="x", training_studies=1, commit="c"
    )
    with pytest.raises(OSError, match=FULL) as refused:
        save_checkpoint(tmp_path / "models" / "detector_fold0", {"weight": torch.zeros(100)}, card)
    assert refused.value.filename == str(tmp_path / "models" / "detector_fold0.safetensors")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_stage_that_a_full_disk_stops_in_a_library_names_its_folder(tmp_path, full):
    def work() -> None:
        (tmp_path / "stage" / "large").write_bytes(bytes(100))

    with pytest.raises(OSError, match=FULL) as refused:
        run_stage("stage", tmp_path / "stage", fingerprint(), work)
    assert refused.value.filename == str(tmp_path / "stage")


@pytest.mark.parametrize("words", [["--help"], ["cv", "--help"], ["--version"]])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "lumbar.cli", *words], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
