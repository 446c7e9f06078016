"""Bundles: what is packed, how it is found, and that nothing of a bundle that does not fit is ever loaded."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lumbar.config import Config, read_config
from lumbar.errors import InputError
from lumbar.kaggle import COMPETITION, PLACEHOLDER
from lumbar.kaggle.bundle import add_models, build_bundle, build_training_bundle, check_bundle, pack_config
from lumbar.kaggle.kernels import write_inference_kernel, write_training_kernel
from lumbar.kaggle.manifest import BUNDLE, BundleError, read_manifest, write_manifest
from lumbar.kaggle.mounts import find_bundle, find_competition, find_trained, find_training_bundle
from lumbar.run.run import Selection
from lumbar.submit.cards import find_gaps

REPOSITORY = Path(__file__).parents[1]
LAYOUTS = {
    "old": (COMPETITION, "lumbar-bundle", "lumbar-training-run1"),
    "new": (f"competitions/{COMPETITION}", "datasets/me/lumbar-bundle", "notebooks/me/lumbar-training-run1"),
}


@pytest.fixture
def copied(bundle, tmp_path) -> Path:
    """A copy of the bundle that may be damaged."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


def change(path: Path, **entries) -> None:
    """Changes entries of a JSON file; `config__x` is the entry x of `config`."""
    content = json.loads(path.read_text())
    for name, value in entries.items():
        *outer, last = name.split("__")
        part = content
        for key in outer:
            part = part[key]
        part[last] = value
    path.write_text(json.dumps(content))


def test_a_bundle_is_models_and_wheels_and_holds_no_pickle(bundle, trained):
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert names >= {f"models/{path.name}" for path in trained.models.iterdir()}
    assert {Path(name).suffix for name in names} <= {".json", ".csv", ".safetensors", ".whl"}
    assert set(read_manifest(bundle, BUNDLE).files) == names - {BUNDLE, "dataset-metadata.json"}
    check_bundle(bundle)
    assert list(find_gaps(bundle / "models")) == []


def test_what_an_interrupted_training_left_is_not_packed(trained, tmp_path):
    models = Path(shutil.copytree(trained.models, tmp_path / "models"))
    (models / ".spinal_fold0.safetensors.123").write_bytes(b"half")
    (models / ".prior.csv.123").write_text("half")
    add_models(models, tmp_path / "bundle")
    check_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("out", [Path("bundle"), Path("kernels") / "bundle"])
def test_a_bundle_never_takes_the_place_of_other_files(trained, tmp_path, out):
    precious = tmp_path / out / "precious.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    with pytest.raises(InputError, match="holds something else than a bundle"):
        build_bundle(trained.models, tmp_path / out, REPOSITORY, "somebody", third_party=False)
    assert precious.read_text() == "mine"


def test_a_bundle_that_could_not_be_packed_leaves_the_last_one_whole(copied, trained, tmp_path):
    with pytest.raises(InputError, match="is not the repository"):
        build_bundle(trained.models, copied, tmp_path, "somebody", third_party=False)
    check_bundle(copied)
    assert [path.name for path in tmp_path.iterdir()] == [copied.name]


