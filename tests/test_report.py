"""The report of a finished miniature run: whole, self-contained, and rendered by a browser without a complaint."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lumbar import cli
from lumbar.config import Config
from lumbar.data.competition import Competition
from lumbar.pipeline import score_run
from lumbar.report.collect import ReportError, collect
from lumbar.report.page import write_report
from lumbar.run.run import Run
from lumbar.workers.timeline import Ran, write_timeline

CONFIG = Path("configs/tiny.yaml")
CONFIGS = Path(__file__).parents[1] / "configs"
SECTIONS = ("score", "grades", "detection", "training", "cells", "studies")
ENTRIES = ("cv.json", "oof.csv", "detect", "crop", "predictions", "ensemble", "models")


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory) -> Path:
    """The report of a copy of the miniature run, with five studies."""
    copied = copy_of(trained, tmp_path_factory.mktemp("report"))
    return write_report(copied, CONFIG, studies=5)


def copy_of(run: Run, folder: Path, *left_out: str, **changes: object) -> Run:
    """The same run in another folder, without some of its entries and with some changes of its config."""
    shutil.copytree(run.folder, folder / "run", ignore=shutil.ignore_patterns("images", "labels", "training_*"))
    for name in left_out:
        path = folder / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Run(run.config.model_copy(update=changes), run.competition, folder / "run")


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the page's text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def having(self, css_class: str) -> list[dict[str, str | None]]:
        """The attributes of the elements of a class."""
        return [attributes for _, attributes in self.elements if css_class in (attributes.get("class") or "").split()]

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.words).split())


def test_the_report_has_every_section_and_says_what_the_run_scored(page, trained):
    read = Elements(page.read_text())
    ids = {attributes.get("id") for _, attributes in read.elements}
    assert set(SECTIONS) <= ids
    assert f"{pd.read_json(trained.folder / 'cv.json', typ='series')['score']:.4f}" in read.text
    assert len(read.having("panel")) == 1 + 4, "the heads, three groups and any severe canal"
    assert len(read.having("exhibit")) > 9
    assert "best possible" in read.text


def test_the_report_says_how_many_of_the_studies_it_shows(page):
    read = Elements(page.read_text())
    assert len(read.having("study")) == 5
    assert "5 of 8 studies" in read.text


def test_a_shown_study_has_its_series_its_levels_and_its_25_grades(page):
    html = page.read_text()
    study = html[html.index('<article class="study"') :].partition("</article>")[0]
    assert len(re.findall("<figure", study)) == 3 + 5
    for words in ("Sagittal T2/STIR: canal", "Sagittal T1: left foramina", "Sagittal T1: right foramina", "L5/S1"):
        assert words in study
    assert study.count('class="bar"') == 25


def test_nothing_on_the_page_is_loaded_from_elsewhere(page):
    loaded = [
        value
        for _, attributes in Elements(page.read_text()).elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
    ]
    assert loaded
    assert all(value.startswith(("data:image/", "#")) for value in loaded)
    assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttpRequest|<link", page.read_text())


def test_the_page_forbids_itself_the_network(page):
    policies = [
        attributes["content"]
        for tag, attributes in Elements(page.read_text()).elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:;")


def test_names_are_escaped(trained, tmp_path):
    run = copy_of(trained, tmp_path, "detect", name="<script>alert('x')</script>&amp;")
    html = write_report(run, CONFIG, studies=0).read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;" in html


def test_the_same_run_gives_the_same_page_to_the_byte(page, trained, tmp_path):
    again = write_report(copy_of(trained, tmp_path), CONFIG, studies=5)
    assert again.read_text().replace(str(tmp_path), str(page.parents[1])) == page.read_text()


@pytest.mark.parametrize(
    ("left_out", "command"),
    [
        ("cv.json", "make cv CONFIG=configs/tiny.yaml"),
        ("oof.csv", "make cv CONFIG=configs/tiny.yaml"),
        ("detect", "make detect CONFIG=configs/tiny.yaml"),
        ("models", "make grade CONFIG=configs/tiny.yaml"),
        ("crop", "make crop CONFIG=configs/tiny.yaml"),
    ],
)
def test_what_is_missing_is_known_with_the_command_that_makes_it(trained, tmp_path, left_out, command):
    before = {gap.what for gap in collect(trained, CONFIG).missing}
    new = [gap for gap in collect(copy_of(trained, tmp_path, left_out), CONFIG).missing if gap.what not in before]
    assert new
    there = f"{command} DATA={trained.competition.root}"
    assert all(gap.command == there and left_out in str(gap.path) for gap in new)


def test_the_comparison_that_is_missing_is_made_by_the_runs_own_config_and_the_demos_at_its_size(trained, monkeypatch):
    def told(run: Run, config: str) -> str:
        return next(gap.command for gap in collect(run, CONFIGS / config).missing if "systems" in gap.what)

    demo = replace(trained, config=trained.config.model_copy(update={"name": "demo"}))
    assert told(demo, "demo.yaml") == f"make compare CONFIG={CONFIGS / 'compare.yaml'} DATA={trained.competition.root}"
    assert told(trained, "gold.yaml").startswith(f"make compare CONFIG={CONFIGS / 'gold.yaml'} DATA=")
    monkeypatch.setattr("lumbar.report.collect.phantom_folder", lambda _: trained.competition.root)
    assert told(trained, "gold.yaml") == f"make compare CONFIG={CONFIGS / 'gold.yaml'}", "its own phantom is no DATA"


def test_a_comparison_of_a_phantoms_config_on_other_data_is_not_looked_for_where_it_does_not_lie(trained, tmp_path):
    said = Config.model_validate(trained.config.model_dump(mode="json") | {"name": trained.folder.name})
    assert all("systems" not in gap.what for gap in collect(replace(trained, config=said), CONFIG).missing)
    folder = tmp_path / trained.competition.root.name
    shutil.copytree(trained.folder, folder, ignore=shutil.ignore_patterns("cv.json", "images", "labels"))
    told = {gap.command for gap in collect(replace(trained, config=said, folder=folder), CONFIG).missing}
    assert told == {f"make compare CONFIG={CONFIG} DATA={trained.competition.root}"}


def test_a_page_of_a_run_that_has_only_detected_says_what_it_lacks(trained, tmp_path):
    run = copy_of(trained, tmp_path, "cv.json", "oof.csv", "models", "crop")
    read = Elements(write_report(run, CONFIG, studies=2).read_text())
    for lack in ("no score yet", "graded nothing yet", "no trained graders yet", "no cells to look at yet"):
        assert f"This run has {lack}." in read.text
    assert "make grade CONFIG=configs/tiny.yaml" in read.text
    assert "within 8 mm in patient space" in read.text


def test_when_each_job_ran_is_shown_where_workers_ran_them_and_how_long_stages_took_elsewhere(trained, tmp_path):
    run = copy_of(trained, tmp_path, "models", "crop")
    alone = Elements(write_report(run, CONFIG, studies=2).read_text()).text
    assert "When each job ran" not in alone and "all stages, when they last ran" in alone
    write_timeline([Ran(job="crop", worker=0, began=0.0, ended=60.0)], run.folder / "jobs")
    by_jobs = Elements(write_report(run, CONFIG, studies=2).read_text()).text
    assert "When each job ran" in by_jobs and "all stages, when they last ran" not in by_jobs


def test_a_run_without_any_result_is_refused(trained, tmp_path):
    with pytest.raises(ReportError, match=r"there is no finished stage to report of; `make .* runs them"):
        write_report(copy_of(trained, tmp_path, *ENTRIES), CONFIG, studies=2)


def test_a_file_that_is_not_json_is_named(trained, tmp_path):
    run = copy_of(trained, tmp_path)
    (run.folder / "cv.json").write_text("{")
    with pytest.raises(ReportError, match=r"cv\.json: not JSON"):
        collect(run, CONFIG)


def test_the_command_says_which_run_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lonely.yaml").write_text("seed: 1\n")
    result = CliRunner().invoke(cli.app, ["report", "--config", "lonely.yaml"])
    assert isinstance(result.exception, FileNotFoundError)
    assert str(result.exception) == "runs/lonely: there is no such run; `make cv CONFIG=lonely.yaml` makes it"
    Path("runs/lonely").mkdir(parents=True)
    result = CliRunner().invoke(cli.app, ["report", "--config", "lonely.yaml"])
    assert re.search(r"^data/phantom-\w+: the phantom is gone", str(result.exception))
    assert not Path("data").exists(), "a phantom takes a minute to write, and a report only reads"


def test_labels_of_one_condition_alone_still_make_a_report(trained, competition, tmp_path):
    root = tmp_path / "partial"
    shutil.copytree(competition.root, root, ignore=shutil.ignore_patterns("test_images", "oracle.csv"))
    labels = pd.read_csv(root / "train.csv", dtype=str)
    labels.loc[:, [column for column in labels if "spinal" not in column and column != "study_id"]] = None
    labels.to_csv(root / "train.csv", index=False)
    partial = Run(trained.config, Competition(root), copy_of(trained, tmp_path).folder)
    score_run(partial)
    read = Elements(write_report(partial, CONFIG, studies=1).read_text())
    assert len(read.having("panel")) == 1 + 2, "the heads, the canal and any severe canal"
    assert "the score is the mean of the others" in read.text
    assert "best possible" not in read.text
    assert "no label" in read.text


def test_a_comparison_and_an_ensemble_are_shown_where_they_are_there(trained, tmp_path):
    run = copy_of(trained, tmp_path, "detect")
    (run.folder / "compare.json").write_text('[{"system": "cnn_lstm", "title": "A & B", "score": 0.81234}]')
    (run.folder / "ensemble" / "report.json").write_text('{"weights": {"spinal": {"net <1>": 0.625}}}')
    html = write_report(run, CONFIG, studies=0).read_text()
    assert "A &amp; B" in html
    assert "0.8123" in html
    assert "net &lt;1&gt;" in html
    assert {"ensemble", "systems"} <= {attributes.get("id") for _, attributes in Elements(html).elements}
    assert "make compare" not in html


# -- in a browser

CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=3000",
]
NARROWEST = 500
"""Pixels: headless Chromium has no narrower window."""


@pytest.fixture(scope="session")
def chromium() -> None:
    """Debian's browser; without it a test is skipped, but on CI that is an error."""
    if shutil.which("chromium"):
        return
    if os.environ.get("CI", "").lower() == "true":
        raise RuntimeError("there is no chromium, and on CI the report must be opened: apt-get install chromium")
    pytest.skip("there is no chromium to open the report with")


