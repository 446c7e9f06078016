"""Phantoms kept on disk: written when first asked for, and again only when they would come out otherwise."""

import shutil
from pathlib import Path

import pandas as pd

from lumbar.config import PhantomConfig
from lumbar.phantom.faults.catalogue import break_competition
from lumbar.phantom.replicas import copy_test_studies
from lumbar.phantom.write import write_phantom
from lumbar.run.code import hash_code
from lumbar.run.stamps import Origin, fingerprint, run_stage

KEPT = Path("data")
"""Below the folder that the command is run in."""


def compose_phantom(
    out: Path, wanted: PhantomConfig, rendered: int | None = None, faults: bool = False
) -> pd.DataFrame | None:
    """Writes a phantom. Test studies beyond those `rendered` are copies under new ids, and `faults` breaks them.

    Returns the record of what was broken, if anything was.
    """
    drawn = wanted.test_studies if rendered is None else min(rendered, wanted.test_studies)
    write_phantom(out, wanted.studies, wanted.seed, drawn, wanted.max_size)
    if drawn < wanted.test_studies:
        copy_test_studies(out, wanted.test_studies - drawn, wanted.seed)
    return break_competition(out, wanted.seed) if faults else None


def phantom_folder(wanted: PhantomConfig) -> Path:
    """Where a config's phantom is kept, whether it is there or not."""
    return _folder_of(_made_from(wanted))


def _folder_of(origin: Origin) -> Path:
    return KEPT / f"phantom-{origin.key[:8]}"


def _made_from(wanted: PhantomConfig, rendered: int | None = None, faults: bool = False) -> Origin:
    special = {"rendered": rendered, "faults": faults} if rendered or faults else {}
    code = hash_code("phantom.keep" if special else "phantom.write")
    return fingerprint(code=code, phantom=wanted.model_dump(), **special)


def keep_phantom(wanted: PhantomConfig, rendered: int | None = None, faults: bool = False) -> Path:
    """The folder of a phantom, see `compose_phantom`."""
    origin = _made_from(wanted, rendered, faults)
    root = _folder_of(origin)

    def write() -> None:
        shutil.rmtree(root)  # what an interrupted writing left
        compose_phantom(root, wanted, rendered, faults)

    run_stage("phantom", root, origin, write, in_turns=True)
    return root