def test_the_templates_of_the_kernels_are_never_written(tmp_path):
    shutil.copytree(REPOSITORY / "kernels", tmp_path / "kernels")
    with pytest.raises(InputError, match="is the kernel's template"):
        write_inference_kernel(tmp_path, tmp_path / "kernels" / "inference", "somebody")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_changed_byte_anywhere_is_noticed_and_named(copied, data):
    name = data.draw(st.sampled_from(sorted(read_manifest(copied, BUNDLE).files)))
    content = (copied / name).read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    (copied / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(BundleError, match=rf"{re.escape(name)}: its checksum is not the one in bundle\.json"):
        check_bundle(copied)
    (copied / name).write_bytes(content)


def test_every_damaged_file_is_named_at_once(copied):
    (copied / "models" / "prior.csv").unlink()
    (copied / "models" / "config.json").write_text("{}")
    (copied / "models" / "spinal_fold7.safetensors").write_bytes(b"stray")
    (copied / "stray.py").write_text("import os")
    with pytest.raises(BundleError) as caught:
        check_bundle(copied)
    complaints = sorted(line.rpartition("/")[2] for line in str(caught.value).splitlines())
    assert [complaint.partition(",")[0] for complaint in complaints] == [
        "config.json: its checksum is not the one in bundle.json",
        "prior.csv: the bundle lists this file",
        "spinal_fold7.safetensors: bundle.json does not list this file; remove it",
        "stray.py: bundle.json does not list this file; remove it",
    ]


@pytest.mark.parametrize(
    "name", ["../outside.csv", "/etc/hostname", "models/../../outside.csv", "a\\b", "models//x", "."]
)
def test_a_list_that_leads_out_of_the_bundle_is_refused(copied, name):
    (copied.parent / "outside.csv").write_text("secret")
    change(copied / BUNDLE, files={**read_manifest(copied, BUNDLE).files, name: "0" * 64})
    with pytest.raises(BundleError, match=r"bundle\.json: lists '.*', which is no path inside the bundle"):
        check_bundle(copied)


def test_a_bundle_of_another_version_is_refused(copied):
    change(copied / BUNDLE, version="0.0.1")
    with pytest.raises(BundleError, match=r"was made by lumbar 0\.0\.1, this is .*; make the bundle again"):
        check_bundle(copied)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"files": {}}', '{"files": {}, "version": "1", "commit": "x", "run": "y"}']
)
def test_a_list_that_is_none_is_refused(copied, content):
    (copied / BUNDLE).write_text(content)
    with pytest.raises(BundleError, match=r"bundle\.json: not a list of a bundle's files"):
        check_bundle(copied)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("detector_fold0", {"kind": "grader"}, r"detector_fold0\.json: expected a detector of .*; it is a grader"),
        (
            "spinal_fold0",
            {"classes": ["severe", "moderate", "normal_mild"]},
            r"spinal_fold0\.json: expected a grader of",
        ),
        ("spinal_fold0", {"fold": 1}, r"spinal_fold0\.json: is of fold 1, its name says 0"),
        ("spinal_fold1", {"config__group": "foraminal"}, r"spinal_fold1\.json: .*it grades foraminal"),
        ("spinal_fold1", {"config__grader__epochs": 0}, r"spinal_fold1\.json: its config is not that of a spinal"),
        ("detector_fold1", {"config__scale": "q"}, r"detector_fold1\.json: its config is not that of a detector"),
        ("detector_fold1", {"command": "rm"}, r"detector_fold1\.json: not a checkpoint's card"),
        ("config", {"folds": "two"}, r"config\.json: not a saved config of this version"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_by_name(copied, model, changes, message):
    change(copied / "models" / f"{model}.json", **changes)
    write_manifest(copied, BUNDLE)
    with pytest.raises(BundleError, match=message):
        check_bundle(copied)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("spinal_fold0.json", r"spinal_fold0\.json: there is no card beside the weights"),
        ("spinal_fold0.safetensors", r"spinal_fold0\.safetensors: there is a card, and no weights beside it"),
    ],
)
def test_weights_and_card_only_go_together(copied, lost, message):
    (copied / "models" / lost).unlink()
    write_manifest(copied, BUNDLE)
    with pytest.raises(BundleError, match=message):
        check_bundle(copied)


def test_a_model_that_the_run_does_not_know_is_refused(copied):
    for path in (copied / "models").glob("spinal_fold0.*"):
        path.rename(path.with_name(path.name.replace("spinal", "knee")))
    write_manifest(copied, BUNDLE)
    with pytest.raises(BundleError, match="knee_fold0: is no model of this run; they are detector, spinal"):
        check_bundle(copied)


