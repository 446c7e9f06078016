"""Prediction study by study: what it costs, what it survives, and that it agrees with cross-validation."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest

from lumbar.config import CellsConfig, Config, PublishedConfig
from lumbar.data.competition import Competition, no_predictions
from lumbar.data.priors import read_prior
from lumbar.data.problems import Problems
from lumbar.data.studies import read_study
from lumbar.detect.detector import Detector
from lumbar.errors import InputError
from lumbar.grade import stage as grade_stage
from lumbar.labels import CELLS, GRADES
from lumbar.pipeline import expect_models
from lumbar.records import write_text
from lumbar.submit import supervisor
from lumbar.submit.asked import Asked, read_asked
from lumbar.submit.chain import explain_gaps, load_models, predict_study
from lumbar.submit.journal import Entry, Job, Journal
from lumbar.submit.replay import replay_fold
from lumbar.submit.results import REPORT, format_report, write_results
from lumbar.submit.stage import predict_submission, run_submit
from lumbar.submit.supervisor import predict_supervised
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
        write_results(journal, asked, prior, 1e-4, tmp_path / "submission.csv", in_progress=in_progress)
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


@pytest.mark.parametrize("fold", [0, 1])
def test_the_kernels_code_reproduces_the_out_of_fold_predictions(trained, fold):
    parity = replay_fold(trained, fold)
    assert parity.rows > 0
    assert parity.unmatched == ()
    assert parity.different_crops == ()
    assert parity.largest_difference <= 1e-6


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


def interfere(folder: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, times: int) -> None:
    """Lets the supervisor start such workers."""
    script = folder / "worker.py"
    script.write_text(INTERFERING.format(sent=sent.name, times=times))
    monkeypatch.setattr(supervisor, "WORKER", (str(script),))


def test_a_study_that_takes_the_process_down_twice_costs_only_itself(trained, competition, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many as this process has: more add up floats in another order
    work, output = tmp_path / "work", tmp_path / "submission.csv"
    interfere(tmp_path, monkeypatch, signal.SIGKILL, times=2)
    report = predict_supervised(trained.models, competition, work, output)
    predict_submission(trained.models, competition, tmp_path / "alone", tmp_path / "alone.csv")
    victim = Journal(work / "journal.jsonl").read()[0].study_id
    written, alone = (pd.read_csv(path).set_index("row_id") for path in (output, tmp_path / "alone.csv"))
    of_victim = written.index.str.startswith(f"{victim}_")
    pd.testing.assert_frame_equal(written[~of_victim], alone[~of_victim])
    assert report["studies_graded"] == report["studies"] - 1
    assert len(report["died"]) == 2
    assert "exit status -9" in report["warning"]
    assert {row.partition("_")[0] for row in report["fallback"]} >= {str(victim)}


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

    job = Job(models=tmp_path, competition=tmp_path, study_ids=(), journal=journal)
    monkeypatch.setattr(supervisor, "WORKER", (str(script), str(journal), str(go)))
    monkeypatch.setattr(supervisor, "time", Clock(advance()))
    assert exhaust(supervisor._run_worker(tmp_path / "job.json", job, without_gpu=True)) == (
        "no study was finished in 600 s"
    )
    assert supervisor.time.now == 1200.0


def exhaust(run: Generator[bool, None, str | None]) -> str | None:
    """What a generator returns in the end."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def test_an_interruption_between_two_studies_blames_and_loses_none(trained, competition, tmp_path, monkeypatch):
    study_ids = tuple(sorted(competition.series("test")["study_id"].unique().tolist()))
    job = Job(models=trained.models, competition=competition.root, study_ids=study_ids, journal=tmp_path / "journal")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lumbar.submit.worker.Budget.spend", interrupt)
    with pytest.raises(KeyboardInterrupt):
        grade_studies(job)
    journal = Journal(job.journal)
    assert list(journal.finished()) == [study_ids[0]]
    assert not journal.fatal()


