"""What a result is made from: code by what it means, data by what is there, and the config by what is read of it."""

import ast
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lumbar.detect.stage import points_made_from
from lumbar.detect.training import detectors_made_from
from lumbar.run import code
from lumbar.run.code import hash_code, imported_by
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, hash_listing


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources that hashes are taken from."""
    folder = tmp_path / "lumbar"
    shutil.copytree(code.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", folder)
    forget()
    yield folder
    forget()


def forget() -> None:
    """Sources are read once a process."""
    code._meaning_of.cache_clear()
    imported_by.cache_clear()


def comment_on(path: Path) -> None:
    """Adds a comment to a module, and a docstring where it may have one; changes nothing that it does."""
    source = path.read_text(encoding="utf-8")
    first = ast.parse(source).body[0]
    lines = source.splitlines(keepends=True)
    lines[first.end_lineno - 1] += "# a comment that says why\n"
    path.write_text("".join(lines) + '\n"""What the last line means."""\n', encoding="utf-8")


def test_a_comment_in_any_module_of_detect_changes_no_fingerprint(package, trained):
    before = detectors_made_from(trained), points_made_from(trained)
    for path in (package / "detect").glob("*.py"):
        comment_on(path)
    forget()
    assert (detectors_made_from(trained), points_made_from(trained)) == before


def test_other_code_that_finds_points_finds_them_again_and_trains_nothing(package, trained):
    detectors, points = detectors_made_from(trained), points_made_from(trained)
    path = package / "detect" / "anatomy.py"
    path.write_text(path.read_text().replace("SITE_RADIUS_MM = 9.0", "SITE_RADIUS_MM = 9.5"))
    forget()
    assert detectors_made_from(trained) == detectors
    assert points_made_from(trained).changes_from(points) == ["code"]


def test_other_code_that_reads_images_or_trains_trains_again(package, trained):
    for name, old, new in (
        ("mri/sampling.py", "cv2.INTER_LINEAR", "cv2.INTER_CUBIC"),
        ("detect/train.py", '"degrees": 8.0', '"degrees": 9.0'),
    ):
        before = detectors_made_from(trained)
        path = package / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        forget()
        assert detectors_made_from(trained).changes_from(before) == ["code"]


def test_what_draws_or_reports_or_holds_a_run_together_is_no_part_of_what_is_computed(package):
    before = hash_code("detect.stage")
    for name in ("report/points.py", "run/stamps.py", "config/grade.py", "records.py"):
        with (package / name).open("a") as file:
            file.write("\n\nADDED = 1\n")
    forget()
    assert hash_code("detect.stage") == before


def test_a_key_that_a_stage_does_not_read_changes_nothing_for_it(trained):
    detect = trained.config.detect.model_copy(update={"min_confidence": 0.5})
    other = Run(trained.config.model_copy(update={"detect": detect}), trained.competition, trained.folder)
    assert detectors_made_from(other) == detectors_made_from(trained), "a trained detector looks otherwise, that is all"
    assert points_made_from(other).changes_from(points_made_from(trained)) == ["config"]


def test_images_that_arrive_later_or_grow_are_noticed(trained, tmp_path):
    root = Path(shutil.copytree(trained.competition.root, tmp_path / "data"))
    run = replace(trained, competition=replace(trained.competition, root=root))
    before = run.data_fingerprint
    assert before == trained.data_fingerprint, "where the data lie changes nothing"
    image = next((root / "train_images").rglob("*.dcm"))
    for change in (lambda: shutil.copy(image, image.with_name("later.dcm")), lambda: image.write_bytes(b"half")):
        change()
        now = replace(run, competition=replace(run.competition, root=root)).data_fingerprint
        assert now != before
        before = now


def test_a_listing_is_of_names_and_sizes_and_a_folder_that_is_not_there_is_empty(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    empty = hash_listing(tmp_path / "none")
    assert hash_listing(tmp_path / "a") == empty
    (tmp_path / "a" / "b" / "1.dcm").write_bytes(b"12")
    listed = hash_listing(tmp_path / "a")
    (tmp_path / "a" / "b" / "1.dcm").write_bytes(b"34")
    assert hash_listing(tmp_path / "a") == listed != empty
    (tmp_path / "a" / ".DS_Store").write_text("left by a file manager")
    assert hash_listing(tmp_path / "a") == listed


def test_a_folder_that_cannot_be_listed_is_noticed_when_it_can_and_hides_no_other(tmp_path, forbid, monkeypatch):
    for name in ("1", "2"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "1.dcm").write_bytes(b"12")
    listed = hash_listing(tmp_path / "images")
    forbid(tmp_path / "images" / "1")
    refused = hash_listing(tmp_path / "images")
    assert refused != listed
    (tmp_path / "images" / "2" / "2.dcm").write_bytes(b"34")
    assert hash_listing(tmp_path / "images") not in (listed, refused)


def test_what_has_changed_is_named():
    before, now = fingerprint(code="a", data="b", seed=1), fingerprint(code="a", data="c", weights=None, seed=1)
    assert now.changes_from(before) == ["data", "weights"]
