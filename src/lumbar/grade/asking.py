"""How a trained grader is asked: what of the crops it grades, and by what. Prediction needs no more of this room."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.config import Config, GraderConfig, Member, ViewConfig
from lumbar.crop.crops import Crops, found_rows, join_views
from lumbar.grade.predict import Predictor, load_grader, predict_grades


@dataclass(frozen=True)
class Asking:
    """How graders are asked: the main pipeline's, or those of the published systems."""

    gather: Callable[[Mapping[str, ViewConfig], Mapping[str, Crops]], Crops | None]
    """What a grader of some views grades, of the crops by view; None where there is nothing."""
    is_asked: Callable[[pd.DataFrame], NDArray[np.bool_]]
    """Which rows of the crops' index are predicted, where their study is held out."""
    load: Callable[[Path, Member], Predictor]
    """A trained net from its checkpoint, which is asked as the config says."""


def views_of(config: Config, grader: GraderConfig) -> dict[str, ViewConfig]:
    """A grader's views by name, in its order."""
    return {view: config.crop.views[view] for view in grader.views}


def _load(stem: Path, member: Member) -> Predictor:
    grader = load_grader(stem, member.config)
    return lambda crops, rows: predict_grades(grader, crops, rows)


ASK_PIPELINE = Asking(gather=join_views, is_asked=found_rows, load=_load)
"""The main pipeline's."""
