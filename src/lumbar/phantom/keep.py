"""Phantoms kept on disk: written when first asked for, and again only when they would come out otherwise."""

import shutil
from pathlib import Path

from lumbar.config import PhantomConfig
from lumbar.phantom.write import write_phantom
from lumbar.stages import fingerprint, run_stage

KEPT = Path("data")
"""Below the folder that the command is run in."""


def keep_phantom(wanted: PhantomConfig) -> Path:
    """The folder of the phantom that a config describes."""
    made_from = fingerprint(phantom=wanted.model_dump())
    root = KEPT / f"phantom-{made_from[:8]}"

    def write() -> None:
        shutil.rmtree(root)  # what an interrupted writing left
        write_phantom(root, wanted.studies, wanted.seed, wanted.test_studies, wanted.max_size)

    run_stage("phantom", root, made_from, write)
    return root
