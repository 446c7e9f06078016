"""The one loop over studies: in order, in several processes or in one, and an odd study costs only itself."""

import os
import shutil
from pathlib import Path

import pytest

from lumbar.data.competition import Competition
from lumbar.data.problems import Problems, problem_table, read_problems
from lumbar.data.studies import OTHER_SERIES, Study, map_studies, series_by_id
from lumbar.data.tables import write_table
from lumbar.mri.series import SeriesError
from lumbar.run.remarks import remarks_on


def count_slices(study_id: int, study: Study, _: Problems) -> int:
    """The images of a study."""
    return sum(len(series.slices) for group in study.values() for series in group)


@pytest.fixture
def broken(competition, tmp_path) -> Competition:
    """A copy of the phantom whose first study has lost one series, and one file of another."""
    root = Path(shutil.copytree(competition.root, tmp_path / "broken"))
    first, second = sorted((root / "train_images" / str(competition.study_ids[0])).iterdir())[:2]
    shutil.rmtree(first)
    next(second.iterdir()).write_bytes(b"no image")
    return Competition(root)


def test_a_folders_name_of_any_bytes_is_told_in_letters_that_every_file_takes(broken):
    study_id = broken.study_ids[0]
    os.mkdir(os.fsencode(broken.root / "train_images" / str(study_id)) + b"/caf\xe9")  # noqa: PTH102  # no name in UTF-8
    (done,) = map_studies(broken, "train", [study_id], count_slices)
    (told,) = [problem.message for problem in done.problems if "does not list it" in problem.message]
    assert told.encode().startswith(b"series caf:")


def test_several_processes_say_what_one_says_and_in_the_same_order(competition):
    results = [
        [(done.study_id, done.value) for done in map_studies(competition, "train", ids, count_slices, jobs=jobs)]
        for ids, jobs in ((competition.study_ids, 1), (competition.study_ids, 2))
    ]
    assert results[0] == results[1]
    assert [study_id for study_id, _ in results[0]] == competition.study_ids
    assert all(count > 0 for _, count in results[0])


def test_a_worker_whose_share_is_one_core_reads_in_one_process_though_all_are_asked_for(competition, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = map_studies(competition, "train", competition.study_ids[:2], lambda *_: os.getpid(), jobs=-1)
    assert {each.value for each in done} == {os.getpid()}


def test_with_one_process_a_study_is_asked_for_when_the_one_before_it_is_done(competition):
    asked, seen = [], []

    def ids():
        for study_id in competition.study_ids[:3]:
            asked.append(study_id)
            yield study_id

    for done in map_studies(competition, "train", ids(), count_slices):
        seen.append(done.study_id)
        assert asked == seen


def test_only_the_series_that_are_named_are_read_and_the_others_are_no_strangers(competition):
    series = competition.series("train")
    axial = series.loc[series["series_description"] == "Axial T2", "series_id"]
    (done,) = map_studies(competition, "train", competition.study_ids[:1], lambda _, study, __: list(study), only=axial)
    assert done.value == ["Axial T2"]
    assert not [problem for problem in done.problems if "does not list it" in problem.message]


def test_an_error_of_the_work_is_noted_and_the_next_study_is_worked_on(competition):
    first = competition.study_ids[0]

    def work(study_id: int, study: Study, _: Problems) -> str:
        if study_id == first:
            raise ValueError("no such spine")
        return "fine"

    ids, stage = competition.study_ids[:2], ("detect", "the prior")
    one, other = map_studies(competition, "train", ids, work, stage=stage)
    assert (one.value, other.value) == (None, "fine")
    noted = [problem for problem in one.problems if problem.stage == "detect"]
    assert [(problem.message, problem.instead) for problem in noted] == [("ValueError: no such spine", "the prior")]
    with pytest.raises(ValueError, match="no such spine"):
        list(map_studies(competition, "train", ids, work, stage=stage, strict=True))
    with pytest.raises(ValueError, match="no such spine"):
        list(map_studies(competition, "train", ids, work))


def test_the_work_on_a_study_gets_what_is_given_for_it(competition):
    ids = competition.study_ids[:2]
    done = map_studies(
        competition, "train", ids, lambda study, _, __, given: (study, given), given={ids[0]: "a", ids[1]: "b"}
    )
    assert [each.value for each in done] == [(ids[0], "a"), (ids[1], "b")]


def test_a_series_that_is_gone_is_a_lost_one_and_a_file_that_cannot_be_read_is_not(broken):
    (done,) = map_studies(broken, "train", broken.study_ids[:1], count_slices)
    assert [problem.instead for problem in done.problems].count(OTHER_SERIES) == 1
    (remark,) = remarks_on(done.problems)
    assert remark.startswith("1 series of 1 study are absent or cannot be read, the first: SeriesError")
    with pytest.raises(SeriesError, match="does not exist"):
        list(map_studies(broken, "train", broken.study_ids[:1], count_slices, strict=True))


def test_a_study_that_cannot_be_listed_is_a_problem_of_its_own_and_the_next_is_read(competition, forbid):
    first, second = competition.study_ids[:2]
    forbid(competition.root / "train_images" / str(first))
    lost, read = map_studies(competition, "train", [first, second], count_slices)
    assert lost.value == 0
    messages = [problem.message for problem in lost.problems]
    assert sum("the series cannot be listed: [Errno 13] Permission denied" in message for message in messages) > 0
    assert f"{first}: the study cannot be listed: [Errno 13] Permission denied" in messages[-1]
    assert read.value > 0


def test_a_series_that_cannot_be_listed_costs_no_other_one(competition, forbid):
    series = competition.series("train")
    (study_id, series_id), *others = series[series["study_id"] == competition.study_ids[0]][
        ["study_id", "series_id"]
    ].itertuples(index=False)
    forbid(competition.series_directory("train", study_id, series_id))
    (done,) = map_studies(competition, "train", [study_id], lambda _, study, __: series_by_id(study))
    assert set(done.value) == {other for _, other in others}
    assert [problem.instead for problem in done.problems].count(OTHER_SERIES) == 1


def test_problems_are_read_back_as_they_were_noted(tmp_path):
    problems = Problems()
    problems.note(7, "read", 'a "quoted", odd\nmessage')
    problems.note(None, "read", "a table's", "nothing")
    write_table(problem_table(problems.found), tmp_path / "problems.csv")
    read = read_problems(tmp_path / "problems.csv")
    assert read == problems.found
