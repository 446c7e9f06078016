"""How fast each stage is beside its floor, measured in the same run: `make bench`. Nothing here fails for being slow.

A floor is the same work without ours: the bytes read, pydicom alone, the nets alone on tensors in memory. One thread
each. The nets are those of the demo's run, the studies the demo's phantom's and, where `LUMBAR_SHARED` names a folder
of real data, one real study.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
import torch
from pydicom.pixels import pixel_array

from conftest import REPOSITORY
from lumbar.config import read_config
from lumbar.crop.crops import Crops
from lumbar.crop.store import crops_of_study
from lumbar.crop.view import ViewCutter
from lumbar.data.competition import Competition
from lumbar.data.points import points_table
from lumbar.data.problems import Problems
from lumbar.data.studies import Study, map_studies
from lumbar.detect.canvas import draw_canvas
from lumbar.detect.locate import locate_study
from lumbar.detect.network import build_network
from lumbar.detect.train import train_detector
from lumbar.detect.training_set import write_training_set
from lumbar.grade.graders import AnyGrader
from lumbar.grade.net import Grader
from lumbar.grade.predict import load_grader, predict_grades
from lumbar.grade.train import train_grader
from lumbar.mri.series import read_series
from lumbar.phantom.keep import phantom_folder
from lumbar.submit.chain import Chain, Models, load_models, predict_study

DEMO = read_config(REPOSITORY / "configs" / "demo.yaml")
MODELS = REPOSITORY / "runs" / "demo" / "models"
CANVASES, CELLS, IMAGES = 16, 64, 64
"""Of a batch that detectors look at, of one that graders are asked, and of an epoch of the detector's training."""
GRADED = 512
"""Cells of an epoch of a grader's training."""


@pytest.fixture(scope="module", params=["phantom", "real"])
def studies(request: pytest.FixtureRequest) -> tuple[Competition, list[int]]:
    """The competition and the test studies that are read and graded."""
    if request.param == "phantom":
        competition = Competition(REPOSITORY / phantom_folder(DEMO.phantom))
    else:
        competition = Competition(request.getfixturevalue("shared") / "rsna2024_studies")
    return competition, sorted(int(path.name) for path in (competition.root / "test_images").iterdir())[:2]


@pytest.fixture(scope="module")
def directories(studies: tuple[Competition, list[int]]) -> list[Path]:
    """The studies' series."""
    competition, ids = studies
    return [path for study_id in ids for path in sorted((competition.root / "test_images" / str(study_id)).iterdir())]


@pytest.fixture(scope="module")
def models() -> Models:
    """The demo's."""
    return load_models(MODELS)


@pytest.fixture(scope="module")
def chain(models: Models) -> Chain:
    """Those of one fold."""
    return models.chains[0]


@pytest.fixture(scope="module")
def phantom() -> Competition:
    """The demo's phantom, which its models were trained on."""
    return Competition(REPOSITORY / phantom_folder(DEMO.phantom))


@pytest.fixture(scope="module")
def study(phantom: Competition) -> Study:
    """One study of the phantom, read."""
    done = next(map_studies(phantom, "train", phantom.study_ids[:1], lambda _, read, __: read))
    return done.value


@pytest.fixture(scope="module")
def crops(study: Study, chain: Chain, phantom: Competition) -> Crops:
    """The foraminal crops of a study at the detector's points, repeated until there are `GRADED`, with grades."""
    points = points_table(locate_study(chain.detector, study, phantom.study_ids[0]))
    cut = crops_of_study(study, points, ViewCutter(DEMO.crop.views["foraminal"]))
    assert cut is not None
    rows = np.arange(GRADED) % len(cut.index)
    index = cut.index.iloc[rows].reset_index(drop=True).assign(grade=rows % 3)
    return Crops(np.ascontiguousarray(cut.pixels[rows]), index)


def bare_batches(net: torch.nn.Module, batches: list[tuple[torch.Tensor, ...]]) -> None:
    """A net asked, and nothing else."""
    with torch.inference_mode():
        for batch in batches:
            net(*batch)


