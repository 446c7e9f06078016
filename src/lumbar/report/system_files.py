"""The files that a paper would show of its system, in the folder of the system's run."""

import json
import shutil

import pandas as pd

from lumbar.baselines.figures import case_files
from lumbar.report.system_charts import write_charts
from lumbar.report.system_names import SHOWN_FOLDER
from lumbar.report.system_pictures import write_pictures
from lumbar.report.system_regions import write_regions
from lumbar.report.system_view import SystemView
from lumbar.run.code import hash_code
from lumbar.run.run import Run
from lumbar.run.stamps import Origin, fingerprint, hash_files, key_of, run_stage

DRAWN_BY = tuple(
    f"report.{name}"
    for name in ("system_files", "system_charts", "system_pictures", "system_regions", "system_view", "gradcam")
)
"""The modules whose code the files hang on; what else the report is made by changes nothing in them."""


def write_system_files(run: Run) -> None:
    """Writes the files of a measured system into `shown/` in its folder, see `system_names`, unless they are as they
    were.

    What has nothing to show is left out, such as augmented samples of a system that does not augment.
    """
    folder = run.folder / SHOWN_FOLDER

    def work() -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        figures = json.loads((run.folder / "figures.json").read_text(encoding="utf-8"))
        write_charts(figures, {split: pd.read_csv(path) for split, path in case_files(run).items()}, folder)
        write_regions(run, folder / "regions.png")
        write_pictures(SystemView(run), folder)

    run_stage("shown", folder, _made_from(run), work)


def _made_from(run: Run) -> Origin:
    """What the files are made from: the cases have the key of the nets and crops that they are of."""
    return fingerprint(
        code=hash_code(*DRAWN_BY),
        data=run.data_fingerprint,
        grade=key_of(run.folder / "grade"),
        figures=hash_files(run.folder / "figures.json", *case_files(run).values()),
    )
