"""What a rehearsal needs: the bundle of a run, a phantom's hidden test and an interpreter like Kaggle's."""

import sys
from pathlib import Path

from lumbar.config import PhantomConfig
from lumbar.data.competition import Competition
from lumbar.kaggle import COMPETITION
from lumbar.kaggle.bundle import build_bundle
from lumbar.kaggle.rehearse.interpreter import build_interpreter
from lumbar.kaggle.rehearse.rehearsal import Rehearsal
from lumbar.phantom.keep import keep_phantom
from lumbar.run.run import Run

HIDDEN_SEED = 722
"""Of the phantom that stands for the hidden test: not a config's, whose studies the models have seen."""

RENDERED_TO_BREAK = 40
"""Studies that are rendered where faults are rehearsed: what breaks a copy breaks the original, and a thousand copies
take seconds."""


def prepare_rehearsal(run: Run, studies: int, max_size: int | None, memory_cap: int, faults: bool = False) -> Rehearsal:
    """Builds all of it below the run's folder; the phantom is kept for the next time."""
    folder, source = run.folder / "rehearsal", Path()
    wanted = PhantomConfig(studies=1, test_studies=studies, max_size=max_size, seed=HIDDEN_SEED)
    hidden = keep_phantom(wanted, RENDERED_TO_BREAK if faults else None, faults)
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    build_bundle(run.models, folder / "bundle", source, "somebody", python_version=version)
    return Rehearsal(
        python=build_interpreter(folder / "interpreter", source / "requirements.txt"),
        script=source / "kernels" / "inference" / "inference.py",
        bundle=folder / "bundle",
        competition=Competition(hidden),
        slug=COMPETITION,
        folder=folder,
        memory_cap=memory_cap,
    )
