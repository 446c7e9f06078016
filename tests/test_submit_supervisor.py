"""Grading in processes of their own: what becomes of them costs a study, never the submission."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from lumbar.machine import Machine
from lumbar.submit import supervisor, worker
from lumbar.submit.journal import GPU_FAILED, Entry, Job, Journal
from lumbar.submit.sharing import Share, share_out
from lumbar.submit.stage import predict_submission
from lumbar.submit.supervisor import ITS_GPU_FAILED, predict_supervised

INTERFERING = """
import os, signal, sys
from pathlib import Path
from lumbar.offline import go_offline
go_offline()
from lumbar.submit import worker
from lumbar.submit.journal import Job

grade = worker._Grading.grade

def interfered(self, study_id, study, problems):
    begun = [entry.study_id for entry in self.journal.read() if not entry.finished]
    if study_id == begun[0] and begun.count(study_id) <= {times}:
        os.kill(os.getpid(), signal.{sent})
    return grade(self, study_id, study, problems)

worker._Grading.grade = interfered
worker.grade_studies(Job.model_validate_json(Path(sys.argv[1]).read_text()))
"""
"""A worker that sends itself a signal as often as it grades the study that was begun first."""


ROOM = 2.0**36
"""Memory enough."""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the machine have no GPU and so many threads, which is one: more to a process add up floats in another
    order."""

    def machine(threads: int) -> None:
        monkeypatch.setattr(supervisor, "this_machine", lambda: Machine((), threads, ROOM))

    machine(threads=1)
    return machine


def interfere(folder: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, times: int) -> None:
    """Lets the supervisor start such workers."""
    script = folder / "worker.py"
    script.write_text(INTERFERING.format(sent=sent.name, times=times))
    monkeypatch.setattr(supervisor, "WORKER", (str(script),))


def test_a_study_that_takes_its_process_down_twice_costs_only_itself(
    trained, competition, tmp_path, monkeypatch, machine
):
    machine(threads=2)  # two processes of one thread, and each dies of the study it begins with
    work, output = tmp_path / "work", tmp_path / "submission.csv"
    interfere(tmp_path, monkeypatch, signal.SIGKILL, times=2)
    report = predict_supervised(trained.models, competition, work, output)
    predict_submission(trained.models, competition, tmp_path / "alone", tmp_path / "alone.csv")
    victims = {Journal(work / f"journal{number}.jsonl").read()[0].study_id for number in (0, 1)}
    written, alone = (pd.read_csv(path).set_index("row_id") for path in (output, tmp_path / "alone.csv"))
    of_victims = written.index.str.partition("_").get_level_values(0).astype(int).isin(victims)
    pd.testing.assert_frame_equal(written[~of_victims], alone[~of_victims])
    assert report["studies_graded"] == report["studies"] - 2
    assert len(report["died"]) == 4
    assert "exit status -9" in report["warning"]
    assert {int(row.partition("_")[0]) for row in report["fallback"]} >= victims


class Clock:
    """In the place of `time`. How long a study takes depends on the machine; here time goes on when it is told to."""

    time = staticmethod(time.time)

    def __init__(self, advance: Iterator[float]) -> None:
        self.now, self.advance = 0.0, advance

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _: float) -> None:
        time.sleep(0.02)
        self.now += next(self.advance)


def test_a_process_that_hangs_is_replaced_and_its_study_tried_again(trained, competition, tmp_path, monkeypatch):
    def until_one_is_stopped() -> Iterator[float]:
        while True:
            stopped = [child for child in psutil.Process().children() if is_stopped(child)]
            yield supervisor.STALL_SECONDS + 1 if stopped else 0.0

    interfere(tmp_path, monkeypatch, signal.SIGSTOP, times=1)
    monkeypatch.setattr(supervisor, "time", Clock(until_one_is_stopped()))
    report = predict_supervised(trained.models, competition, tmp_path / "work", tmp_path / "submission.csv")
    assert report["died"] == ["no study was finished in 600 s"]
    assert report["studies_graded"] == report["studies"]


def is_stopped(process: psutil.Process) -> bool:
    """Whether a process was stopped by a signal."""
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


SLOW = """
import sys, time
from pathlib import Path
journal, go = map(Path, sys.argv[1:3])
for number in (1, 2):
    with journal.open("a") as file:
        file.write("a line\\n")
    while number == 1 and not go.exists():
        time.sleep(0.01)
time.sleep(3600)
"""
"""A worker that writes a line, another one when it is let, and no more."""


