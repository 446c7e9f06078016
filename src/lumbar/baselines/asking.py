"""How a run's graders are asked, whether they are the main pipeline's or a published system's, and what they see."""

from pathlib import Path

import numpy as np

from lumbar.baselines.crops import SystemCutter, pool_views
from lumbar.baselines.predict import load_system, predict_system
from lumbar.baselines.samplers import UNANNOTATED
from lumbar.config import Config, Member
from lumbar.crop.store import Cutter
from lumbar.crop.view import ViewCutter
from lumbar.grade.asking import ASK_PIPELINE, Asking
from lumbar.grade.predict import Predictor


def _load(stem: Path, _: Member) -> Predictor:
    net = load_system(stem)
    return lambda crops, rows: predict_system(net, crops, rows.astype(np.int64))


ASK_SYSTEM = Asking(
    gather=pool_views,
    # Also at annotated points, where a paper has no others.
    is_asked=lambda index: (index["source"] != UNANNOTATED).to_numpy(),
    load=_load,
)
"""The published systems'."""


def asking_of(config: Config) -> Asking:
    """How a run's graders are asked."""
    return ASK_SYSTEM if config.published else ASK_PIPELINE


def cutters_of(config: Config) -> dict[str, Cutter]:
    """How a run's crops are cut, by view."""
    if config.published:
        return {group: SystemCutter(config, group) for group in config.cells.groups}
    return {name: ViewCutter(view) for name, view in config.crop.views.items()}