def test_a_fold_without_its_models_is_named(copied):
    for path in (copied / "models").glob("spinal_fold0.*"):
        path.unlink()
    assert [gap.partition(": ")[2] for gap in find_gaps(copied / "models")] == [
        "no spinal grader for fold 0; train it (make grade)"
    ]
    for path in (copied / "models").glob("detector_fold0.*"):
        path.unlink()
    assert "detectors for 1 folds, the config has 2" in next(find_gaps(copied / "models"))


@pytest.fixture
def config(trained, tmp_path):
    """The miniature's config, starting from weights of ours."""
    weights = tmp_path / "start.pt"
    torch.save({"model.0.conv.weight": torch.ones(4, 3, 3, 3)}, weights)
    detect = trained.config.detect.model_copy(update={"weights": weights})
    return trained.config.model_copy(update={"detect": detect})


def test_a_packed_config_holds_all_that_it_names(config, tmp_path):
    out = tmp_path / "training"
    pack_config(config, out)
    packed = read_config(out / "configs" / "tiny.yaml")
    assert packed.folds_file == Path("folds/tiny.csv")
    assert (out / packed.folds_file).read_bytes() == config.folds_file.read_bytes()
    assert packed.detect.weights == Path("weights/detect.safetensors")
    assert torch.equal(load_file(out / packed.detect.weights)["model.0.conv.weight"], torch.ones(4, 3, 3, 3))
    assert packed.model_copy(update={"folds": config.folds, "detect": config.detect}) == config


def test_suspect_labels_are_packed_with_the_config_that_names_them(config, tmp_path):
    suspects = tmp_path / "mine.csv"
    suspects.write_text("row_id\n")
    grade = config.grade.model_copy(update={"suspects": suspects})
    pack_config(config.model_copy(update={"grade": grade}), tmp_path / "training")
    packed = read_config(tmp_path / "training" / "configs" / "tiny.yaml").grade.suspects
    assert packed == Path("weights/grade_suspects.csv")
    assert (tmp_path / "training" / packed).read_bytes() == suspects.read_bytes()


def test_a_config_without_folds_is_not_packed(config, tmp_path):
    folds = config.folds.model_copy(update={"file": tmp_path / "none.csv"})
    with pytest.raises(InputError, match=r"none\.csv: is not there; name a fold file of the data set"):
        pack_config(config.model_copy(update={"folds": folds}), tmp_path / "out")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_inputs_are_found_in_both_layouts_without_reading_image_folders(tmp_path, layout):
    competition, bundle, kernel = (tmp_path / name for name in LAYOUTS[layout])
    decoy = competition / "train_images" / "1"
    for folder, names in {
        competition: ("sample_submission.csv", "test_series_descriptions.csv"),
        bundle: ("bundle.json",),
        bundle.with_name("lumbar-training-bundle"): ("training.json",),
        kernel: ("trained.json",),
        kernel.with_name("lumbar-training-run2"): ("trained.json",),
        decoy: ("bundle.json", "training.json", "trained.json"),
    }.items():
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch()
    assert find_competition(tmp_path) == competition
    assert find_bundle(tmp_path) == bundle
    assert find_training_bundle(tmp_path) == bundle.with_name("lumbar-training-bundle")
    assert find_trained(tmp_path) == [kernel, kernel.with_name("lumbar-training-run2")]


def test_an_input_that_cannot_be_listed_costs_no_other(tmp_path, forbid):
    (tmp_path / "input" / "broken").mkdir(parents=True)
    forbid(tmp_path / "input" / "broken")
    (tmp_path / "input" / "lumbar-bundle").mkdir()
    (tmp_path / "input" / "lumbar-bundle" / BUNDLE).touch()
    assert find_bundle(tmp_path / "input") == tmp_path / "input" / "lumbar-bundle"


def test_a_missing_input_is_an_error_that_says_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder with bundle\.json"):
        find_bundle(tmp_path)
    assert find_trained(tmp_path) == []


