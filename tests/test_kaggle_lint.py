"""What is pushed to Kaggle is checked at home first, in sentences, and pushed by Kaggle's own command only."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lumbar.cli import app
from lumbar.kaggle import COMPETITION
from lumbar.kaggle.kernels import write_inference_kernel, write_training_kernel
from lumbar.kaggle.lint import lint_submission, slugify
from lumbar.kaggle.manifest import BUNDLE, METADATA, write_manifest
from lumbar.kaggle.push import Push, PushError, lines_by_hand, run_push
from lumbar.kaggle.wheels import NOT_ON_KAGGLE, pinned_packages
from lumbar.run.run import Selection

REPOSITORY = Path(__file__).parents[1]
KERNEL = Path("kernels/inference/kernel-metadata.json")


@pytest.fixture
def submission(bundle, tmp_path) -> Path:
    """What `make bundle OWNER=somebody` writes, with empty files for the wheels that it would download."""
    folder = tmp_path / "submission"
    shutil.copytree(bundle, folder / "bundle")
    for line in pinned_packages(REPOSITORY / "requirements.txt", NOT_ON_KAGGLE):
        name, _, version = line.partition("==")
        (folder / "bundle" / "wheels" / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").touch()
    write_manifest(folder / "bundle", BUNDLE)
    write_inference_kernel(REPOSITORY, folder / "kernels" / "inference", "somebody")
    return folder


def change(path: Path, **entries) -> None:
    """Changes entries of a JSON file; an entry that is None is left out."""
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_what_is_packed_is_fit_to_be_pushed(submission):
    assert lint_submission(submission, REPOSITORY) == []


def test_nothing_packed_is_a_complaint(tmp_path):
    assert lint_submission(tmp_path, REPOSITORY) == [
        f"{tmp_path}: there is no kernel to push; make bundle OWNER=<your user name> writes it"
    ]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"id": "OWNER/lumbar-inference"}, "make it again with OWNER=<your user name>"),
        ({"id": "lumbar-inference"}, "write owner/slug"),
        ({"id": "Jane Doe/lumbar-inference"}, "owner 'Jane Doe' is no Kaggle user name; write the one in the address"),
        ({"id": "somebody/Lumbar_Inference"}, "small letters, digits and dashes"),
        ({"id": "somebody/lumbar-inference/3"}, "write owner/slug"),
        ({"title": "lumb"}, "write one of 5 to 50 characters"),
        ({"title": "lumbar " * 9}, "write one of 5 to 50 characters"),
        ({"title": "Lumbar spines"}, "becomes 'lumbar-spines' on Kaggle, the id says 'lumbar-inference'"),
        ({"enable_internet": None}, "enable_internet is None; write false: the competition forbids it, and it is on"),
        ({"enable_internet": True}, "enable_internet is True; write false"),
        ({"enable_internet": "no"}, "enable_internet is 'no'; write false"),
        ({"enable_gpu": "false"}, "enable_gpu is 'false'; write true"),
        ({"is_private": False}, "shared with the other teams"),
        ({"machine_shape": "NvidiaTeslaP100"}, "machine_shape is 'NvidiaTeslaP100'; choose one of"),
        ({"language": "julia"}, "language is 'julia'; write 'python'"),
        ({"kernel_type": "notebook"}, "kernel_type is 'notebook'; write 'script'"),
        ({"code_file": "other.py"}, "code_file is 'other.py', and there is no such file beside it"),
        ({"competition_sources": [f"c/{COMPETITION}"]}, f"write ['{COMPETITION}']"),
        ({"dataset_sources": ["lumbar-bundle"]}, "dataset_sources holds 'lumbar-bundle'; write it as owner/slug"),
        ({"dataset_sources": ["OWNER/lumbar-bundle"]}, "dataset_sources holds 'OWNER/lumbar-bundle'; make it again"),
        ({"dataset_sources": []}, "dataset_sources lacks 'somebody/lumbar-bundle'"),
        ({"dataset_sources": "somebody/lumbar-bundle"}, "write a list"),
        ({"kernel_sources": ["me/slug"]}, "the slug of at least 5 characters"),
        ({"kernel_sources": ["somebody/lumbar-inference"]}, "holds the kernel itself"),
        ({"model_sources": ["me/net/pytorch/base/latest"]}, "owner/model/framework/variation/version"),
    ],
)
def test_a_kernel_that_kaggle_would_refuse_or_change_is_named(submission, entries, words):
    change(submission / KERNEL, **entries)
    complaints = lint_submission(submission, REPOSITORY)
    assert any(words in complaint for complaint in complaints), complaints
    assert all(str(submission / KERNEL) in complaint for complaint in complaints)


@pytest.mark.parametrize("switch", [False, "false", "False"])
def test_a_switch_may_be_a_word_as_the_kaggle_command_takes_it(submission, switch):
    change(submission / KERNEL, enable_internet=switch)
    assert lint_submission(submission, REPOSITORY) == []


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"title": "lumba"}, "write one of 6 to 50 characters"),
        ({"id": "somebody/lumba"}, "the slug of 6 to 50"),
        ({"licenses": []}, "name exactly one"),
        ({"licenses": [{"name": "other"}, {"name": "CC0-1.0"}]}, "name exactly one"),
        ({"licenses": [{"name": "MIT"}]}, "the names that Kaggle knows are"),
        ({"subtitle": "short"}, "subtitle has 5 characters"),
    ],
)
def test_a_data_set_that_kaggle_would_refuse_is_named(submission, entries, words):
    change(submission / "bundle" / METADATA, **entries)
    assert any(words in complaint for complaint in lint_submission(submission, REPOSITORY))


def add_archive(bundle: Path) -> None:
    (bundle / "models" / "more.zip").write_bytes(b"PK")


def add_pickle(bundle: Path) -> None:
    (bundle / "models" / "detector.pt").write_bytes(b"pickle")


def make_foreign_wheel(bundle: Path) -> None:
    wheel = next((bundle / "wheels").glob("pylibjpeg_rle-*"))
    wheel.rename(wheel.with_name(wheel.name.replace("py3-none-any", "cp311-cp311-manylinux_2_28_x86_64")))


def make_other_version(bundle: Path) -> None:
    wheel = next((bundle / "wheels").glob("ultralytics_thop-*"))
    wheel.rename(wheel.with_name("ultralytics_thop-0.0.1-py3-none-any.whl"))


def remove_own_wheel(bundle: Path) -> None:
    next((bundle / "wheels").glob("lumbar-*")).unlink()


def remove_a_folds_grader(bundle: Path) -> None:
    for path in (bundle / "models").glob("spinal_fold1.*"):
        path.unlink()


def swap_labels(bundle: Path) -> None:
    change(bundle / "models" / "spinal_fold1.json", classes=["severe", "moderate", "normal_mild"])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (add_archive, "more.zip: Kaggle unpacks archives"),
        (add_pickle, "detector.pt: a bundle holds .csv, .json, .safetensors, .whl, .yaml and nothing else"),
        (make_foreign_wheel, "does not install on Kaggle's Python 3.12"),
        (make_other_version, "the wheel of ultralytics-thop is of 0.0.1, it should be ultralytics-thop=="),
        (remove_own_wheel, "Kaggle lacks lumbar, and its wheel is not there"),
        (remove_a_folds_grader, "no spinal grader for fold 1; train it"),
        (swap_labels, "spinal_fold1.json: expected a grader of normal_mild, moderate, severe"),
    ],
)
def test_a_bundle_that_would_fail_on_kaggle_is_named(submission, damage: Callable[[Path], None], words):
    damage(submission / "bundle")
    write_manifest(submission / "bundle", BUNDLE)
    assert any(words in complaint for complaint in lint_submission(submission, REPOSITORY))


def test_all_complaints_are_told_at_once(submission):
    change(submission / KERNEL, enable_internet=True, title="x")
    (submission / "bundle" / "models" / "prior.csv").unlink()
    complaints = lint_submission(submission, REPOSITORY)
    assert len(complaints) == 4, complaints  # the title has two: its length, and that it is not the id's


def test_metadata_that_is_none_is_named(submission):
    (submission / KERNEL).write_text("{")
    assert f"{submission / KERNEL}: is not there, or is not JSON; make it again" in lint_submission(
        submission, REPOSITORY
    )


def test_the_training_kernel_needs_its_data_set(tmp_path):
    write_training_kernel(REPOSITORY, tmp_path / "kernels" / "training", "somebody", Selection())
    assert lint_submission(tmp_path, REPOSITORY) == [
        f"{tmp_path / 'training'}: is not there, and training takes it as a data set; make bundle-training"
    ]


def test_an_inference_kernel_may_take_its_bundle_from_the_kernel_that_trained_it(tmp_path):
    write_inference_kernel(REPOSITORY, tmp_path / "kernels" / "inference", "me", ["me/lumbar-training-run1"])
    assert lint_submission(tmp_path, REPOSITORY) == []


def test_the_command_tells_every_complaint_and_fails(submission):
    change(submission / KERNEL, enable_internet=True, title="x")
    for command in ("lint", "push"):
        told = CliRunner().invoke(app, ["kaggle", command, "--folder", str(submission)])
        assert told.exit_code == 1
        assert "enable_internet is True; write false" in told.output
        assert "title is 'x'; write one of 5 to 50 characters" in told.output


def test_a_dry_run_prints_the_lines_and_runs_nothing(submission, kaggle, tmp_path):
    kaggle()
    told = CliRunner().invoke(app, ["kaggle", "push", "--dry-run", "--folder", str(submission)])
    assert told.exit_code == 0
    assert told.output.splitlines() == lines_by_hand(Push(submission, "inference"))
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize(("title", "slug"), [("Lumbar  spine, 2nd run!", "lumbar-spine-2nd-run"), ("a--b", "a-b")])
def test_a_slug_is_the_title_in_small_letters_and_dashes(title, slug):
    assert slugify(title) == slug


ANSWERS = {
    "datasets create": "Your private Dataset is being created. Please check progress at https://x",
    "datasets version": "Dataset version is being created. Please check progress at https://x",
    "datasets status": "ready",
    "kernels push": "Kernel version 7 successfully pushed.  Please check progress at https://x",
}


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Callable[..., Callable[[], list[str]]]:
    """Puts a `kaggle` on the path that answers as it is told, and returns the lines that it was called with."""

    def install(**changes: str) -> Callable[[], list[str]]:
        answers = ANSWERS | {name.replace("_", " "): answer for name, answer in changes.items()}
        cases = "\n".join(f'"{name}") {_shell(answer)} ;;' for name, answer in answers.items())
        script = f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\ncase "$1 $2" in\n{cases}\nesac\n'
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "kaggle").write_text(script)
        (tmp_path / "bin" / "kaggle").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        return lambda: (tmp_path / "calls").read_text().splitlines()

    return install


def _shell(answer: str) -> str:
    """An answer that starts with `!` goes with status 1; `a|b` is `a` at the first call and `b` from then on."""
    first, _, later = answer.partition("|")
    status = "; exit 1" if first.startswith("!") else ""
    if later:
        return (
            f'if [ $(grep -c "$1 $2" "$(dirname "$0")/../calls") = 1 ]; then {_shell(first)}; else {_shell(later)}; fi'
        )
    return f"echo '{first.lstrip('!')}'{status}"


def test_a_first_push_creates_the_data_set_waits_for_it_and_pushes_the_kernel(submission, kaggle):
    calls = kaggle(datasets_status="!404 Client Error: Not Found for url|ready")
    left = run_push(Push(submission, "inference"), poll_seconds=0)
    assert calls() == [
        "datasets status somebody/lumbar-bundle",
        f"datasets create -p {submission / 'bundle'} -r zip",
        "datasets status somebody/lumbar-bundle",
        f"kernels push -p {submission / 'kernels' / 'inference'}",
    ]
    assert left[-1].startswith(
        f"kaggle competitions submit {COMPETITION} -f submission.csv -k somebody/lumbar-inference -v 7 -m 'lumbar "
    )


def test_a_later_push_adds_a_version_and_one_without_data_only_the_kernel(submission, kaggle):
    calls = kaggle()
    run_push(Push(submission, "inference"), poll_seconds=0)
    assert calls()[1].startswith(f"datasets version -p {submission / 'bundle'} -r zip -m lumbar ")
    run_push(Push(submission, "inference", with_data=False), poll_seconds=0)
    assert calls()[4:] == [f"kernels push -p {submission / 'kernels' / 'inference'}"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"datasets_status": "!401 Client Error: Unauthorized"}, "is somebody signed in"),
        ({"datasets_version": "Dataset version creation error: no space"}, "did not succeed: .*no space"),
        ({"datasets_status": "ready|failed"}, "somebody/lumbar-bundle is not ready: failed"),
        ({"kernels_push": "Kernel push error: Notebook not found"}, "did not succeed: .*Notebook not found"),
        (
            {"kernels_push": "The following are not valid dataset sources: x; Kernel version 2 successfully pushed"},
            "not all that it needs is attached",
        ),
    ],
)
def test_a_refusal_that_kaggle_tells_in_passing_stops_the_push(submission, kaggle, answers, words):
    kaggle(**answers)
    with pytest.raises(PushError, match=words):
        run_push(Push(submission, "inference"), poll_seconds=0)


def test_without_the_kaggle_command_nothing_is_pushed(submission, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PushError, match=r"the kaggle command is not installed \(pip install kaggle\)"):
        run_push(Push(submission, "inference"))


def test_the_lines_by_hand_are_those_that_a_push_runs(submission):
    lines = lines_by_hand(Push(submission, "inference"))
    assert lines[0] == f"kaggle datasets create -p {submission / 'bundle'} -r zip  # the first time"
    assert lines[3] == f"kaggle kernels push -p {submission / 'kernels' / 'inference'}"
    assert (
        f"kaggle competitions submit {COMPETITION} -f submission.csv -k somebody/lumbar-inference -v VERSION"
        in lines[-1]
    )