# Reading


@pytest.mark.benchmark(group="read the studies' files")
def test_bytes_alone(benchmark, directories):
    benchmark(lambda: [path.read_bytes() for folder in directories for path in folder.iterdir()])


@pytest.mark.benchmark(group="read the studies' files")
def test_pydicom_alone(benchmark, directories):
    benchmark(lambda: [decode(path) for folder in directories for path in sorted(folder.iterdir())])


@pytest.mark.benchmark(group="read the studies' files")
def test_lumbar_reads_series(benchmark, directories):
    benchmark(lambda: [read_series(folder) for folder in directories])


def decode(path: Path) -> np.ndarray:
    """A file's grey values by pydicom, as every public notebook has it."""
    return pixel_array(pydicom.dcmread(path))


# The detector


@pytest.mark.benchmark(group=f"look at {CANVASES} canvases")
def test_the_detectors_net_alone(benchmark, chain):
    size = DEMO.detect.image_size
    images = torch.rand(CANVASES, 3, size, size).contiguous(memory_format=torch.channels_last)
    benchmark(bare_batches, chain.detector.network, [(images,)])


@pytest.mark.benchmark(group=f"look at {CANVASES} canvases")
def test_lumbar_draws_and_looks(benchmark, chain, phantom, study):
    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        done = next(map_studies(phantom, "train", phantom.study_ids[:1], lambda _, read, __: read))
        return (done.value["Sagittal T1"][0],), {}

    def look(series: Any) -> None:
        chosen = [series.slices[number % len(series.slices)] for number in range(CANVASES)]
        chain.detector.look([draw_canvas(series, image, DEMO.detect) for image in chosen])

    benchmark.pedantic(look, setup=fresh, rounds=10, warmup_rounds=1)


