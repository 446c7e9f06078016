"""Prediction study by study: what it costs, what it survives, and that it agrees with cross-validation."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lumbar.config import CellsConfig, Config, PublishedConfig
from lumbar.data.competition import Competition, no_predictions
from lumbar.data.priors import read_prior
from lumbar.data.problems import Problems
from lumbar.data.rows import complete_rows
from lumbar.data.studies import read_study
from lumbar.grade import asking
from lumbar.labels import CELLS, GRADES
from lumbar.records import write_text
from lumbar.submit.asked import Asked, read_asked
from lumbar.submit.chain import explain_gaps, load_models, predict_study
from lumbar.submit.journal import Entry, Job, Journal
from lumbar.submit.replay import TOLERANCE, Parity, format_parity, replay_fold, tolerance
from lumbar.submit.results import REPORT, format_report, write_results
from lumbar.submit.stage import predict_submission, run_submit
from lumbar.submit.worker import Budget, grade_studies

NOW = 1_000_000.0
"""Seconds since the epoch, at which the clock stands still."""


@pytest.fixture
def still(monkeypatch) -> None:
    """Stops the worker's clock."""
    monkeypatch.setattr("lumbar.submit.worker.time", SimpleNamespace(time=lambda: NOW))


def test_with_time_to_spare_every_fold_grades_every_study(still):
    budget = Budget(NOW + 3600, folds=5)
    budget.spend(reading=1, grading=5, folds=5)
    assert budget.folds_for(studies_left=100) == 5


def test_before_anything_was_measured_all_folds_are_tried(still):
    assert Budget(NOW + 10, folds=3).folds_for(studies_left=1000) == 3


@pytest.mark.parametrize(("seconds", "folds"), [(2000, 5), (600, 4), (400, 2), (100, 1), (1, 1), (-1, 0)])
def test_when_the_clock_runs_short_folds_are_dropped_and_studies_never(still, seconds, folds):
    """100 studies are left; reading one takes 1 s, grading it 1 s for each fold; with a margin of 15 %."""
    budget = Budget(NOW + seconds, folds=5)
    budget.spend(reading=10, grading=50, folds=50)
    budget.studies = 10
    assert budget.folds_for(studies_left=100) == folds


def entry(study_id: int, finished: bool = True) -> Entry:
    return Entry(study_id=study_id, finished=finished, rows=((f"{study_id}_x", 0.1, 0.2, 0.7),), gaps={})


