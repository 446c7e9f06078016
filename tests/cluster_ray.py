"""A Ray cluster of three nodes on one machine, one of which is lost in mid-run: make test-cluster."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from ray.cluster_utils import Cluster

from conftest import REPOSITORY
from lumbar.labels import GROUPS
from lumbar.pipeline import run_through, score_run
from lumbar.run.run import Run
from miniature import tiny_run

FOLDS = 3
SECONDS = 600
"""What hangs fails."""


@pytest.fixture
def cluster(monkeypatch):
    """A head without cores, and three nodes with one each."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(FOLDS)]
    cluster.wait_for_nodes()
    yield cluster, nodes
    cluster.shutdown()


def test_a_cluster_that_loses_a_node_makes_what_one_process_makes_to_the_bit(
    cluster, competition, tmp_path, monkeypatch
):
    cluster, nodes = cluster
    monkeypatch.chdir(tmp_path)
    few = tiny_run(competition, tmp_path)
    folds = few.config.folds.model_copy(update={"count": FOLDS})
    alone = Run(few.config.model_copy(update={"folds": folds}), competition, tmp_path / "alone")
    run_through(alone)
    score_run(alone)

    Path("tiny.yaml").write_text(yaml.safe_dump(alone.config.model_dump(mode="json")))
    command = [sys.executable, "-m", "lumbar.cli", "cv", "--config", "tiny.yaml", "--data", str(competition.root)]
    running = subprocess.Popen([*command, "--ray", cluster.address], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    jobs = Path("runs/tiny/jobs")
    began, logs = time.monotonic(), []
    while len(logs) < FOLDS:  # each of the three nodes trains a detector
        assert running.poll() is None and time.monotonic() - began < SECONDS, running.stdout.read().decode()
        logs = [path for path in jobs.glob("detect_fold_*.log") if "train fold" in path.read_text(errors="replace")]
        time.sleep(0.1)
    cluster.remove_node(nodes[1], allow_graceful=False)
    said, _ = running.communicate(timeout=SECONDS)
    assert running.returncode == 0, said.decode()

    for path in sorted(alone.models.glob("*.safetensors")):
        assert (Path("runs/tiny/models") / path.name).read_bytes() == path.read_bytes(), path.name
    assert Path("runs/tiny/oof.csv").read_bytes() == (alone.folder / "oof.csv").read_bytes()
    ran = json.loads((jobs / "timeline.json").read_text())
    assert len(ran) == FOLDS + len(GROUPS) + FOLDS * len(GROUPS)
    assert sorted(path.name for path in jobs.iterdir()) == sorted(
        ["timeline.json", "timeline.png"]
        + [f"crop_{view}.log" for view in GROUPS]
        + [f"detect_fold_{fold}.log" for fold in range(FOLDS)]
        + [f"grade_fold_{fold}_{net}.log" for fold in range(FOLDS) for net in GROUPS]
    )
    begun = [path.read_text(errors="replace").count("detect ...") for path in logs]
    assert sorted(begun) == [1, 1, 2], "the lost node's job is begun again, on one of the others"
