"""The rehearsal's machine: what a kernel cannot do on Kaggle, it cannot do here, and what it does wrong is noticed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

from lumbar.data.competition import Competition
from lumbar.data.problems import HARMLESS
from lumbar.kaggle.rehearse.broken import changed_rows, costly_faults, keep_intact_only, read_faults, untold_faults
from lumbar.kaggle.rehearse.interpreter import build_interpreter
from lumbar.kaggle.rehearse.rehearsal import check_submission
from lumbar.kaggle.rehearse.sandbox import LAYOUTS, Ending, Sandbox, _kill
from lumbar.kaggle.wheels import NOT_ON_KAGGLE, ON_KAGGLE, pinned_packages
from lumbar.phantom import break_competition

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
SLUG = "some-competition"


@pytest.fixture
def sandbox(one_test_study, tmp_path) -> Sandbox:
    """A machine in Kaggle's new layout, with a bundle of one file; skipped where Linux does not let us make one."""
    allowed = (
        shutil.which("strace") and subprocess.run(["unshare", "-rmn", "true"], capture_output=True).returncode == 0
    )
    if not allowed and os.environ.get("CI", "").lower() != "true":
        pytest.skip("needs strace, and leave to make namespaces")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    made = Sandbox(tmp_path / "kaggle", one_test_study.root, tmp_path / "bundle", "new", SLUG)
    made.prepare()
    return made


def run(sandbox: Sandbox, code: str, memory_cap: int = 2**31) -> tuple[Ending, str]:
    ending = sandbox.run([sys.executable, "-I", "-c", code], memory_cap)
    return ending, sandbox.log.read_text()


def test_inputs_stand_where_kaggle_mounts_them(sandbox):
    code = f"import os; print(os.listdir(os.environ['LUMBAR_KAGGLE_ROOT'] + '/input/competitions/{SLUG}'))"
    ending, log = run(sandbox, code)
    assert ending.status == 0, log
    assert "sample_submission.csv" in log


@pytest.mark.parametrize("place", ["input/competitions/some-competition/x", "input/x", "x", "../x"])
def test_nothing_can_be_written_but_below_working_and_scratch(sandbox, place):
    ending, log = run(sandbox, f"import os; open(os.environ['LUMBAR_KAGGLE_ROOT'] + '/{place}', 'w')")
    assert ending.status == 1
    assert "Read-only file system" in log


def test_working_and_scratch_can_be_written(sandbox):
    code = "import tempfile; open('submission.csv', 'w').write('x'); tempfile.mkdtemp()"
    ending, log = run(sandbox, code)
    assert ending.status == 0, log
    assert (sandbox.working / "submission.csv").read_text() == "x"


def test_the_hidden_labels_are_hidden(sandbox):
    assert list((sandbox.competition / "hidden").iterdir())
    hidden = sandbox.root / "input" / "competitions" / SLUG / "hidden"
    _, log = run(sandbox, f"import os; print(os.listdir({str(hidden)!r}))")
    assert log.strip() == "[]"


def test_there_is_no_network_and_who_asks_for_it_is_seen(sandbox):
    ending, log = run(sandbox, "import socket; socket.create_connection(('127.0.0.1', 80), timeout=2)")
    assert "Network is unreachable" in log or "Cannot assign" in log or "refused" in log
    assert "AF_INET" in ending.sockets[0]


def test_a_socket_that_stays_on_the_machine_is_none_of_a_network(sandbox):
    # As CUDA does where it starts; no GPU at hand.
    code = "import socket; print(socket.socket(socket.AF_UNIX).connect_ex('/tmp/nvidia-mps/control'))"
    ending, log = run(sandbox, code)
    assert (ending.status, ending.sockets) == (0, ())
    assert log.strip() == "2", "asked, and found nobody"
    assert "AF_UNIX" in sandbox.trace.read_text(), "the tracer saw it"
    ending, _ = run(sandbox, "import socket; socket.socket(socket.AF_INET6)")
    assert "AF_INET6" in ending.sockets[0]


def test_a_silent_program_opens_no_socket(sandbox):
    ending, _ = run(sandbox, "import json")
    assert ending.sockets == ()


def test_a_program_that_takes_too_much_memory_is_stopped(sandbox):
    ending, _ = run(sandbox, "hog = bytearray(600_000_000); import time; time.sleep(3600)", memory_cap=300_000_000)
    assert ending.too_much_memory


def test_killing_it_ends_every_process_of_it(sandbox):
    command = ["sleep", f"4711.{os.getpid()}"]
    sandbox.prepare()
    process = sandbox.start(
        [sys.executable, "-c", f"import subprocess, sys, time; subprocess.Popen({command}); time.sleep(3600)"]
    )
    wait_until(lambda: command in _command_lines())
    _kill(process)
    wait_until(lambda: command not in _command_lines())  # its last process is gone a moment after the first