def test_a_journal_gives_back_what_was_written_to_the_last_digit(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    row = ("1_x", 1 / 3, 0.1 + 0.2, 5e-324)
    journal.write(Entry(study_id=1, finished=True, rows=(row,)))
    assert journal.finished()[1].rows == (row,)


def test_a_journal_takes_any_name_of_a_folder(tmp_path):
    journal, line_ends = Journal(tmp_path / "journal.jsonl"), "a\u2028b\u0085c"
    journal.write(Entry(study_id=1, finished=True, gaps={"x": line_ends}))
    journal.write(entry(2))
    assert journal.finished()[1].gaps == {"x": line_ends}
    journal.withdraw()
    assert list(journal.finished()) == [1]


def test_a_line_that_its_writer_did_not_finish_is_left_out(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(entry(1))
    with journal.path.open("a") as file:
        file.write(entry(2).model_dump_json()[:-5])
    assert list(journal.finished()) == [1]
    journal.write(entry(3))
    assert list(journal.finished()) == [1, 3]


def test_a_study_that_the_process_died_of_comes_last_and_is_given_up_the_second_time(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(entry(1, finished=False))
    assert journal.left_to_do([1, 2, 3]) == [2, 3, 1]
    journal.write(entry(1, finished=False))
    assert journal.left_to_do([1, 2, 3]) == [2, 3]


def test_a_study_that_was_left_by_a_decision_is_no_death(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(entry(1))
    journal.write(entry(2, finished=False))
    journal.withdraw()
    assert not journal.fatal()
    assert list(journal.finished()) == [1]


def test_the_study_that_is_being_graded_is_no_death_and_an_earlier_one_is(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(entry(1, finished=False))
    journal.write(entry(2, finished=False))
    assert journal.fatal(in_progress=True) == {1: 1}
    assert journal.fatal() == {1: 1, 2: 1}


def test_the_report_while_it_grades_blames_no_study(trained, competition, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(entry(int(competition.series("test")["study_id"].iloc[0]), finished=False))
    asked, prior = read_asked(competition), read_prior(trained.models / "prior.csv")
    reports = [
        write_results({}, journal.fatal(in_progress), asked, prior, 1e-4, tmp_path / "submission.csv")
        for in_progress in (True, False)
    ]
    assert [len(report["problems"]) - len(asked.problems) for report in reports] == [0, 1]


@pytest.mark.parametrize(
    ("cells", "trained", "stage", "reason"),
    [
        ({"levels": ("l5_s1",)}, ["spinal"], "", "not among the cells that the config grades"),
        ({}, ["foraminal"], "", "no grader was trained"),
        ({}, ["spinal"], "grade spinal", "grade spinal failed"),
        ({"pooled": True}, ["pooled"], "grade pooled", "grade pooled failed"),
        ({}, ["spinal"], "", "no slice of Sagittal T2/STIR shows the level"),
    ],
)
def test_a_cell_without_a_prediction_says_why(cells, trained, stage, reason):
    config = Config(name="x", published=PublishedConfig(cells=CellsConfig(**cells)))
    problems = Problems()
    if stage:
        problems.note(7, stage, "it broke")
    chains = [SimpleNamespace(graders=dict.fromkeys(trained))]
    study = {"Sagittal T2/STIR": []}
    gaps = explain_gaps(SimpleNamespace(config=config), chains, 7, study, no_predictions(), problems)
    assert gaps["spinal_canal_stenosis_l1_l2"] == reason


def test_a_cell_that_is_predicted_needs_no_reason():
    predicted = pd.DataFrame([("7_spinal_canal_stenosis_l1_l2", 0.5, 0.3, 0.2)], columns=["row_id", *GRADES])
    gaps = explain_gaps(SimpleNamespace(config=Config(name="x")), [], 7, {}, predicted, Problems())
    assert len(gaps) == len(CELLS) - 1
    assert "spinal_canal_stenosis_l1_l2" not in gaps


def test_a_problem_is_noted_with_its_exception_and_what_was_used_instead():
    problems = Problems()
    with problems.survive(7, "detect", "the prior"):
        raise ValueError("no such box")
    assert [(one.study_id, one.stage, one.message, one.instead) for one in problems.found] == [
        (7, "detect", "ValueError: no such box", "the prior")
    ]


def test_a_gpus_failure_is_no_studys_and_goes_through():
    problems = Problems()
    with pytest.raises(RuntimeError, match="CUDA error"), problems.survive(7, "detect", "the prior"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    with problems.survive(7, "detect", "the prior"):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert len(problems.found) == 1


def test_a_strict_prediction_raises_a_studys_error(trained, competition, tmp_path):
    root = tmp_path / "broken"
    shutil.copytree(competition.root, root)
    shutil.rmtree(root / "test_images" / str(competition.series("test")["study_id"].iloc[0]))
    with pytest.raises(Exception, match="does not exist"):
        predict_submission(trained.models, Competition(root), tmp_path, tmp_path / "submission.csv", strict=True)


def test_a_strict_run_looks_at_every_study_however_often_it_was_run_before(trained, competition, tmp_path):
    root = Path(shutil.copytree(competition.root, tmp_path / "broken"))
    shutil.rmtree(root / "test_images" / str(competition.series("test")["study_id"].iloc[0]))
    folder = tmp_path / "run"
    shutil.copytree(trained.models, folder / "models")
    run = type(trained)(trained.config, Competition(root), folder)
    run_submit(run, tmp_path / "submission.csv")
    for _ in range(3):
        with pytest.raises(Exception, match="does not exist"):
            run_submit(run, tmp_path / "submission.csv", strict=True)


def test_a_study_that_cannot_be_listed_gets_the_prior_and_costs_no_other(trained, competition, tmp_path, forbid):
    lost = int(competition.series("test")["study_id"].iloc[0])
    whole, part = (tmp_path / name / "submission.csv" for name in ("whole", "part"))
    run = type(trained)(trained.config, competition, tmp_path / "run")
    shutil.copytree(trained.models, run.models)
    run_submit(run, whole)
    forbid(competition.root / "test_images" / str(lost))
    report = run_submit(run, part)
    assert any(f"{lost}: the study cannot be listed" in problem["message"] for problem in report["problems"])
    tables = [pd.read_csv(path) for path in (whole, part)]
    of_lost = tables[0]["row_id"].str.startswith(f"{lost}_")
    pd.testing.assert_frame_equal(tables[0][~of_lost], tables[1][~of_lost])
    prior = read_prior(run.models / "prior.csv")
    expected = complete_rows(no_predictions(), tables[1].loc[of_lost, "row_id"].tolist(), prior, 1e-4).predictions
    pd.testing.assert_frame_equal(tables[1][of_lost].reset_index(drop=True), expected)


@pytest.mark.parametrize("fold", [0, 1])
def test_the_kernels_code_reproduces_the_out_of_fold_predictions(trained, fold):
    parity = replay_fold(trained, fold)
    assert parity.rows > 0
    assert parity.unmatched == ()
    assert parity.different_crops == ()
    assert parity.largest_difference <= 1e-6


def test_nets_in_half_precision_may_differ_by_more_but_their_crops_by_nothing(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert tolerance() == TOLERANCE
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    parity = Parity(1, 25, (), 0.004, 25, (), tolerance())
    assert parity.holds
    assert "largest difference 4.0e-03, 1e-02 may be" in format_parity(parity)
    assert not replace(parity, largest_difference=0.02).holds
    assert not replace(parity, different_crops=("spinal 1_spinal_canal_stenosis_l1_l2",)).holds
    assert not replace(parity, tolerance=TOLERANCE).holds


def test_an_altered_prediction_is_noticed_by_the_replay(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    path = folder / "predictions" / "spinal" / "oof.csv"
    table = pd.read_csv(path)
    table[GRADES[0]] = np.clip(table[GRADES[0]] + 1e-4, 0, 1)
    table.to_csv(path, index=False)
    altered = type(trained)(trained.config, trained.competition, folder)
    assert any(not replay_fold(altered, fold).holds for fold in altered.fold_numbers)


def test_an_interrupted_prediction_goes_on_where_it_stopped(trained, competition, tmp_path):
    study_ids = tuple(sorted(competition.series("test")["study_id"].unique().tolist()))
    job = Job(models=trained.models, competition=competition.root, study_ids=study_ids, journal=tmp_path / "journal")
    grade_studies(job.model_copy(update={"study_ids": study_ids[:2]}))
    before = job.journal.read_text()
    grade_studies(job)
    assert job.journal.read_text().startswith(before)
    assert list(Journal(job.journal).finished()) == list(study_ids)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interruption_between_two_studies_blames_and_loses_none(trained, competition, tmp_path, monkeypatch):
    study_ids = tuple(sorted(competition.series("test")["study_id"].unique().tolist()))
    job = Job(models=trained.models, competition=competition.root, study_ids=study_ids, journal=tmp_path / "journal")
    monkeypatch.setattr("lumbar.submit.worker.Budget.spend", interrupt)
    with pytest.raises(KeyboardInterrupt):
        grade_studies(job)
    journal = Journal(job.journal)
    assert list(journal.finished()) == [study_ids[0]]
    assert not journal.fatal()


@pytest.mark.parametrize(("graded", "is_warned"), [(95, False), (94, True)])
def test_more_than_a_twentieth_of_the_rows_on_the_prior_stands_on_top_of_the_log(trained, tmp_path, graded, is_warned):
    ids = [f"{study}_{cell}" for study in range(4) for cell in CELLS]
    journal = Journal(tmp_path / "journal")
    for study in range(4):
        rows = tuple((row_id, 0.5, 0.3, 0.2) for row_id in ids[:graded] if row_id.startswith(f"{study}_"))
        journal.write(Entry(study_id=study, finished=True, rows=rows))
    prior = read_prior(trained.models / "prior.csv")
    asked = Asked(tuple(ids), (0, 1, 2, 3), ())
    report = write_results(journal.finished(), {}, asked, prior, 0.0, tmp_path / "submission.csv")
    assert format_report(report).startswith("!!!") == is_warned


def test_a_grader_that_fails_costs_its_group_only(trained, competition, monkeypatch):
    models, descriptions = load_models(trained.models), competition.series("test")
    study_id = int(descriptions["study_id"].iloc[0])
    mine = descriptions[descriptions["study_id"] == study_id]
    study = read_study(competition, "test", study_id, mine, Problems())
    (whole, _), problems = predict_study(models, models.chains, study_id, study, Problems()), Problems()
    real, spinal = asking.predict_grades, whole["row_id"].str.contains("spinal")
    assert 0 < spinal.sum() < len(whole)

    def fails_on_canals(grader, crops, rows):
        if crops.index["condition"].iloc[0].startswith("spinal"):
            raise ValueError("no such canal")
        return real(grader, crops, rows)

    monkeypatch.setattr(asking, "predict_grades", fails_on_canals)
    left, _ = predict_study(models, models.chains, study_id, study, problems)
    pd.testing.assert_frame_equal(left, whole[~spinal].reset_index(drop=True), check_exact=True)
    assert {problem.stage for problem in problems.found} == {"grade spinal"}


def test_a_submission_is_kept_while_neither_models_nor_tables_change(trained, competition, tmp_path, monkeypatch):
    root, made = Path(shutil.copytree(competition.root, tmp_path / "data")), []
    shutil.copytree(trained.models, tmp_path / "run" / "models")
    run, output = type(trained)(trained.config, Competition(root), tmp_path / "run"), tmp_path / "submission.csv"

    def predict(models, competition, work, output, strict):
        made.append(work)
        write_text("row_id\n", output)
        write_text("{}\n", output.with_name(REPORT))
        return {"problems": [], "warning": None}

    monkeypatch.setattr("lumbar.submit.stage.predict_submission", predict)
    for _ in range(2):
        run_submit(run, output)
    assert len(made) == 1
    image = next((root / "test_images").rglob("*.dcm"))
    for changed in (run.models / "prior.csv", root / "sample_submission.csv", image.with_name("later.dcm")):
        with changed.open("a") as file:
            file.write("\n")
        run_submit(run, output)
    assert len(made) == 4, "a file that arrives later is noticed"


def test_an_interruption_blames_no_study(trained, competition, tmp_path, monkeypatch):
    monkeypatch.setattr("lumbar.submit.worker._Grading.grade", interrupt)
    job = Job(models=trained.models, competition=competition.root, study_ids=(1, 2), journal=tmp_path / "journal")
    with pytest.raises(KeyboardInterrupt):
        grade_studies(job)
    assert Journal(job.journal).read() == []


def test_series_that_are_absent_are_told_of_each_time_a_submission_is_kept(trained, competition, tmp_path, caplog):
    root = Path(shutil.copytree(competition.root, tmp_path / "data"))
    shutil.rmtree(next((root / "test_images").glob("*/*")))
    shutil.copytree(trained.models, tmp_path / "run" / "models")
    run = type(trained)(trained.config, Competition(root), tmp_path / "run")
    for _ in range(2):
        caplog.clear()
        run_submit(run, tmp_path / "submission.csv")
        assert "submit: 1 series of 1 study are absent or cannot be read, the first: SeriesError" in caplog.text
