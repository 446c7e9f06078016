"""Writes a phantom: a synthetic competition in the real one's folder layout."""

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lumbar.data.tables import write_table
from lumbar.labels import CELLS, GRADES, grade_title, level_title, row_ids, title
from lumbar.machine import processes
from lumbar.phantom.grades import grade_of
from lumbar.phantom.scanner.files import draw_tag_habits, write_slice
from lumbar.phantom.study import SimulatedStudy, draw_looks, image_slice, simulate_study

TRAIN, TEST, TRAIN_IDS, TEST_IDS = range(4)
"""Independent streams of random numbers under one seed."""
EMPTY_SERIES_IN_TEST = 0.01
"""Rate of test series without a file: participants met some, the rate is assumed."""
LOWEST_ID, HIGHEST_ID = 4_000_000, 2**32 - 1
"""The range of the real study ids."""


def write_phantom(
    out: Path, studies: int, seed: int, test_studies: int = 0, max_size: int | None = None, jobs: int = -1
) -> None:
    """Writes a competition of so many training and test studies; the same seed writes the same bytes.

    `max_size` caps rows and columns (the field of view stays). Beside the real files there are `oracle.csv`, the best
    answer for the training studies, `hidden/train_truth.csv`, their cells' narrowing and the grade that a rater without
    noise gives it, and for the test studies `hidden/test_labels.csv` and `hidden/oracle.csv`.
    """
    _refuse_to_overwrite(Path(out))
    wanted = [(TRAIN, index, study_id) for index, study_id in enumerate(_draw_ids(seed, TRAIN_IDS, studies))]
    wanted += [(TEST, index, study_id) for index, study_id in enumerate(_draw_ids(seed, TEST_IDS, test_studies))]
    work = [delayed(_write_study)(Path(out), seed, *ids, max_size) for ids in wanted]
    finished = Parallel(n_jobs=processes(jobs), return_as="generator")(work)
    written = list(tqdm(finished, total=len(work), desc="phantom", unit="study"))
    _write_tables(Path(out), written[:studies], written[studies:])


def _refuse_to_overwrite(out: Path) -> None:
    """A folder that holds a competition may be the real one, and what is left of it would mix with the phantom."""
    if (out / "train.csv").exists():
        raise FileExistsError(f"{out}: holds a competition already; remove it or choose another folder")


def _draw_ids(seed: int, stream: int, count: int) -> list[int]:
    """Distinct study ids in rising order; odd ones train, even ones test, so that the two never meet."""
    rng, ids = np.random.default_rng([seed, stream]), set[int]()
    while len(ids) < count:
        ids.add(int(rng.integers(LOWEST_ID, HIGHEST_ID)) // 2 * 2 + (stream == TRAIN_IDS))
    return sorted(ids)


def _write_study(out: Path, seed: int, stream: int, index: int, study_id: int, max_size: int | None) -> SimulatedStudy:
    plan_rng, image_rng, tag_rng = np.random.default_rng([seed, stream, index]).spawn(3)
    is_test = stream == TEST
    study, patient = simulate_study(plan_rng, study_id, max_size, is_test)
    folder = out / ("test_images" if is_test else "train_images") / str(study_id)
    looks = draw_looks(image_rng, study)
    for series in study.series:
        habits = draw_tag_habits(tag_rng, is_test)
        series_folder = folder / str(series.series_id)
        series_folder.mkdir(parents=True, exist_ok=True)
        if is_test and tag_rng.random() < EMPTY_SERIES_IN_TEST:
            continue
        for image in series.slices:
            pixels = image_slice(image_rng, patient, image, looks[series.series_id])
            write_slice(series_folder, study_id, series, image, pixels, habits)
    return study


def _write_tables(out: Path, train: list[SimulatedStudy], test: list[SimulatedStudy]) -> None:
    write_table(_labels_table(train), out / "train.csv")
    write_table(_coordinates_table(train), out / "train_label_coordinates.csv")
    write_table(_series_table(train), out / "train_series_descriptions.csv")
    write_table(_series_table(test), out / "test_series_descriptions.csv")
    write_table(_sample_submission(test), out / "sample_submission.csv")
    write_table(_answer_table(train), out / "oracle.csv")
    write_table(_truth_table(train), out / "hidden" / "train_truth.csv")
    write_table(_labels_table(test), out / "hidden" / "test_labels.csv")
    write_table(_answer_table(test), out / "hidden" / "oracle.csv")


def _labels_table(studies: list[SimulatedStudy]) -> pd.DataFrame:
    rows = [[study.study_id, *(_spell_grade(grade) for grade in study.grades)] for study in studies]
    return pd.DataFrame(rows, columns=["study_id", *CELLS])


def _spell_grade(grade: int) -> str:
    return grade_title(GRADES[grade]) if grade >= 0 else ""


def _coordinates_table(studies: list[SimulatedStudy]) -> pd.DataFrame:
    rows = [
        (
            study.study_id,
            point.series_id,
            point.instance_number,
            title(CELLS[point.cell].condition),
            level_title(CELLS[point.cell].level),
            point.x,
            point.y,
        )
        for study in studies
        for point in study.points
    ]
    return pd.DataFrame(rows, columns=["study_id", "series_id", "instance_number", "condition", "level", "x", "y"])


def _series_table(studies: list[SimulatedStudy]) -> pd.DataFrame:
    rows = [
        (study.study_id, series.series_id, series.description)
        for study in studies
        for series in sorted(study.series, key=lambda series: series.series_id)
    ]
    return pd.DataFrame(rows, columns=["study_id", "series_id", "series_description"])


def _answer_table(studies: list[SimulatedStudy]) -> pd.DataFrame:
    answers = np.concatenate([study.answer for study in studies]) if studies else np.zeros((0, len(GRADES)))
    table = pd.DataFrame(answers, columns=list(GRADES))
    table.insert(0, "row_id", row_ids(study.study_id for study in studies))
    return table


def _truth_table(studies: list[SimulatedStudy]) -> pd.DataFrame:
    cells = [
        (latent.round(5), grade)
        for study in studies
        for latent, grade in zip(study.latents, grade_of(study.latents), strict=True)
    ]
    table = pd.DataFrame(cells, columns=["narrowing", "grade"])
    table.insert(0, "row_id", row_ids(study.study_id for study in studies))
    return table


def _sample_submission(studies: list[SimulatedStudy]) -> pd.DataFrame:
    ids = [name for study in studies for name in sorted(row_ids([study.study_id]))]
    return pd.DataFrame({"row_id": ids}).assign(**dict.fromkeys(GRADES, 1 / len(GRADES)))
