"""Grades the hidden test studies on Kaggle, offline. All it does stands in the bundle's own package."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

STARTED = time.time()
ROOT = Path(os.environ.get("LUMBAR_KAGGLE_ROOT", "/kaggle"))
INPUT, WORKING = ROOT / "input", ROOT / "working"
SAMPLE = "sample_submission.csv"
BUNDLE = "bundle.json"
IS_RERUN = bool(os.environ.get("KAGGLE_IS_COMPETITION_RERUN"))
"""Whether this run is the one that is scored: Kaggle scores nothing of a kernel that ends badly."""

PIP = "import runpy, socket; socket.has_ipv6 = False; runpy.run_module('pip', run_name='__main__')"
"""pip without the socket that it opens to learn whether there is IPv6: a kernel that opens none speaks to nobody."""


def find(marker: str, folder: Path = INPUT, depth: int = 6) -> Path | None:
    """The folder with a file of this name, at most so deep; image folders are not looked into."""
    if (folder / marker).is_file():
        return folder
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.endswith("_images"))
    except OSError:
        return None
    return next(filter(None, (find(marker, path, depth - 1) for path in below)), None) if depth else None


def install_wheels(bundle: Path, manifest: str) -> None:
    """Installs the wheels that a bundle lists where only this process looks; one that does not fit is left out."""
    packages = tempfile.mkdtemp(prefix="lumbar-packages-")
    pip = [sys.executable, "-c", PIP, "install", "--quiet", "--no-index", "--no-deps", "--target", packages]
    for name in sorted(json.loads((bundle / manifest).read_text())["files"]):
        if name.endswith(".whl") and subprocess.run([*pip, str(bundle / name)]).returncode:
            print(f"{name} does not install here and is left out", file=sys.stderr)
    sys.path.insert(0, packages)


def copy_sample() -> None:
    """Leaves a submission that scores, whatever comes after it."""
    competition = find(SAMPLE)
    if competition:
        beside = shutil.copyfile(competition / SAMPLE, WORKING / ".submission.csv")
        beside.replace(WORKING / "submission.csv")


def grade() -> None:
    """Grades by the package that comes with the models."""
    bundle = find(BUNDLE)
    if bundle is None:
        sys.exit(f"{INPUT}: no {BUNDLE} there; attach the data set that `make bundle` made")
    install_wheels(bundle, BUNDLE)
    from lumbar.offline import go_offline

    go_offline()  # before any library that asks is imported
    from lumbar.kaggle.inference import run_kernel

    run_kernel(INPUT, WORKING, STARTED)


if __name__ == "__main__":
    copy_sample()
    try:
        grade()
    except BaseException:  # also the end that it asks for itself
        if not IS_RERUN:
            raise
        traceback.print_exc()
