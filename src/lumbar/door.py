"""The package's front door for Python, whose names `lumbar` itself gives: see `lumbar.__init__`."""

from pathlib import Path

import pandas as pd

from lumbar.metric import Score
from lumbar.mri.series import Series
from lumbar.offline import go_offline

Source = str | Path
"""A path."""


def read_series(folder: Source) -> Series:
    """A folder of one series' DICOM files (`.dcm`) as slices in order, each with its plane in patient millimetres.

    Raises SeriesError where nothing in it can be read; `problems` of the series says what was left out or assumed.
    """
    from lumbar.mri.series import read_series as read

    return read(folder)


def score(labels: Source | pd.DataFrame, predictions: Source | pd.DataFrame) -> Score:
    """The competition's score of predictions in submission format.

    `labels` is a `train.csv`, `predictions` a CSV (.gz too); either may be a table that is read already, the labels by
    `data.competition.read_labels`. Raises ValueError, naming the row, for one that is missing or no distribution.
    """
    from lumbar import metric
    from lumbar.data.competition import read_labels, read_predictions

    truth = labels if isinstance(labels, pd.DataFrame) else read_labels(Path(labels))
    given = predictions if isinstance(predictions, pd.DataFrame) else read_predictions(Path(predictions))
    return metric.score(truth, given)


def predict(study_folder: Source, models: Source) -> pd.DataFrame:
    """The 25 grades of one study from any folder of its DICOM files.

    `models` is a run's `models` folder, or a bundle's. Returns condition, level, the probabilities normal_mild,
    moderate and severe, row_id, the likeliest grade, and the reason where a cell has no answer but the prior. Goes
    offline first, as the command does: see `lumbar.offline`. Raises StudyError where there is nothing to grade.
    """
    go_offline()
    from lumbar.submit.single import grade_folder

    return grade_folder(Path(study_folder), Path(models)).grades
