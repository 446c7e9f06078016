"""Folds trained beside each other: the same models as one after the other, and a failure that says what failed."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml
from typer.testing import CliRunner

from conftest import REPOSITORY
from lumbar.cli import app
from lumbar.errors import InputError
from lumbar.submit.stage import predict_submission
from lumbar.workers import local
from lumbar.workers.jobs import Job, plan_jobs
from lumbar.workers.local import environment, run_jobs
from lumbar.workers.slurm import write_sbatch


@pytest.fixture
def python(monkeypatch):
    """Jobs whose arguments are a line of Python."""
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-c"))


def test_the_same_seed_gives_the_same_models_and_submission_to_the_byte_also_by_two_workers(
    trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)  # a thread each, as the run beside it had
    Path("tiny.yaml").write_text(yaml.safe_dump(trained.config.model_dump(mode="json")))
    root = str(trained.competition.root)
    result = CliRunner().invoke(app, ["cv", "--config", "tiny.yaml", "--data", root, "--workers", "2"])
    assert result.exit_code == 0, result.output
    for path in sorted(trained.models.glob("*.safetensors")):
        assert (Path("runs/tiny/models") / path.name).read_bytes() == path.read_bytes(), path.name
    assert Path("runs/tiny/oof.csv").read_bytes() == (trained.folder / "oof.csv").read_bytes()
    for name, models in (("one", trained.models), ("two", Path("runs/tiny/models"))):
        predict_submission(models, trained.competition, tmp_path / name, tmp_path / f"{name}.csv")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    ran = json.loads(Path("runs/tiny/jobs/timeline.json").read_text())
    assert [each["job"] for each in ran if "grade" not in each["job"]][-1] == "crop"
    assert {each["worker"] for each in ran} == {0, 1}
    assert plt.imread("runs/tiny/jobs/timeline.png").std() > 0.05


def test_a_run_has_a_job_for_each_fold_and_stage_that_trains(trained):
    rounds = plan_jobs(trained, ("--config", "a.yaml"))
    assert [[job.name for job in jobs] for jobs in rounds] == [
        ["detect fold 0", "detect fold 1"],
        ["crop"],
        ["grade fold 0", "grade fold 1"],
    ]
    assert rounds[0][1].arguments == ("detect", "--config", "a.yaml", "--fold", "1")


def test_where_workers_are_many_each_view_and_each_net_of_a_fold_has_a_job(trained):
    _, cropped, graded = plan_jobs(trained, ("--config", "a.yaml"), finely=True)
    names = ("spinal", "foraminal", "subarticular")
    assert [job.name for job in cropped] == [f"crop {view}" for view in names]
    assert cropped[1].arguments == ("crop", "--config", "a.yaml", "--view", "foraminal")
    assert [job.name for job in graded] == [f"grade fold {fold} {net}" for fold in (0, 1) for net in names]
    assert graded[1].arguments == ("grade", "--config", "a.yaml", "--fold", "0", "--net", "foraminal")


def test_a_round_waits_for_the_one_before_it_and_no_more_run_at_a_time_than_there_are_workers(python, tmp_path):
    work = "import time; time.sleep(0.3)"
    run_jobs([[Job(f"a{number}", (work,)) for number in range(3)], [Job("b", (work,))]], 2, tmp_path)
    ran = {each["job"]: each for each in json.loads((tmp_path / "timeline.json").read_text())}
    assert ran["a2"]["began"] >= min(ran["a0"]["ended"], ran["a1"]["ended"])
    assert ran["b"]["began"] >= max(ran[f"a{number}"]["ended"] for number in range(3))


def test_a_job_that_fails_is_named_with_what_it_said_and_ends_the_others(python, tmp_path):
    failing = Job("detect fold 0", ("import time; time.sleep(0.5); print('no such weights'); raise SystemExit(2)",))
    hanging = Job("detect fold 1", (f"import os, pathlib, time; pathlib.Path({str(tmp_path / 'pid')!r}).write_text("
                                    "str(os.getpid())); time.sleep(600)",))  # fmt: skip
    message = r"detect_fold_0\.log: detect fold 0 ended with status 2:\nno such weights"
    started = time.monotonic()
    with pytest.raises(InputError, match=message):
        run_jobs([[failing, hanging]], 2, tmp_path)
    assert time.monotonic() - started < 60
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_job_that_is_killed_is_started_again_but_not_for_ever(python, tmp_path):
    kill = "import os, signal, sys; from pathlib import Path; tries = Path(sys.argv[1]); " \
        "done = len(tries.read_text()) if tries.exists() else 0; tries.write_text('x' * (done + 1)); " \
        "done < int(sys.argv[2]) and os.kill(os.getpid(), signal.SIGKILL)"  # fmt: skip
    run_jobs([[Job("crop", (kill, str(tmp_path / "twice"), "2"))]], 1, tmp_path)
    assert (tmp_path / "twice").read_text() == "xxx"
    with pytest.raises(InputError, match="crop ended with status -9"):
        run_jobs([[Job("crop", (kill, str(tmp_path / "always"), "99"))]], 1, tmp_path)
    assert (tmp_path / "always").read_text() == "xxx"


def test_workers_share_the_cores_and_take_turns_on_the_gpus(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    given = [environment(worker, 3) for worker in range(3)]
    assert {each["OMP_NUM_THREADS"] for each in given} == {"2"}
    assert [each["CUDA_VISIBLE_DEVICES"] for each in given] == ["2", "5", "2"], "no other's"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert environment(0, 3)["CUDA_VISIBLE_DEVICES"] == ""


def test_a_job_that_is_alone_in_its_round_gets_all_cores(python, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    told = "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'])"
    jobs = {name: Job(name, (told, str(tmp_path / name))) for name in ("a", "b", "crop")}
    run_jobs([[jobs["a"], jobs["b"]], [jobs["crop"]]], 2, tmp_path / "jobs")
    assert [(tmp_path / name).read_text() for name in jobs] == ["4", "4", "8"]


def test_workers_and_a_selection_exclude_each_other(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(trained.config.model_dump(mode="json")))
    asked = ["cv", "--config", "tiny.yaml", "--data", str(trained.competition.root), "--workers", "2", "--fold", "0"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 2
    assert "--workers" in result.output
    both = CliRunner().invoke(app, [*asked[:-2], "--ray", "local"])
    assert (both.exit_code, "take one of them" in both.output) == (2, True)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with an `sbatch` that runs each task of an array at once, and a `lumbar` that writes down its arguments;
    both note what they were called with."""
    programs = {
        "sbatch": """
            echo "$@" >> told.txt
            script="${@: -1}"
            last=$(sed -n 's/^#SBATCH --array=0-//p' "$script")
            for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task bash "$script"; done
            wc -l < told.txt
        """,
        "lumbar": 'echo "lumbar $@" >> told.txt',
    }
    (tmp_path / "bin").mkdir()
    for name, script in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{textwrap.dedent(script)}")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_a_cluster_is_told_of_each_round_behind_the_one_before_it_and_makes_every_job(slurm, trained):
    rounds = plan_jobs(trained, ("--config", "my configs/a.yaml"))
    last = Job("cv", ("cv", "--config", "my configs/a.yaml"))
    path = write_sbatch("tiny", rounds, last, Path("my jobs"))
    subprocess.run(["bash", str(path), "--gres=gpu:1"], check=True)
    told = Path("told.txt").read_text().splitlines()
    assert [line for line in told if line.startswith("lumbar")] == [
        *(f"lumbar {' '.join(job.arguments)}" for jobs in rounds for job in jobs),
        "lumbar cv --config my configs/a.yaml",
    ]
    submitted = [line for line in told if not line.startswith("lumbar")]
    assert submitted[0] == "--parsable --gres=gpu:1 my jobs/round1.sbatch"
    assert submitted[1] == "--parsable --dependency=afterok:3 --gres=gpu:1 my jobs/round2.sbatch"
    assert len(submitted) == 4