def test_ten_minutes_of_silence_count_from_the_last_study_that_was_noted(tmp_path, monkeypatch):
    script, journal, go = (tmp_path / name for name in ("worker.py", "journal", "go"))
    script.write_text(SLOW)

    def advance() -> Iterator[float]:
        for lines in (1, 2):
            while not journal.is_file() or journal.read_text().count("\n") < lines:
                yield 0.0
            yield 0.0  # the supervisor sees the line
            yield 599.0
            go.touch()
        yield 2.0

    share = Share(Job(models=tmp_path, competition=tmp_path, study_ids=(), journal=journal), threads=1, gpu=None)
    monkeypatch.setattr(supervisor, "WORKER", (str(script), str(journal), str(go)))
    monkeypatch.setattr(supervisor, "time", Clock(advance()))
    assert exhaust(supervisor._run_worker(tmp_path / "job.json", share, without_gpu=True)) == (
        "no study was finished in 600 s"
    )
    assert supervisor.time.now == 1200.0


def exhaust(run: Generator[bool, None, str | None]) -> str | None:
    """What a generator returns in the end, that is asked every so often."""
    while True:
        try:
            next(run)
            supervisor.time.sleep(supervisor.POLL_SECONDS)
        except StopIteration as end:
            return end.value


def test_when_the_time_is_up_the_rest_keeps_its_priors(trained, competition, tmp_path):
    report = predict_supervised(
        trained.models, competition, tmp_path / "work", tmp_path / "submission.csv", deadline=time.time() - 1
    )
    written = pd.read_csv(tmp_path / "submission.csv")
    assert written["row_id"].tolist() == competition.sample_submission["row_id"].tolist()
    assert report["studies_graded"] == 0
    assert report["fallback_reasons"] == {"its study was not graded": len(written)}
    assert json.loads((tmp_path / "run_report.json").read_text()) == report


def test_the_supervisor_needs_no_torch_so_that_a_broken_one_cannot_take_it_down():
    code = "import sys, lumbar.submit.supervisor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_library_opens_a_socket_when_it_is_imported():
    code = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "socket.__new__" else None)
from lumbar.offline import go_offline
go_offline()
import lumbar.submit.worker, lumbar.kaggle.inference
sys.exit(len(opened))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


REFUSING = """
import sys
if "journal1" in sys.argv[1]:
    sys.exit(1)
import runpy
sys.argv[0] = "lumbar.submit"
runpy.run_module("lumbar.submit", run_name="__main__", alter_sys=True)
"""
"""A worker that grades any share but the second."""


def test_what_a_process_cannot_begin_is_graded_by_another_that_has_the_machine_to_itself(
    trained, competition, tmp_path, monkeypatch, machine
):
    machine(threads=2)
    (tmp_path / "worker.py").write_text(REFUSING)
    monkeypatch.setattr(supervisor, "WORKER", (str(tmp_path / "worker.py"),))
    report = predict_supervised(trained.models, competition, tmp_path / "work", tmp_path / "submission.csv")
    assert report["died"] == ["exit status 1"] * 2
    assert report["studies_graded"] == report["studies"]
    assert Journal(tmp_path / "work" / "journal_rest.jsonl").finished()


def test_a_workers_exit_status_tells_a_gpu_that_failed_from_memory_that_was_short(tmp_path, monkeypatch):
    job = Job(models=tmp_path, competition=tmp_path, study_ids=(1,), journal=tmp_path / "journal.jsonl")
    monkeypatch.setattr(worker, "grade_studies", raising("CUDA error: an illegal memory access was encountered"))
    assert worker.work_through(job) == GPU_FAILED
    monkeypatch.setattr(worker, "grade_studies", raising("CUDA out of memory. Tried to allocate 2.00 GiB"))
    with pytest.raises(RuntimeError, match="out of memory"):
        worker.work_through(job)


def raising(message: str) -> Callable[[Job], None]:
    def grade_studies(_: Job) -> None:
        raise RuntimeError(message)

    return grade_studies


