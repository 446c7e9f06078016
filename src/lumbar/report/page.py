"""The page: what was found and drawn, set into one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lumbar.labels import LEVELS, level_title
from lumbar.metric import COMPONENTS
from lumbar.records import write_text
from lumbar.report.blend import describe_blend
from lumbar.report.collect import Findings, collect
from lumbar.report.detection import describe_detection
from lumbar.report.gallery import choose_cells, choose_studies, show_galleries
from lumbar.report.gradcam import Explainer
from lumbar.report.grades import GRADE_STYLES, grade_panels
from lumbar.report.score import loss_table, score_plot, score_rows, score_tiles
from lumbar.report.slices import Scans, as_uri
from lumbar.report.studies import show_studies
from lumbar.report.system_names import link_files
from lumbar.report.system_view import SystemView
from lumbar.report.systems import compare_systems, describe_system
from lumbar.report.training import training_charts
from lumbar.report.words import COMPONENT_TITLES, breakable, figure, grade_words, percent
from lumbar.run.run import Run

TIMELINE = Path("jobs") / "timeline.png"
"""What `lumbar cv --workers` and `--ray` leave in a run's folder."""


def write_report(run: Run, config_path: Path, studies: int) -> Path:
    """Writes `report.html` into the run's folder, with pages of at most so many studies, and returns its path.

    Only reads what the stages have left. Raises ReportError where they have left nothing.
    """
    findings = collect(run, config_path)
    path = run.folder / "report.html"
    write_text(set_page("report.html", describe(run, findings, studies)), path)
    return path


def set_page(template: str, context: dict[str, Any]) -> str:
    """The HTML of one of the `templates/`."""
    environment = Environment(
        loader=PackageLoader("lumbar.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"figure": figure, "percent": percent, "grade": grade_words, "breakable": breakable}
    environment.globals |= {"grade_styles": GRADE_STYLES, "levels": [level_title(level) for level in LEVELS]}
    return environment.get_template(template).render(context)


def describe(run: Run, findings: Findings, studies: int) -> dict[str, Any]:
    """Everything the template sets, section by section; a section without its data is None or empty."""
    errors, timeline = findings.errors, run.folder / TIMELINE
    return {
        "run": run,
        "findings": findings,
        "total": len(run.competition.study_ids),
        "has_oracle": run.competition.is_phantom,
        **_describe_score(run, findings),
        "losses": None if findings.cells is None else loss_table(findings.cells),
        "panels": None if findings.cells is None else grade_panels(findings.cells),
        "detection": None if errors is None or errors.empty else describe_detection(errors),
        "charts": training_charts(findings.cards),
        "timeline": as_uri(timeline.read_bytes(), "image/png") if timeline.is_file() else None,
        **_draw_cells(run, findings, studies),
        "blend": describe_blend(findings.blend) if findings.blend else None,
        "comparison": compare_systems(findings.compared) if findings.compared else None,
        "alone": describe_system(run.config.title, findings.alone, link_files(run.folder, run.folder))
        if findings.alone
        else None,
    }


def _describe_score(run: Run, findings: Findings) -> dict[str, Any]:
    if findings.result is None or findings.cells is None:
        return {"plot": None}
    return {
        "plot": score_plot(findings.result, findings.cells, run.scored_labels, run.config.seed),
        "tiles": score_tiles(findings.result, by_jobs=(run.folder / TIMELINE).is_file()),
        "score_rows": score_rows(findings.result),
        "components": [COMPONENT_TITLES[name].lower() for name in COMPONENTS],
    }


def _draw_cells(run: Run, findings: Findings, studies: int) -> dict[str, Any]:
    cells, points = findings.cells, findings.points
    if cells is None or points is None:
        return {"galleries": None, "pages": None}
    scans = Scans(run.competition)
    explainer: Explainer | SystemView | None = None
    if findings.crops:
        system = SystemView(run) if run.config.published else None
        explainer = system or Explainer(run.models, findings.crops, findings.cards)
    galleries = show_galleries(run, scans, choose_cells(cells), points, findings.errors, explainer)
    return {"galleries": list(galleries), "pages": show_studies(scans, choose_studies(cells, studies), cells, points)}
