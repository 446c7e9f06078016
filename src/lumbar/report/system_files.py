"""The files that a paper would show of its system, in the folder of the system's run."""

import json

import pandas as pd

from lumbar.baselines.figures import case_files
from lumbar.report.system_charts import write_charts
from lumbar.report.system_names import NAMES
from lumbar.report.system_pictures import write_pictures
from lumbar.report.system_regions import write_regions
from lumbar.report.system_view import SystemView
from lumbar.run.run import Run


def write_system_files(run: Run) -> list[str]:
    """Writes the files of a measured system into its folder, see `system_names`, and returns their names.

    What has nothing to show is left out, such as augmented samples of a system that does not augment.
    """
    folder = run.folder
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    written = write_charts(figures, {split: pd.read_csv(path) for split, path in case_files(run).items()}, folder)
    written += write_regions(run, folder / "regions.png")
    written += write_pictures(SystemView(run, run.config.cells.graders[0]), folder)
    for name in set(NAMES) - set(written):
        (folder / name).unlink(missing_ok=True)
    return written