def test_a_kernel_is_written_beside_the_repository_with_the_owners_name(tmp_path):
    write_inference_kernel(REPOSITORY, tmp_path / "inference", "me")
    metadata = json.loads((tmp_path / "inference" / "kernel-metadata.json").read_text())
    template = REPOSITORY / "kernels" / "inference" / "inference.py"
    assert (metadata["id"], metadata["dataset_sources"]) == ("me/lumbar-inference", ["me/lumbar-bundle"])
    assert (tmp_path / "inference" / "inference.py").read_text() == template.read_text()


@pytest.mark.parametrize(
    "owner", ["Jane Doe", "JaneDoe", "jane_doe", "jane/doe", "@jane", "jané", "-jane", "jane-", ""]
)
def test_an_owner_that_is_no_kaggle_user_name_is_refused_before_anything_is_written(tmp_path, owner):
    config, out = Config(name="x"), tmp_path / "out"
    for pack in (
        lambda: build_bundle(tmp_path, out, REPOSITORY, owner, third_party=False),
        lambda: build_training_bundle(config, out, REPOSITORY, owner, third_party=False),
        lambda: write_inference_kernel(REPOSITORY, out, owner),
        lambda: write_training_kernel(REPOSITORY, out, owner, Selection()),
    ):
        with pytest.raises(InputError, match="is no Kaggle user name; write the one in the address of your profile"):
            pack()
    assert not out.exists()


@pytest.mark.parametrize("owner", ["jane", "jane-doe2", "2jane", PLACEHOLDER])
def test_a_kaggle_user_name_or_the_placeholder_for_one_is_taken(tmp_path, owner):
    write_inference_kernel(REPOSITORY, tmp_path / "inference", owner)
    assert f'"{owner}/lumbar-inference"' in (tmp_path / "inference" / "kernel-metadata.json").read_text()


def test_models_that_never_left_kaggle_are_taken_from_the_kernel_that_trained_them(tmp_path):
    write_inference_kernel(REPOSITORY, tmp_path / "inference", "me", ["me/lumbar-training-run2"])
    metadata = json.loads((tmp_path / "inference" / "kernel-metadata.json").read_text())
    assert metadata["dataset_sources"] == []
    assert metadata["kernel_sources"] == ["me/lumbar-training-run2"]


def test_each_part_and_run_of_the_training_is_a_kernel_that_goes_on_from_the_one_before(tmp_path):
    part, out = Selection(fold=3, group="spinal"), tmp_path / "training"
    assert write_training_kernel(REPOSITORY, out, "me", Selection()) == "me/lumbar-training-run1"
    assert "\nFOLD: int | None = None\n" in (out / "training.py").read_text()
    kernel = write_training_kernel(REPOSITORY, out, "me", part, 2, ["you/lumbar-training-fold1-run1"])
    metadata, script = json.loads((out / "kernel-metadata.json").read_text()), (out / "training.py").read_text()
    assert kernel == metadata["id"] == "me/lumbar-training-fold3-spinal-run2"
    assert metadata["title"] == "lumbar-training-fold3-spinal-run2"
    assert metadata["kernel_sources"] == ["me/lumbar-training-fold3-spinal-run1", "you/lumbar-training-fold1-run1"]
    assert "\nFOLD: int | None = 3\n" in script
    assert "\nGROUP: str | None = 'spinal'\n" in script


def test_the_kernel_and_its_check_of_the_bundle_do_without_torch(bundle):
    code = f"""
import sys, lumbar.kaggle.inference
from pathlib import Path
from lumbar.kaggle.bundle import check_bundle
check_bundle(Path({str(bundle)!r}))
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_both_kernels_start_in_the_same_way():
    starts = []
    for name in ("inference", "training"):
        script = (REPOSITORY / "kernels" / name / f"{name}.py").read_text()
        starts.append(script[script.index("def find(") : script.index("sys.path.insert(0, packages)")])
    assert starts[0] == starts[1]
