"""What a process may use: the GPUs, threads and memory that it was given, and no other's."""

import math

import pytest

from lumbar import machine as machines
from lumbar.machine import processes, this_machine


@pytest.mark.parametrize(("visible", "gpus"), [("", ()), ("-1", ()), ("1", ("1",)), ("0, 1", ("0", "1"))])
def test_what_this_process_was_given_is_what_is_shared(monkeypatch, visible, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert (this_machine().gpus, this_machine().threads) == (gpus, 3)


def test_all_processes_are_no_more_than_the_share_of_threads_and_a_number_is_that_number(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    for threads, all_of_them in (("1", 1), ("64", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert (processes(-1), processes(3)) == (all_of_them, 3)


def test_gpus_are_numbered_as_cuda_numbers_them(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia3", "nvidia7", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert machines._visible_gpus(tmp_path) == ("0", "1")


@pytest.mark.parametrize(("said", "limit"), [("max\n", math.inf), ("1073741824\n", 2.0**30), (None, math.inf)])
def test_a_container_has_the_memory_that_it_may_hold(monkeypatch, tmp_path, said, limit):
    if said is not None:
        (tmp_path / "memory.max").write_text(said)
    monkeypatch.setattr(machines, "CGROUP_LIMIT", tmp_path / "memory.max")
    assert machines._memory_limit() == limit
    assert this_machine().memory <= limit