def test_models_that_never_load_leave_priors_after_two_tries_the_second_without_a_gpu(
    trained, competition, tmp_path, monkeypatch
):
    models = Path(shutil.copytree(trained.models, tmp_path / "models"))
    next(models.glob("detector_*.safetensors")).write_bytes(b"x")
    tried, real = [], supervisor._environment
    monkeypatch.setattr(
        supervisor, "_environment", lambda share, without_gpu: tried.append(without_gpu) or real(share, without_gpu)
    )
    report = predict_supervised(models, competition, tmp_path / "work", tmp_path / "submission.csv")
    assert (tried, report["died"]) == ([False, True], ["exit status 1"] * 2)
    assert report["rows_from_prior"] == report["rows"]


def test_time_that_runs_out_keeps_what_was_graded_and_blames_nobody(trained, competition, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_is_over", lambda job: bool(Journal(job.journal).finished()))
    report = predict_supervised(trained.models, competition, tmp_path / "work", tmp_path / "submission.csv")
    assert report["studies_graded"] >= 1
    assert report["died"] == []
    assert not [problem for problem in report["problems"] if "process died" in problem["message"]]


def share_with(machine: Machine, studies: int, tmp_path: Path) -> list[Share]:
    """The shares of so many studies, whose models take no memory."""
    job = Job(models=tmp_path, competition=tmp_path, study_ids=tuple(range(studies)), journal=tmp_path / "journal")
    return share_out(job, machine)


def test_each_gpu_gets_a_process_and_its_part_of_the_cores(tmp_path):
    shares = share_with(Machine(("0", "1"), threads=4, memory=ROOM), 5, tmp_path)
    assert [(share.gpu, share.threads) for share in shares] == [("0", 2), ("1", 2)]
    environment = [supervisor._environment(share, without_gpu=False) for share in shares]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environment] == ["0", "1"]
    assert [each["OMP_NUM_THREADS"] for each in environment] == ["2", "2"]


@pytest.mark.parametrize(
    ("machine", "studies", "processes"),
    [
        (Machine((), threads=2, memory=ROOM), 722, 2),
        (Machine((), threads=64, memory=ROOM), 722, 4),
        (Machine((), threads=2, memory=ROOM), 1, 1),
        (Machine((), threads=2, memory=2**30), 722, 1),
        (Machine((), threads=4, memory=5 * 2**30), 722, 2),
        (Machine(("0", "1"), threads=4, memory=ROOM), 0, 1),
    ],
)
def test_there_are_as_many_processes_as_cores_memory_and_studies_can_feed(machine, studies, processes, tmp_path):
    shares = share_with(machine, studies, tmp_path)
    assert len(shares) == processes
    assert sorted(study for share in shares for study in share.job.study_ids) == list(range(studies))
    assert len({share.job.journal for share in shares}) == processes


def test_the_size_of_the_models_counts_as_memory_that_each_process_needs(tmp_path):
    machine = Machine((), threads=2, memory=5 * 2**30)
    assert len(share_with(machine, 4, tmp_path)) == 2
    with (tmp_path / "net.safetensors").open("wb") as file:
        file.truncate(2**30)  # takes no disk
    assert len(share_with(machine, 4, tmp_path)) == 1


@pytest.mark.parametrize("begins", [False, True])
def test_a_gpu_that_fails_is_given_up_where_another_works_and_done_without_where_none_does(
    begins, tmp_path, monkeypatch
):
    tried = []

    def dies(path: Path, share: Share, without_gpu: bool) -> Generator[bool, None, str | None]:
        tried.append((share.gpu, without_gpu))
        if share.gpu == "0":
            for study_id in share.job.study_ids:
                Journal(share.job.journal).write(Entry(study_id=study_id, finished=True))
            return None
        if not begins:
            return "exit status 1"
        begun = share.job.study_ids[len(tried) % len(share.job.study_ids)]  # another one each time
        Journal(share.job.journal).write(Entry(study_id=begun, finished=False))
        return ITS_GPU_FAILED
        yield

    monkeypatch.setattr(supervisor, "_run_worker", dies)
    job = Job(models=tmp_path, competition=tmp_path, study_ids=(1, 2, 3, 4), journal=tmp_path / "journal")
    for gpus, expected in (
        (("0", "1"), [("0", False), ("1", False), ("1", False), ("0", False)]),
        (("1",), [("1", False), ("1", True)]),
    ):
        tried.clear()
        for journal in tmp_path.glob("journal*"):
            journal.unlink()
        monkeypatch.setattr(supervisor, "this_machine", lambda gpus=gpus: Machine(gpus, 2, ROOM))
        list(supervisor._watch_shares(job, []))
        assert tried == expected
