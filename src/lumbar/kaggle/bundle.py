"""The bundle: a run's models, the package and the wheels that Kaggle's image lacks, with a checksum of each file."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from lumbar import __version__
from lumbar.checkpoint import current_commit
from lumbar.tables import write_text

KAGGLE_LACKS_HEADING = "# -- not on Kaggle"
"""The heading in requirements.txt above the packages whose wheels travel in the bundle."""
SLUG = "lumbar-bundle"
"""The data set's name on Kaggle."""
KAGGLE_PYTHON = "312"
KAGGLE_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64")


def build_bundle(
    models: Path,
    out: Path,
    source: Path,
    owner: str,
    third_party: bool = True,
    python_version: str = KAGGLE_PYTHON,
) -> None:
    """Writes a bundle afresh: `models/`, `wheels/`, `bundle.json` and Kaggle's `dataset-metadata.json`.

    `source` is the repository, whose wheel is built without a network. `third_party` downloads the other wheels, the
    one step of this project that needs a package registry; `python_version`, such as `312`, is that of who runs them.
    """
    if not (models / "config.json").is_file():
        raise FileNotFoundError(f"{models}: there is no trained run; train one first (make cv)")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(models, out / "models")
    wheels = out / "wheels"
    shutil.rmtree(source / "build", ignore_errors=True)  # setuptools would pack what an earlier build left there
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))
    if third_party:
        target = ["--only-binary=:all:", "--python-version", python_version]
        target += [part for platform in KAGGLE_PLATFORMS for part in ("--platform", platform)]
        _pip("download", "--no-deps", *target, "--dest", str(wheels), *lacking_packages(source / "requirements.txt"))
    files = sorted(path for path in out.rglob("*") if path.is_file())
    metadata = {"title": SLUG, "id": f"{owner}/{SLUG}", "licenses": [{"name": "other"}]}
    write_text(json.dumps(metadata, indent=2) + "\n", out / "dataset-metadata.json")
    manifest = {
        "version": __version__,
        "commit": current_commit(),
        "files": {str(path.relative_to(out)): _checksum(path) for path in files},
    }
    write_text(json.dumps(manifest, indent=2) + "\n", out / "bundle.json")


def lacking_packages(requirements: Path) -> list[str]:
    """The pinned packages that stand in requirements.txt under the heading of what Kaggle lacks."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(KAGGLE_LACKS_HEADING))
    section = lines[start + 1 :]
    end = next((number for number, line in enumerate(section) if line.startswith("# --")), len(section))
    return [line.partition("#")[0].strip() for line in section[:end] if line and not line.startswith("#")]


def check_bundle(bundle: Path) -> None:
    """Compares every file with its checksum; ValueError names the first one that differs or is missing."""
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    for name, expected in manifest["files"].items():
        path = bundle / name
        if not path.is_file():
            raise ValueError(f"{path}: the bundle lists this file, and it is not there")
        if _checksum(path) != expected:
            raise ValueError(f"{path}: its checksum is not the one in bundle.json, the upload is damaged")


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)