def test_models_of_an_unfinished_stage_are_refused_and_changed_settings_are_told(trained, tmp_path, caplog):
    run = replace(trained, folder=Path(shutil.copytree(trained.folder, tmp_path / "run")))
    expect_models(run, "make cv")
    assert caplog.messages == []
    crop = run.config.crop.model_copy(update={"spinal": run.config.crop.spinal.model_copy(update={"size": 128})})
    submit = run.config.submit.model_copy(update={"floor": 0.25})
    expect_models(replace(run, config=run.config.model_copy(update={"crop": crop, "submit": submit})), "make cv")
    assert caplog.messages == [
        "crop: taken as it is; changed since it was made: config",
        "submit: the models' config has other settings than the run's now, and holds until the next cv",
    ]
    (run.folder / "grade" / "stamp.json").unlink()
    with pytest.raises(InputError, match=r"grade: was begun and not finished; finish it first \(`make cv`\)"):
        expect_models(run, "make cv")


def test_a_detector_works_as_it_was_trained_whatever_the_config_says_by_now(trained):
    stem = next(trained.models.glob("detector_fold*.json")).with_suffix("")
    config = trained.config.detect.model_copy(update={"mm_per_pixel": 9.0, "min_confidence": 0.5})
    detector = Detector.load(stem, config)
    assert detector.config == trained.config.detect.model_copy(update={"min_confidence": 0.5})


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


@pytest.mark.parametrize(("graded", "is_warned"), [(95, False), (94, True)])
def test_more_than_a_twentieth_of_the_rows_on_the_prior_stands_on_top_of_the_log(trained, tmp_path, graded, is_warned):
    ids = [f"{study}_{cell}" for study in range(4) for cell in CELLS]
    journal = Journal(tmp_path / "journal")
    for study in range(4):
        rows = tuple((row_id, 0.5, 0.3, 0.2) for row_id in ids[:graded] if row_id.startswith(f"{study}_"))
        journal.write(Entry(study_id=study, finished=True, rows=rows))
    prior = read_prior(trained.models / "prior.csv")
    report = write_results(journal, Asked(tuple(ids), (0, 1, 2, 3), ()), prior, 0.0, tmp_path / "submission.csv")
    assert format_report(report).startswith("!!!") == is_warned


def test_models_that_never_load_leave_priors_after_two_tries_the_second_without_a_gpu(
    trained, competition, tmp_path, monkeypatch
):
    models = Path(shutil.copytree(trained.models, tmp_path / "models"))
    next(models.glob("detector_*.safetensors")).write_bytes(b"x")
    tried, real = [], supervisor._environment
    monkeypatch.setattr(supervisor, "_environment", lambda without_gpu: tried.append(without_gpu) or real(without_gpu))
    report = predict_supervised(models, competition, tmp_path / "work", tmp_path / "submission.csv")
    assert (tried, report["died"]) == ([False, True], ["exit status 1"] * 2)
    assert report["rows_from_prior"] == report["rows"]


def test_time_that_runs_out_keeps_what_was_graded_and_blames_nobody(trained, competition, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_is_over", lambda job: bool(Journal(job.journal).finished()))
    report = predict_supervised(trained.models, competition, tmp_path / "work", tmp_path / "submission.csv")
    assert report["studies_graded"] >= 1
    assert report["died"] == []
    assert not [problem for problem in report["problems"] if "process died" in problem["message"]]


def test_a_grader_that_fails_costs_its_group_only(trained, competition, monkeypatch):
    models, descriptions = load_models(trained.models), competition.series("test")
    study_id = int(descriptions["study_id"].iloc[0])
    mine = descriptions[descriptions["study_id"] == study_id]
    study = read_study(competition, "test", study_id, mine, Problems())
    (whole, _), problems = predict_study(models, models.chains, study_id, study, Problems()), Problems()
    real, spinal = grade_stage.predict_grades, whole["row_id"].str.contains("spinal")
    assert 0 < spinal.sum() < len(whole)

    def fails_on_canals(grader, crops, rows):
        if crops.index["condition"].iloc[0].startswith("spinal"):
            raise ValueError("no such canal")
        return real(grader, crops, rows)

    monkeypatch.setattr(grade_stage, "predict_grades", fails_on_canals)
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
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lumbar.submit.worker._Grading.grade", interrupted)
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