@pytest.mark.benchmark(group=f"train a detector on {IMAGES} images, two epochs")
def test_the_detectors_forward_and_backward_alone(benchmark):
    config = DEMO.detect
    network = build_network(config.scale).train()
    network.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
    network = network.to(memory_format=torch.channels_last)
    count, size = config.batch_size, config.image_size
    batch = {
        "img": torch.rand(count, 3, size, size).contiguous(memory_format=torch.channels_last),
        "cls": torch.zeros(5 * count, 1),
        "bboxes": torch.rand(5 * count, 4) * 0.2 + 0.2,
        "batch_idx": torch.arange(count).repeat_interleave(5).float(),
    }

    def steps() -> None:
        for _ in range(2 * IMAGES // count):
            network(batch)[0].sum().backward()

    benchmark.pedantic(steps, rounds=3)


@pytest.mark.benchmark(group=f"train a detector on {IMAGES} images, two epochs")
def test_lumbar_trains_a_detector(benchmark, phantom, tmp_path):
    config = DEMO.detect.model_copy(update={"epochs": 2})
    few = Competition(phantom.root)
    few.__dict__["study_ids"] = phantom.study_ids[:8]
    write_training_set(few, config, tmp_path / "set", jobs=1)
    images = sorted((tmp_path / "set" / "images").glob("*.png"))[:IMAGES]
    folders = iter(tmp_path / f"training{number}" for number in range(10))
    benchmark.pedantic(lambda: train_detector(config, images, next(folders), 0, "bench"), rounds=3)


# The graders


@pytest.mark.benchmark(group=f"grade {CELLS} cells")
def test_a_graders_net_alone(benchmark, chain):
    grader = load_grader(MODELS / "foraminal_fold0")
    benchmark(bare_batches, grader, [cells_of(grader, CELLS)])


@pytest.mark.benchmark(group=f"grade {CELLS} cells")
def test_lumbar_grades_crops(benchmark, crops):
    benchmark(predict_grades, load_grader(MODELS / "foraminal_fold0"), crops, np.arange(CELLS))


@pytest.mark.benchmark(group=f"train a grader on {GRADED} cells, two epochs")
def test_a_graders_forward_and_backward_alone(benchmark):
    grader = load_grader(MODELS / "foraminal_fold0").train()
    cells = cells_of(grader, DEMO.grade.batch_size)

    def steps() -> None:
        for _ in range(2 * GRADED // DEMO.grade.batch_size):
            grader(*cells).sum().backward()

    benchmark.pedantic(steps, rounds=3)


@pytest.mark.benchmark(group=f"train a grader on {GRADED} cells, two epochs")
def test_lumbar_trains_a_grader(benchmark, crops, tmp_path):
    trained = load_grader(MODELS / "foraminal_fold0")
    config = trained.config.model_copy(update={"epochs": 2})
    folders = iter(tmp_path / str(number) for number in range(10))
    rows = np.arange(GRADED)[:, None]

    def train() -> None:
        train_grader(Grader(config, trained.views), crops, rows, next(folders), 0, "bench")

    benchmark.pedantic(train, rounds=3)


# A whole study


@pytest.mark.benchmark(group="grade the studies, from files to rows")
def test_floors_together(benchmark, directories, models, studies):
    benchmark.pedantic(lambda: floors(directories, models, len(studies[1])), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="grade the studies, from files to rows")
def test_lumbar_grades_studies(benchmark, models, studies):
    competition, ids = studies

    def grade() -> None:
        def work(study_id: int, study: Study, problems: Problems) -> None:
            predict_study(models, models.chains, study_id, study, problems)

        list(map_studies(competition, "test", ids, work))

    benchmark.pedantic(grade, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="grade the studies, from files to rows")
def test_a_notebooks_loop(benchmark, directories, models, studies):
    benchmark.pedantic(lambda: notebook(directories, models, len(studies[1])), rounds=3, warmup_rounds=1)


def floors(directories: list[Path], models: Models, studies: int) -> None:
    """pydicom alone, and every fold's nets alone on as many slices and cells as a study has, in batches."""
    for folder in directories:
        files = [decode(path) for path in sorted(folder.iterdir())]
        sagittal = len(files) // 2  # of three series two are sagittal, and a few slices of the axial one are looked at
        for chain in models.chains:
            bare_batches(chain.detector.network, list(images_of(max(1, sagittal), CANVASES)))
    for _ in range(studies):
        grade_all(models, lambda grader: cells_of(grader, 10))


def notebook(directories: list[Path], models: Models, studies: int) -> None:
    """What public notebooks do: each file read whole and resized, and one slice, then one crop, a call."""
    for folder in directories:
        for path in sorted(folder.iterdir()):
            pixels = decode(path).astype(np.float32)
            cv2.resize(pixels, (DEMO.detect.image_size,) * 2)
            for chain in models.chains:
                bare_batches(chain.detector.network, list(images_of(1, 1)))
    for _ in range(studies):
        for _ in range(10):
            grade_all(models, lambda grader: cells_of(grader, 1))


def images_of(count: int, batch: int) -> Iterator[tuple[torch.Tensor]]:
    """Random canvases in batches."""
    size = DEMO.detect.image_size
    for start in range(0, count, batch):
        images = torch.rand(min(batch, count - start), 3, size, size)
        yield (images.contiguous(memory_format=torch.channels_last),)


def cells_of(grader: AnyGrader, count: int) -> tuple[torch.Tensor, ...]:
    """What a grader takes of as many cells, whose crops are random."""
    slices, size = sum(view.slices for view in grader.views), grader.config.image_size
    cells = {"crop": torch.rand(count, slices, size, size), "level": torch.zeros(count, dtype=torch.long)}
    return tuple(cells[name] for name in grader.inputs)


def grade_all(models: Models, cells: Callable[[AnyGrader], tuple[torch.Tensor, ...]]) -> None:
    """Every grader of every fold asked."""
    for chain in models.chains:
        for name in chain.graders:
            grader = GRADERS.setdefault((chain.fold, name), load_grader(MODELS / f"{name}_fold{chain.fold}"))
            bare_batches(grader, [cells(grader)])


GRADERS: dict[tuple[int, str], AnyGrader] = {}
"""By fold and name, each loaded once, before it is timed."""