def browse(page: Path, folder: Path, *options: str) -> tuple[str, list[str]]:
    """The page as a browser understands it after its scripts have run, and what they wrote to the console."""
    command = [*CHROMIUM, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
    return finished.stdout, [line for line in finished.stderr.splitlines() if ":CONSOLE" in line]


def test_a_browser_shows_the_report_without_a_complaint(page, chromium, tmp_path):
    html, console = browse(page, tmp_path, "--dump-dom")
    assert console == []
    read = Elements(html)
    shown = [study for study in read.having("study") if "hidden" not in study]
    assert len(shown) == 1, "the script shows one study at a time"
    assert sum("aria-current" in attributes for _, attributes in read.elements) == 1


def test_a_link_to_a_study_opens_it(page, chromium, tmp_path):
    last = Elements(page.read_text()).having("study")[-1]["id"]
    linked = tmp_path / "linked.html"
    linked.write_text(page.read_text().replace("<script>", f"<script>location.hash = '{last}';</script><script>"))
    html, console = browse(linked, tmp_path, "--dump-dom")
    assert console == []
    assert [study["id"] for study in Elements(html).having("study") if "hidden" not in study] == [last]


def test_the_browser_would_tell_of_a_broken_script_and_of_a_loaded_file(page, chromium, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace("<script>", '<img src="https://localhost/x.png"><script>nothing();'))
    _, console = browse(broken, tmp_path, "--dump-dom")
    assert any("nothing is not defined" in line for line in console)
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.parametrize(("scheme", "lightness"), [(1, "light"), (0, "dark")])
def test_the_page_is_drawn_in_the_theme_that_the_system_has(page, chromium, tmp_path, scheme, lightness):
    picture = tmp_path / "page.png"
    size = "--window-size=1200,1600"
    browse(page, tmp_path, f"--screenshot={picture}", size, f"--blink-settings=preferredColorScheme={scheme}")
    pixels = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert pixels.shape == (1600, 1200)
    paper = float(np.median(pixels))
    assert paper > 240 if lightness == "light" else paper < 40
    assert np.mean(np.abs(pixels - paper) > 60) > 0.01, "something is drawn on it"


def test_a_narrow_screen_scrolls_only_down(page, chromium, tmp_path):
    measured = tmp_path / "measured.html"
    script = "<script>document.title = document.documentElement.scrollWidth;</script></body>"
    measured.write_text(page.read_text().replace("</body>", script))
    html, _ = browse(measured, tmp_path, "--dump-dom", f"--window-size={NARROWEST},900")
    assert f"<title>{NARROWEST}</title>" in html
