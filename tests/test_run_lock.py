"""Two processes on one run: they share it fold by fold, else the second is told at once who works there."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from lumbar import cli
from lumbar.run.lock import InUseError, hold
from lumbar.run.stamps import fingerprint, run_stage

HOLD = """
import os, sys, time
from pathlib import Path
from lumbar.run.lock import hold
with hold(Path(sys.argv[1]), *filter(None, sys.argv[2].split(","))):
    forked = sys.argv[3] == "forks" and os.fork() == 0
    if forked or sys.argv[3] == "alone":
        print(os.getpid(), flush=True)
    if forked:
        time.sleep(60)
        os._exit(0)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(
    folder: Path, parts: Sequence[str] = (), how: str = "alone"
) -> Iterator[tuple[subprocess.Popen, int]]:
    """Another process that holds a run, or a part of it, and its id, or that of the one that it has forked."""
    command = [sys.executable, "-c", HOLD, str(folder), ",".join(parts), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("theirs", "ours", "what"),
    [
        ((), (), ""),
        ((), ("fold 0",), ""),
        (("fold 0",), (), ""),
        (("fold 0",), ("fold 0",), ": fold 0"),
        ((), ("fold 0", "spinal"), ""),
        (("fold 0",), ("fold 0", "spinal"), ": fold 0"),
        (("fold 0", "spinal"), (), ""),
        (("fold 0", "spinal"), ("fold 0",), ": fold 0"),
        (("fold 0", "spinal"), ("fold 0", "spinal"), ": spinal of fold 0"),
        (("fold 0", "spinal"), ("fold 0", "spinal", "spinal_axial"), ": spinal of fold 0"),
        (("fold 0", "spinal", "spinal_axial"), ("fold 0", "spinal"), ": spinal of fold 0"),
        (("view foraminal",), (), ""),
    ],
)
def test_a_second_process_is_told_at_once_who_works_there(tmp_path, theirs, ours, what):
    run = tmp_path / "run"
    with held_elsewhere(run, theirs) as (process, _):
        expected = f"{run}{what}: is in use by process {process.pid} on {platform.node()}; wait until"
        with pytest.raises(InUseError) as refused, hold(run, *ours):
            pass
        assert str(refused.value).startswith(expected)
    with hold(run, *ours):
        pass


def test_two_folds_of_a_run_are_worked_on_at_once_and_the_whole_must_wait_for_both(tmp_path):
    with held_elsewhere(tmp_path, ("fold 0",)) as (process, _):
        with hold(tmp_path, "fold 1"), hold(tmp_path, "fold 1", "spinal"):
            pass
        with pytest.raises(InUseError, match=f"process {process.pid} "), hold(tmp_path):
            pass


def test_two_parts_of_a_fold_are_worked_on_at_once(tmp_path):
    others = (("fold 0", "foraminal"), ("fold 0", "spinal", "spinal_axial"), ("fold 1",), ("view spinal",))
    with held_elsewhere(tmp_path, ("fold 0", "spinal", "spinal")), ExitStack() as ours:
        for parts in others:
            ours.enter_context(hold(tmp_path, *parts))


def test_a_process_that_was_killed_blocks_nobody_even_if_what_it_forked_lives_on(tmp_path):
    with held_elsewhere(tmp_path, how="forks") as (process, forked):
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(forked, 0)
        with hold(tmp_path):
            pass
        with suppress(ProcessLookupError):
            os.kill(forked, signal.SIGKILL)


def test_one_process_may_hold_what_it_holds_and_lets_go_in_the_end(tmp_path):
    with hold(tmp_path), hold(tmp_path), hold(tmp_path, "fold 3"):
        pass
    with held_elsewhere(tmp_path), pytest.raises(InUseError), hold(tmp_path):
        pass


def test_what_two_processes_need_is_made_once_and_the_second_uses_it(tmp_path):
    made = []

    def make() -> None:
        time.sleep(0.2)  # so that both come while it is made
        made.append(threading.get_ident())

    stage = (("stage", tmp_path / "stage", fingerprint(x=1), make), {"in_turns": True})
    both = [threading.Thread(target=run_stage, args=stage[0], kwargs=stage[1]) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(made) == 1


def test_the_command_refuses_a_run_that_is_in_use(competition, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text("folds: {count: 2}\n")
    words = ["lumbar", "folds", "--config", "small.yaml", "--data", str(competition.root)]
    monkeypatch.setattr(sys, "argv", words)
    with held_elsewhere(tmp_path / "runs" / "small") as (process, _):
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        told = capsys.readouterr().err
        assert (stopped.value.code, told.count("\n")) == (4, 1)
        assert told.startswith(f"lumbar: runs/small: is in use by process {process.pid} on ")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
