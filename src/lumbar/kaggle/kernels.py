"""The kernels that are pushed to Kaggle, made from the templates in `kernels/` by filling in names and settings.

They are written outside the templates' folder, so that pushing leaves the repository's own files as they are.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumbar.errors import InputError
from lumbar.kaggle import PLACEHOLDER
from lumbar.kaggle.owner import expect_owner
from lumbar.records import write_json, write_text
from lumbar.run.run import Selection

KERNEL_METADATA = "kernel-metadata.json"


def write_inference_kernel(source: Path, out: Path, owner: str, trained_by: Sequence[str] = ()) -> None:
    """Writes the inference kernel's script and metadata.

    `source` is the repository. `trained_by` are training kernels, as `owner/slug`, whose output holds the bundle; then
    no data set is attached.
    """
    changes = {"dataset_sources": [], "kernel_sources": list(trained_by)} if trained_by else {}
    _write_kernel(source / "kernels" / "inference", out, owner, changes, {})


def write_training_kernel(
    source: Path, out: Path, owner: str, selection: Selection, number: int = 1, attached: Sequence[str] = ()
) -> str:
    """Writes the training kernel of a part of the run, and returns its id.

    The second run of a part, and every later one, goes on with the output of the one before, whose kernel is attached;
    `attached` are further kernels, as `owner/slug`, whose models are taken over.
    """
    before = [f"{owner}/{training_slug(selection, number - 1)}"] if number > 1 else []
    slug = training_slug(selection, number)
    changes = {"id": f"{owner}/{slug}", "title": slug, "kernel_sources": [*before, *attached]}
    _write_kernel(
        source / "kernels" / "training", out, owner, changes, {"FOLD": selection.fold, "GROUP": selection.group}
    )
    return f"{owner}/{slug}"


def training_slug(selection: Selection, number: int) -> str:
    """The name of a part's training kernel: a kernel of its own for each run, since none can be its own source."""
    named = [f"fold{selection.fold}"] if selection.fold is not None else []
    return "-".join(["lumbar-training", *named, *([selection.group] if selection.group else []), f"run{number}"])


def _write_kernel(
    template: Path, out: Path, owner: str, changes: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    expect_owner(owner)
    if out.resolve() == template.resolve():
        raise InputError(f"{out}: is the kernel's template; name another folder")
    text = (template / KERNEL_METADATA).read_text(encoding="utf-8").replace(f"{PLACEHOLDER}/", f"{owner}/")
    metadata = {**json.loads(text), **changes}
    script = (template / metadata["code_file"]).read_text(encoding="utf-8")
    for name, value in settings.items():
        script = re.sub(rf"^({name}: .*) = None$", rf"\1 = {value!r}", script, flags=re.MULTILINE)
    shutil.rmtree(out, ignore_errors=True)
    write_text(script, out / metadata["code_file"])
    write_json(metadata, out / KERNEL_METADATA)
