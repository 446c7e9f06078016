"""When each job of a run ran, and where: as a table and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from lumbar.records import Record, write_json
from lumbar.report.system_charts import save

TABLE, PICTURE = "timeline.json", "timeline.png"


class Ran(Record):
    """When a job ran, in seconds since the epoch, and on which worker."""

    job: str
    worker: int
    began: float
    ended: float


def write_timeline(finished: Sequence[Ran], folder: Path) -> None:
    """Writes the table and the picture into a folder: a bar for each job, in minutes, a row for each worker."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json([each.model_dump() for each in finished], folder / TABLE)
    start = min(each.began for each in finished)
    figure, axis = plt.subplots(figsize=(9, 2.5), layout="constrained")
    for number, each in enumerate(finished):
        began, ended = (each.began - start) / 60, (each.ended - start) / 60
        axis.barh(each.worker, ended - began, left=began, color=f"C{number % 10}")
        axis.text((began + ended) / 2, each.worker, each.job, ha="center", va="center", fontsize=7)
    axis.set(xlabel="minutes", ylabel="worker", yticks=sorted({each.worker for each in finished}))
    save(figure, folder / PICTURE)
