"""The whole pipeline in miniature, from a phantom's DICOM files to a submission, as a newcomer runs it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import REPOSITORY
from lumbar.config import Config, ConfigError, merge
from lumbar.crop.crops import open_crops
from lumbar.data.competition import Competition
from lumbar.data.tables import TableError
from lumbar.errors import InputError
from lumbar.grade.graders import TEXTURE
from lumbar.grade.stage import start_grader, with_grades
from lumbar.kaggle.bundle import build_bundle
from lumbar.labels import GRADES, GROUPS
from lumbar.phantom import write_phantom
from lumbar.pipeline import format_table, run_through, score_run
from lumbar.run.checkpoint import read_card
from lumbar.run.run import Run
from lumbar.submit.stage import predict_submission
from miniature import dated


def submit(trained: Run, competition: Competition, folder: Path) -> tuple[pd.DataFrame, dict]:
    report = predict_submission(trained.models, competition, folder / "work", folder / "submission.csv")
    return pd.read_csv(folder / "submission.csv"), report


def test_cross_validation_leaves_every_figure_of_the_table(trained):
    result = json.loads((trained.folder / "cv.json").read_text())
    figures = ("score", "spinal", "foraminal", "subarticular", "any_severe_spinal", "excess")
    assert all(np.isfinite(result[name]) for name in figures)
    assert set(result["folds"]) == {"0", "1"}
    assert result["ci95"][0] < result["score"] < result["ci95"][1]
    assert result["oracle"]["score"] < result["prior"]["score"]
    assert set(result["seconds"]) == {"detect", "crop", "grade", "ensemble"}


def test_every_study_is_predicted_by_the_fold_that_has_not_seen_it(trained):
    folds = trained.folds.set_index("study_id")["fold"]
    points = pd.read_csv(trained.folder / "detect" / "points.csv")
    assert len(points) > 0
    assert (points["fold"] == points["study_id"].map(folds)).all()
    for path in (trained.folder / "predictions").glob("*/oof.csv"):
        predictions = pd.read_csv(path)
        studies = predictions["row_id"].str.partition("_")[0].astype("int64")
        assert (predictions["fold"] == studies.map(folds)).all(), path


def test_a_second_run_with_nothing_changed_trains_nothing(trained):
    before = dated(trained.models, "*")
    run_through(Run(trained.config, trained.competition, trained.folder))
    assert dated(trained.models, "*") == before


def test_a_finished_training_leaves_nothing_to_resume_from(trained):
    assert [path.name for path in (trained.folder / "grade").iterdir()] == ["stamp.json"]


def test_another_schedule_trains_the_graders_again_and_keeps_the_detectors(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    config = trained.config.model_copy(update={"grade": trained.config.grade.model_copy(update={"weight_decay": 0.01})})
    run_through(Run(config, trained.competition, folder))
    same = {
        path.name: path.read_bytes() == (folder / "models" / path.name).read_bytes()
        for path in trained.models.glob("*.safetensors")
    }
    assert all(kept == name.startswith("detector") for name, kept in same.items())


def test_several_graders_of_a_group_differ_by_their_seed_and_their_mean_is_submitted(trained, competition, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    config = trained.config.model_copy(update={"grade": trained.config.grade.model_copy(update={"seeds": 2})})
    run = Run(config, trained.competition, folder)
    run_through(run)
    first, second = (pd.read_csv(folder / "predictions" / name / "oof.csv") for name in ("spinal", "spinal_1"))
    mean = pd.read_csv(folder / "ensemble" / "oof.csv").set_index("row_id").loc[first["row_id"], list(GRADES)]
    assert not np.allclose(first[list(GRADES)], second[list(GRADES)])
    np.testing.assert_allclose(mean, (first[list(GRADES)] + second[list(GRADES)]) / 2)
    assert (folder / "models" / "spinal_1_fold1.safetensors").is_file()
    submit(run, competition, tmp_path)
    run_through(Run(trained.config, trained.competition, folder))
    assert not list((folder / "models").glob("*_1_fold*")), "the graders of an earlier config must not be submitted"


def test_a_grader_without_a_net_is_fitted_bundled_and_submitted_beside_the_nets(trained, competition, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    nets = {group: {"views": group} for group in GROUPS}
    texture = {"views": "foraminal", "backbone": TEXTURE, "turns": [0]}
    values = trained.config.model_dump(mode="json")
    config = Config.model_validate(merge(values, {"graders": nets | {"foraminal_texture": texture}}))
    run = Run(config, trained.competition, folder)
    run_through(run)
    for path in trained.models.glob("*.safetensors"):
        assert (run.models / path.name).read_bytes() == path.read_bytes(), "a net is not trained again for it"
    asked = pd.read_csv(folder / "predictions" / "foraminal_texture" / "oof.csv")
    alone = pd.read_csv(folder / "predictions" / "foraminal" / "oof.csv").set_index("row_id").loc[asked["row_id"]]
    assert not np.allclose(asked[list(GRADES)], alone[list(GRADES)])

    build_bundle(run.models, tmp_path / "bundle", REPOSITORY, "somebody", third_party=False)
    assert (tmp_path / "bundle" / "models" / "foraminal_texture_fold1.safetensors").is_file()
    before, told = submit(trained, competition, tmp_path / "nets")
    after, telling = submit(run, competition, tmp_path / "with_texture")
    assert telling["problems"] == told["problems"]
    foraminal = after["row_id"].str.contains("foraminal")
    assert not np.allclose(before.loc[foraminal, list(GRADES)], after.loc[foraminal, list(GRADES)])
    pd.testing.assert_frame_equal(before[~foraminal], after[~foraminal])


def test_the_submission_has_exactly_the_rows_asked_for(trained, competition, tmp_path):
    table, report = submit(trained, competition, tmp_path)
    assert table["row_id"].tolist() == competition.sample_submission["row_id"].tolist()
    assert list(table.columns) == ["row_id", *GRADES]
    assert np.allclose(table[list(GRADES)].sum(axis=1), 1, atol=1e-12)
    assert table[list(GRADES)].min().min() >= trained.config.submit.floor * 0.99
    assert report["studies"] == table["row_id"].str.partition("_")[0].nunique()
    assert report["rows"] == len(table)


def test_broken_studies_still_get_every_row_and_the_report_says_why(trained, competition, tmp_path):
    root = tmp_path / "broken"
    shutil.copytree(competition.root, root)
    series = competition.series("test")
    no_sagittal, empty, truncated, vanished = sorted(series["study_id"].unique())
    images = root / "test_images"
    for row in series[(series["study_id"] == no_sagittal)].itertuples():
        if row.series_description.startswith("Sagittal"):
            shutil.rmtree(images / str(no_sagittal) / str(row.series_id))
    for folder in (images / str(empty)).iterdir():
        for path in folder.iterdir():
            path.unlink()
    damaged = sorted((images / str(truncated)).glob("*/*.dcm"))[0]
    damaged.write_bytes(damaged.read_bytes()[:600])
    shutil.rmtree(images / str(vanished))

    table, report = submit(trained, Competition(root), tmp_path)
    assert table["row_id"].tolist() == competition.sample_submission["row_id"].tolist()
    told = {
        study_id: " | ".join(one["message"] for one in report["problems"] if one["study_id"] == study_id)
        for study_id in (no_sagittal, empty, truncated, vanished)
    }
    assert "does not exist" in told[no_sagittal]
    assert "no DICOM file" in told[empty]
    assert damaged.name in told[truncated]
    assert "does not exist" in told[vanished]
    fell_back = {int(row.partition("_")[0]) for row in report["fallback"]}
    assert {no_sagittal, empty, vanished} <= fell_back


def test_a_broken_neighbour_changes_nothing_for_an_intact_study(trained, competition, tmp_path):
    intact, _ = submit(trained, competition, tmp_path / "intact")
    root = tmp_path / "broken"
    shutil.copytree(competition.root, root)
    broken = int(competition.series("test")["study_id"].iloc[0])
    shutil.rmtree(root / "test_images" / str(broken))
    table, _ = submit(trained, Competition(root), tmp_path / "with_broken")
    others = ~intact["row_id"].str.startswith(f"{broken}_")
    pd.testing.assert_frame_equal(intact[others], table[others])


def test_a_data_set_that_the_fold_file_does_not_know_is_refused(trained, tmp_path):
    other = tmp_path / "other"
    write_phantom(other, studies=2, seed=99, max_size=128, jobs=1)
    with pytest.raises(TableError, match=r"folds\.csv: 2 of the data set's 2 studies are not in it"):
        run_through(Run(trained.config, Competition(other), tmp_path / "run"))


def test_training_labels_without_one_condition_leave_the_score_partial(trained, competition, tmp_path):
    root = tmp_path / "partial"
    shutil.copytree(competition.root, root, ignore=shutil.ignore_patterns("test_images"))
    labels = pd.read_csv(root / "train.csv", dtype=str)
    labels.loc[:, [column for column in labels if "foraminal" in column]] = None
    labels.to_csv(root / "train.csv", index=False)
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    partial = Run(trained.config, Competition(root), folder)
    run_through(partial)
    result = score_run(partial)
    assert result["foraminal"] is None
    assert result["partial"]
    present = [result[name] for name in ("spinal", "subarticular", "any_severe_spinal")]
    assert result["score"] == pytest.approx(np.mean(present))


def test_a_grader_sees_no_crop_and_no_label_of_its_fold(trained):
    labels = trained.competition.labels
    for fold in trained.fold_numbers:
        own = trained.studies_of(fold)
        assert len(trained.config.members) == 3
        for name, member in trained.config.members.items():
            index = with_grades(trained, open_crops(trained.folder / "crop", member.config.views[0])).index
            seen = index[~index["study_id"].isin(own) & index["grade"].notna()]
            card = read_card(trained.models / f"{name}_fold{fold}")
            assert (card.details["crops"], card.training_studies) == (len(seen), seen["study_id"].nunique())
        flipped = labels.assign(grade=labels["grade"].where(~labels["study_id"].isin(own), 2 - labels["grade"]))
        relabelled = SimpleNamespace(labels=flipped, study_ids=trained.competition.study_ids)
        runs = (trained, Run(trained.config, relabelled, trained.folder))
        first, second = (start_grader(run, run.config.members["spinal"], fold, seed=0).state_dict() for run in runs)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_detector_is_trained_without_its_fold(trained):
    annotated = set(trained.competition.coordinates["study_id"])
    for fold in trained.fold_numbers:
        card = read_card(trained.models / f"detector_fold{fold}")
        assert card.training_studies == len(annotated - set(trained.studies_of(fold)))


@pytest.mark.parametrize("section", ["detect", "grade"])
def test_weights_that_are_not_there_are_named_before_anything_is_read(trained, tmp_path, section):
    settings = getattr(trained.config, section).model_copy(update={"weights": tmp_path / "none.safetensors"})
    run = replace(trained, config=trained.config.model_copy(update={section: settings}), folder=tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"{section}.weights: there is no .*none.safetensors \(make weights NAME="):
        run_through(run)
    assert not run.folder.exists()


def test_images_that_cannot_be_looked_at_are_as_good_as_none(trained, tmp_path, forbid):
    forbid(trained.competition.root / "train_images")
    with pytest.raises(InputError, match=r"train_images: has no image of the \d+ studies of train.csv"):
        run_through(replace(trained, folder=tmp_path / "run"))


def test_a_data_set_without_images_is_refused_before_anything_is_read(trained, tmp_path):
    root = Path(shutil.copytree(trained.competition.root, tmp_path / "data", ignore=shutil.ignore_patterns("*_images")))
    run = replace(trained, competition=Competition(root), folder=tmp_path / "run")
    with pytest.raises(InputError, match=r"train_images: has no image of the \d+ studies of train.csv"):
        run_through(run)
    assert not run.folder.exists()


def test_the_table_says_why_a_method_that_leads_is_not_used(trained):
    result = score_run(trained)
    for method, told in (("mean", True), ("stacker", False)):
        table = format_table(result | {"ensemble": result["ensemble"] | {"method": method}, "studies": 100})
        assert ("(of 100 studies a lead over the mean counts beyond 2.0 standard errors)" in table) == told
