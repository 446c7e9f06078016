"""What several test files need: the real data, where this machine has them, and a phantom with a run trained on it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import settings

from lumbar.offline import go_offline

go_offline()  # as the command does, before a library that asks is imported
from lumbar.data.competition import Competition, read_labels  # noqa: E402
from lumbar.kaggle.bundle import build_bundle  # noqa: E402
from lumbar.labels import SERIES_DESCRIPTIONS  # noqa: E402
from lumbar.phantom import write_phantom  # noqa: E402
from lumbar.pipeline import run_through, score_run  # noqa: E402
from lumbar.run.run import Run  # noqa: E402
from miniature import tiny_run  # noqa: E402
from small_studies import write_series  # noqa: E402

settings.register_profile("busy", deadline=None)  # a machine that does other things as well is no failure
settings.load_profile("busy")
VARIABLE = "LUMBAR_SHARED"
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data outside the repository; without it a test is skipped, but on CI that is an error."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if os.environ.get("CI", "").lower() == "true":
        raise RuntimeError(f"{VARIABLE} is not set, and on CI the tests on real data must not be skipped")
    pytest.skip(f"{VARIABLE} does not name a folder of real data")


@pytest.fixture(scope="session")
def rsna(shared: Path) -> Path:
    """The competition's published tables."""
    return shared / "rsna2024"


@pytest.fixture(scope="session")
def real_labels(rsna: Path) -> pd.DataFrame:
    """The competition's training labels, in long form."""
    return read_labels(rsna / "train.csv")


@pytest.fixture(scope="session")
def competition(tmp_path_factory: pytest.TempPathFactory) -> Competition:
    """A phantom of eight training and four test studies."""
    root = tmp_path_factory.mktemp("phantom") / "competition"
    write_phantom(root, studies=8, seed=11, test_studies=4, max_size=128, jobs=2)
    return Competition(root)


@pytest.fixture(scope="session")
def one_test_study(tmp_path_factory: pytest.TempPathFactory) -> Competition:
    """A phantom with one test study, as the competition's visible test set is."""
    root = tmp_path_factory.mktemp("phantom") / "one"
    write_phantom(root, studies=1, seed=5, test_studies=1, max_size=128, jobs=1)
    return Competition(root)


@pytest.fixture(scope="session")
def templates(tmp_path_factory) -> dict[str, Path]:
    """A healthy series of each description."""
    folders = {name: tmp_path_factory.mktemp("templates") / "77" for name in SERIES_DESCRIPTIONS}
    for description, folder in folders.items():
        write_series(folder, description)
    return folders


@pytest.fixture(scope="session")
def trained(competition: Competition, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished miniature run on the phantom."""
    finished = tiny_run(competition, tmp_path_factory.mktemp("trained"))
    run_through(finished)
    score_run(finished)
    return finished


@pytest.fixture(scope="session")
def bundle(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the miniature run, with the package's own wheel only: others would have to be downloaded."""
    out = tmp_path_factory.mktemp("submission") / "bundle"
    build_bundle(trained.models, out, REPOSITORY, "somebody", third_party=False)
    return out


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two threads on a busy two-core machine wait for each other; one is faster for nets this small."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def still_one_thread(one_thread: None) -> None:
    """A test that trained a detector by Ultralytics' own trainer has set it; another number of threads, other bytes."""
    torch.set_num_threads(1)


@pytest.fixture
def table(tmp_path: Path):
    """Writes a CSV and gives its path."""

    def write(content: str, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Lets this process see a folder as one of mode 000 is seen, also where it is root's: nothing in it is told of."""

    def forbid(folder: Path) -> None:
        for name, asks_the_folder in (("listdir", True), ("scandir", True), ("stat", False)):
            monkeypatch.setattr(os, name, refusing(getattr(os, name), folder, asks_the_folder))

    return forbid


def refusing(ask: Callable, folder: Path, asks_the_folder: bool) -> Callable:
    """A call of the system that refuses to tell of what is in a folder."""

    def call(path: object = ".", *arguments: object, **options: object) -> object:
        named = Path(os.fsdecode(path)) if isinstance(path, str | os.PathLike) else None
        if named and (folder in named.parents or (asks_the_folder and named == folder)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return ask(path, *arguments, **options)

    return call
