"""A run by selections: each trains its own models and takes the others as they are; and runs that are only used."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lumbar.config import ConfigError, FoldsConfig
from lumbar.data.competition import Competition
from lumbar.data.tables import write_table
from lumbar.detect.training import detectors_made_from
from lumbar.errors import InputError
from lumbar.pipeline import expect_models, run_through, tell_changes
from lumbar.run.run import Run, Selection
from lumbar.run.stamps import UntrainedError, stamped
from miniature import dated


@pytest.fixture
def copied(trained, tmp_path) -> Run:
    """The finished run in a folder of its own."""
    shutil.copytree(trained.folder, tmp_path / "run")
    return Run(trained.config, trained.competition, tmp_path / "run")


def select(run: Run, **selected: object) -> Run:
    return Run(run.config, run.competition, run.folder, Selection(**selected))


def remove_model(run: Run, stem: str) -> None:
    for path in run.models.glob(f"{stem}.*"):
        path.unlink()


def changed(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_part_is_of_one_fold_or_one_group_or_everything():
    assert Selection().includes(1, "spinal")
    assert Selection(fold=1).includes(1, "spinal")
    assert not Selection(fold=1).includes(0, "spinal")
    assert not Selection(group="spinal").includes(0, "foraminal")
    assert Selection(group="spinal").includes(0), "a detector has no group"
    assert Selection(fold=1, net="spinal_1").includes(1, "spinal", "spinal_1")
    assert not Selection(fold=1, net="spinal_1").includes(1, "spinal", "spinal")
    assert not Selection(view="spinal").includes(1), "crops are no model"


def test_finished_folds_are_neither_trained_nor_predicted_again(copied):
    detect = copied.folder / "detect"
    (detect / "stamp.json").unlink()
    kept = {name: changed(detect / name) for name in ("fold0", "fold1", "training_set")}
    points = (detect / "points.csv").read_bytes()
    run_through(copied, last="detect")
    assert {name: changed(detect / name) for name in kept} == kept
    assert (detect / "points.csv").read_bytes() == points


def test_a_fold_trained_apart_is_the_same_to_the_byte(copied, trained):
    remove_model(copied, "detector_fold1")
    detect = copied.folder / "detect"
    shutil.rmtree(detect / "fold1")
    (detect / "stamp.json").unlink()
    (detect / "points.csv").unlink()

    run_through(select(copied, fold=0), last="detect")
    assert stamped(detect) is None
    with pytest.raises(UntrainedError, match=r"^detect: still to be trained: fold 1$"):
        run_through(select(copied, fold=0))

    run_through(select(copied, fold=1), last="detect")
    assert stamped(detect) == stamped(trained.folder / "detect")
    for name in ("detect/points.csv", "models/detector_fold1.safetensors"):
        assert (copied.folder / name).read_bytes() == (trained.folder / name).read_bytes()


def test_a_group_waits_for_the_graders_of_the_others(copied, trained):
    for stem in ("spinal_fold0", "spinal_fold1", "foraminal_fold1"):
        remove_model(copied, stem)
    (copied.folder / "grade" / "stamp.json").unlink()
    with pytest.raises(UntrainedError, match=r"^grade: still to be trained: spinal fold 0, foraminal fold 1$"):
        run_through(select(copied, fold=1, group="spinal"))
    assert stamped(copied.folder / "grade") is None
    run_through(copied)
    for path in trained.models.glob("*.safetensors"):
        assert (copied.models / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_net_by_itself_trains_no_other_and_predicts_no_other_again(copied, trained):
    for stem in ("spinal_fold0", "foraminal_fold1"):
        remove_model(copied, stem)
    (copied.folder / "grade" / "stamp.json").unlink()
    kept = changed(copied.folder / "predictions" / "subarticular" / "fold0")
    with pytest.raises(UntrainedError, match=r"^grade: still to be trained: foraminal fold 1$"):
        run_through(select(copied, fold=0, net="spinal"))
    run_through(select(copied, fold=1, net="foraminal"))
    assert changed(copied.folder / "predictions" / "subarticular" / "fold0") == kept
    assert stamped(copied.folder / "grade") == stamped(trained.folder / "grade")
    for path in [*trained.models.glob("*.safetensors"), *(trained.folder / "predictions").glob("*/oof.csv")]:
        assert (copied.folder / path.relative_to(trained.folder)).read_bytes() == path.read_bytes(), path.name


def test_the_crops_of_a_view_are_cut_by_themselves_and_need_no_other(copied, trained):
    shutil.rmtree(copied.folder / "crop")
    run_through(select(copied, view="foraminal"), last="crop")
    assert [path.name for path in (copied.folder / "crop").iterdir() if path.is_dir()] == ["foraminal"]
    run_through(copied, last="crop")
    for path in (trained.folder / "crop").rglob("*.npy"):
        assert (copied.folder / path.relative_to(trained.folder)).read_bytes() == path.read_bytes(), path.name


def test_a_group_cuts_its_own_views_only_and_a_run_of_everything_the_rest_without_training_anew(copied, trained):
    shutil.rmtree(copied.folder / "crop")
    remove_model(copied, "spinal_fold0")
    missing = r"^grade: still to be trained: foraminal, whose views are not cut here, subarticular, whose"
    with pytest.raises(UntrainedError, match=missing):
        run_through(select(copied, group="spinal"))
    assert [path.name for path in (copied.folder / "crop").iterdir() if path.is_dir()] == ["spinal"]
    assert stamped(copied.folder / "crop") is None

    weights = dated(copied.models, "*.safetensors")
    run_through(copied)
    assert dated(copied.models, "*.safetensors") == weights
    assert stamped(copied.folder / "crop") == stamped(trained.folder / "crop")
    for pattern in ("crop/*/pixels.npy", "models/*.safetensors", "predictions/*/oof.csv", "ensemble/oof.csv"):
        for path in trained.folder.glob(pattern):
            assert (copied.folder / path.relative_to(trained.folder)).read_bytes() == path.read_bytes(), path


def test_a_group_does_not_pass_for_everything_where_the_crops_of_others_are_outdated(copied):
    views = {name: view.model_copy(update={"size": 44}) for name, view in copied.config.crop.views.items()}
    config = copied.config.model_copy(update={"crop": copied.config.crop.model_copy(update={"views": views})})
    with pytest.raises(UntrainedError, match="foraminal, whose views are not cut here"):
        run_through(select(replace(copied, config=config), group="spinal"))
    crop = copied.folder / "crop"
    assert [stamped(crop / name) is not None for name in ("", "spinal", "foraminal")] == [False, True, False]


@pytest.mark.parametrize(
    ("selected", "views"),
    [
        ({}, ["spinal", "foraminal", "subarticular"]),
        ({"fold": 1}, ["spinal", "foraminal", "subarticular"]),
        ({"fold": 1, "group": "foraminal"}, ["foraminal"]),
        ({"net": "subarticular"}, ["subarticular"]),
        ({"view": "spinal"}, ["spinal"]),
    ],
)
def test_the_views_of_a_selection_are_those_that_its_graders_read(trained, selected, views):
    assert select(trained, **selected).views == views


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        ({"fold": 0, "net": "spinal_9"}, "there is no net spinal_9, it has spinal, foraminal, subarticular"),
        ({"view": "canal"}, "there is no view canal, it has spinal, foraminal, subarticular"),
    ],
)
def test_a_net_or_a_view_that_does_not_exist_is_refused(copied, selected, message):
    with pytest.raises(ConfigError, match=f"config tiny: {message}"):
        run_through(select(copied, **selected))


def test_where_weights_lie_changes_nothing_but_what_they_hold_does(trained, tmp_path):
    def made_from(content: bytes, name: str) -> str:
        (tmp_path / name).write_bytes(content)
        detect = trained.config.detect.model_copy(update={"weights": tmp_path / name})
        config = trained.config.model_copy(update={"detect": detect})
        return detectors_made_from(Run(config, trained.competition, trained.folder))

    assert made_from(b"same", "here.pt") == made_from(b"same", "there.pt")
    assert made_from(b"same", "here.pt") != made_from(b"other", "here.pt")


def test_a_fold_that_does_not_exist_is_refused(copied):
    with pytest.raises(ConfigError, match=r"folds\.csv: there is no fold 7, it has 0, 1"):
        run_through(select(copied, fold=7))


# Runs that others only use


@pytest.mark.parametrize("table", ["train.csv", "folds.csv"])
def test_models_can_be_asked_of_studies_that_they_were_not_trained_on(copied, tmp_path, caplog, table):
    root = tmp_path / "others"
    shutil.copytree(copied.competition.root, root, ignore=shutil.ignore_patterns("train_images"))
    folds = copied.config.folds.model_copy(update={"file": tmp_path / "folds.csv"})
    if table == "train.csv":
        shutil.copyfile(copied.folds_file, tmp_path / "folds.csv")
        (root / table).unlink()
    caplog.set_level("INFO")
    other = copied.config.model_copy(update={"folds": folds})
    tell_changes(Run(other, Competition(root), copied.folder))
    assert f"{root}: not the data that the models were trained on" in caplog.text
    assert "taken as it is" not in caplog.text


def test_nothing_is_trained_for_those_who_only_use_the_models_and_they_are_told_what_has_changed(copied, caplog):
    grade = copied.config.grade.model_copy(update={"weight_decay": 0.01})
    other = Run(copied.config.model_copy(update={"grade": grade}), copied.competition, copied.folder)
    before = changed(copied.folder)
    expect_models(other.folder, "make cv")
    tell_changes(other)
    assert changed(copied.folder) == before
    assert "grade: taken as it is; changed since it was made: config" in caplog.text
    assert "detect: taken" not in caplog.text


def test_missing_models_are_named_with_the_command_that_makes_them(copied):
    remove_model(copied, "spinal_fold1")
    with pytest.raises(InputError, match=r"no spinal grader for fold 1; train it .*\(`make cv CONFIG=x`\)"):
        expect_models(copied.folder, "make cv CONFIG=x")
    shutil.rmtree(copied.models)
    with pytest.raises(InputError, match=r"there is no config\.json; train the run \(`make cv`\)"):
        expect_models(copied.folder, "make cv")


def test_a_run_of_an_earlier_version_is_named_as_such(copied):
    (copied.folder / "run.json").unlink()
    for use in (lambda: run_through(copied), lambda: expect_models(copied.folder, "make cv")):
        with pytest.raises(InputError, match=r"run: was made by an earlier lumbar.*mv .*run-old"):
            use()
    (copied.folder / "run.json").write_text('{"layout": 1, "version": "0.1.0"}')
    with pytest.raises(InputError, match="was made by an earlier lumbar"):
        run_through(copied)


def test_an_empty_folder_is_no_run_of_an_earlier_version(trained, tmp_path):
    (tmp_path / "run").mkdir()
    Run(trained.config, trained.competition, tmp_path / "run").enter()
    assert (tmp_path / "run" / "run.json").is_file()


# The data set's own folds


def test_a_variant_takes_the_fold_file_of_its_data_set(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    free = trained.config.model_copy(update={"name": "variant", "folds": FoldsConfig(count=2)})
    run = Run(free, trained.competition, tmp_path / "run")
    assert run.folds_file == Path("folds/variant.csv"), "where there is none, it gets one of its own"
    write_table(pd.DataFrame({"study_id": [1, 2], "fold": [0, 1]}), Path("folds/another.csv"))
    write_table(trained.folds, Path("folds/theirs.csv"))
    assert Run(free, trained.competition, tmp_path / "run").folds_file == Path("folds/theirs.csv")
    write_table(trained.folds, Path("folds/variant.csv"))
    assert Run(free, trained.competition, tmp_path / "run").folds_file == Path("folds/variant.csv")


def test_a_data_sets_own_folds_hold_whatever_the_config_would_have_made(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(trained.folds, Path("folds/theirs.csv"))
    free = trained.config.model_copy(update={"name": "variant", "folds": FoldsConfig(count=5)})
    run = Run(free, trained.competition, tmp_path / "run")
    run_through(run, last="folds")
    assert run.fold_numbers == [0, 1]
    assert not Path("folds/variant.csv").exists()


def test_models_of_an_unfinished_stage_are_refused_and_changed_settings_are_told(trained, tmp_path, caplog):
    run = replace(trained, folder=Path(shutil.copytree(trained.folder, tmp_path / "run")))
    expect_models(run.folder, "make cv")
    tell_changes(run)
    assert caplog.messages == []
    views = {**run.config.crop.views, "spinal": run.config.crop.views["spinal"].model_copy(update={"size": 128})}
    crop = run.config.crop.model_copy(update={"views": views})
    submit = run.config.submit.model_copy(update={"floor": 0.25})
    tell_changes(replace(run, config=run.config.model_copy(update={"crop": crop, "submit": submit})))
    assert caplog.messages == [
        "crop: taken as it is; changed since it was made: config",
        "submit: the models' config has other settings than the run's now, and holds until the next cv",
    ]
    (run.folder / "grade" / "stamp.json").unlink()
    with pytest.raises(InputError, match=r"grade: was begun and not finished; finish it first \(`make cv`\)"):
        expect_models(run.folder, "make cv")