def wait_until(happens: Callable[[], bool]) -> None:
    """Waits for something that must happen, however long a busy machine takes: the test's own limit ends it."""
    while not happens():
        time.sleep(0.05)


def _command_lines() -> list[list[str]]:
    return [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]


def test_the_interpreter_sees_what_kaggle_ships_and_nothing_else(tmp_path):
    python = build_interpreter(tmp_path / "interpreter", REQUIREMENTS)
    tried = {
        name: subprocess.run([python, "-I", "-c", f"import {name}"], capture_output=True).returncode == 0
        for name in ("pydicom", "cv2", "pip", "ultralytics", "pylibjpeg", "lumbar", "pytest")
    }
    assert tried == {
        "pydicom": True,
        "cv2": True,
        "pip": True,
        "ultralytics": False,
        "pylibjpeg": False,
        "lumbar": False,
        "pytest": False,
    }


def test_every_run_time_requirement_is_either_on_kaggle_or_in_the_bundle():
    ours = {
        line.partition("==")[0]
        for heading in (ON_KAGGLE, NOT_ON_KAGGLE)
        for line in pinned_packages(REQUIREMENTS, heading)
    }
    assert {"torch", "pydicom", "ultralytics-opencv-headless", "pylibjpeg"} <= ours
    assert "pytest" not in ours


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda table: table.iloc[1:], "its rows are not those"),
        (lambda table: table.iloc[::-1], "its rows are not those"),
        (lambda table: table.assign(severe=table["severe"] + 0.1), "a row does not sum to 1"),
        (lambda table: table.assign(severe=float("nan")), "column 'severe'"),
        (lambda table: table.assign(severe=1.5, moderate=-0.5, normal_mild=0.0), "a row does not sum to 1"),
    ],
)
def test_an_invalid_submission_is_noticed(one_test_study, tmp_path, spoil, complaint):
    sample = pd.read_csv(one_test_study.root / "sample_submission.csv")
    sample.to_csv(tmp_path / "submission.csv", index=False)
    assert list(check_submission(tmp_path, one_test_study)) == []
    spoil(sample).to_csv(tmp_path / "submission.csv", index=False)
    assert complaint in next(check_submission(tmp_path, one_test_study))


def test_a_missing_submission_is_noticed(one_test_study, tmp_path):
    assert "there is no such file" in next(check_submission(tmp_path, one_test_study))


def test_both_layouts_are_rehearsed():
    assert set(LAYOUTS) == {"old", "new"}


def test_intact_studies_are_set_apart_from_broken_tables(competition, tmp_path):
    root = tmp_path / "broken"
    shutil.copytree(competition.root, root)
    break_competition(root, seed=1, intact_share=0.6, jobs=1)
    alone = keep_intact_only(Competition(root), tmp_path / "alone")
    befallen = set(read_faults(root)["study_id"])
    kept = set(alone.series("test")["study_id"].astype(str))
    assert kept
    assert not kept & befallen
    assert set(alone.sample_submission["row_id"].str.partition("_")[0]) == kept


def test_a_fault_that_the_report_does_not_name_is_found(competition, tmp_path):
    record = pd.DataFrame(
        {
            "study_id": ["7", "7", "7"],
            "fault": ["jpeg2000", "no_window", "no_suffix"],
            "tell": ["compressed", "no Window", ""],
        }
    )
    report = {"problems": [{"study_id": 7, "message": "series 1: compressed pixels"}]}
    assert untold_faults(record, report) == ["7 no_window"]


def test_a_harmless_fault_that_costs_a_file_is_found():
    record = pd.DataFrame(
        {"study_id": "7", "series_id": ["1", "2", "3"], "fault": ["no_suffix", "no_suffix", "one_slice"]}
    )
    told = [("x/7/1: no WindowCenter", HARMLESS), ("x/7/2/5: cannot be read", "the rest"), ("x/7/3: one", "the rest")]
    report = {"problems": [{"study_id": 7, "message": message, "instead": instead} for message, instead in told]}
    assert costly_faults(record, report) == ["7 no_suffix"]


def test_a_row_that_differs_in_its_last_digit_is_found(tmp_path):
    for name, last in (("a.csv", "0.1"), ("b.csv", "0.10000000000000002")):
        (tmp_path / name).write_text(f"row_id,normal_mild\n1_x,0.5\n2_x,{last}\n")
    assert changed_rows(tmp_path / "a.csv", tmp_path / "b.csv") == ["2_x"]
