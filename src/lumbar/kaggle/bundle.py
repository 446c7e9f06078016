"""The bundles that are uploaded to Kaggle as data sets, and their check before anything in them is loaded.

One for inference: a run's models, the package and the wheels that Kaggle's image lacks. One for training: a config, its
folds and the same wheels.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lumbar.config import Config, GradeConfig
from lumbar.errors import InputError
from lumbar.kaggle.manifest import BUNDLE, METADATA, TRAINING, BundleError, find_file_faults, write_manifest
from lumbar.kaggle.owner import expect_owner
from lumbar.kaggle.wheels import NOT_ON_KAGGLE, PYTHON, pinned_packages
from lumbar.records import write_json, write_text
from lumbar.run.checkpoint import load_state
from lumbar.submit.cards import find_model_faults

SLUG = "lumbar-bundle"
"""The name on Kaggle of the data set with the models."""
TRAINING_SLUG = "lumbar-training-bundle"
"""The name on Kaggle of the data set that the training kernel needs."""
KAGGLE_PYTHON = "".join(map(str, PYTHON))
"""As pip has it: `312`."""
KAGGLE_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64")
WHEEL_FILES = ("pyproject.toml", "README.md", "LICENSE")
"""What the package's wheel is made of beside `src/`."""
NOT_PACKED = shutil.ignore_patterns("*.egg-info", "__pycache__")
LEFTOVERS = shutil.ignore_patterns(".*")
"""What an interrupted writing leaves beside the models."""


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
    expect_owner(owner)
    if not (models / "config.json").is_file():
        raise FileNotFoundError(f"{models}: there is no trained run; train one first (make cv)")
    with _in_place_of(out) as fresh:
        _collect_wheels(fresh / "wheels", source, third_party, python_version)
        _write_metadata(fresh, owner, SLUG)
        add_models(models, fresh)


def add_models(models: Path, bundle: Path) -> None:
    """Adds a run's models to a folder that has the wheels already, and lists its files: a bundle for inference."""
    shutil.copytree(models, bundle / "models", ignore=LEFTOVERS)
    write_manifest(bundle, BUNDLE)


def build_training_bundle(
    config: Config,
    out: Path,
    source: Path,
    owner: str,
    third_party: bool = True,
) -> None:
    """Writes the training kernel's bundle afresh: what `pack_config` writes, and `wheels/`.

    The other arguments are those of `build_bundle`.
    """
    expect_owner(owner)
    with _in_place_of(out) as fresh:
        pack_config(config, fresh)
        _collect_wheels(fresh / "wheels", source, third_party)
        _write_metadata(fresh, owner, TRAINING_SLUG)
        write_manifest(fresh, TRAINING)


@contextmanager
def _in_place_of(out: Path) -> Iterator[Path]:
    """An empty folder that takes the place of an earlier bundle once it is filled; no other folder is replaced."""
    if out.is_dir() and any(out.iterdir()) and not (out / METADATA).is_file():
        raise InputError(f"{out}: holds something else than a bundle; name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=out.parent) as scratch:
        fresh = Path(scratch) / out.name
        fresh.mkdir()
        yield fresh
        shutil.rmtree(out, ignore_errors=True)
        fresh.rename(out)


def pack_config(config: Config, out: Path) -> None:
    """Writes `configs/`, `folds/` and `weights/`: a config whose paths lead from `out`, and the files that it names.

    InputError where the folds are not made yet.
    """
    if not config.folds_file.is_file():
        raise InputError(
            f"{config.folds_file}: is not there; name a fold file of the data set (folds: file: in the config), "
            f"or make it from the labels (make folds DATA=...)"
        )
    write_text(config.folds_file.read_text(encoding="utf-8"), out / "folds" / f"{config.name}.csv")
    packed = _pack_files(config, out)
    text = yaml.safe_dump(packed.model_dump(mode="json"), sort_keys=False)
    write_text(text, out / "configs" / f"{config.name}.yaml")


def _pack_files(config: Config, out: Path) -> Config:
    """Writes what else a config names: weights to start from, and suspect labels. A `.pt` becomes safetensors: nothing
    in a bundle is a pickle."""
    from safetensors.torch import save_file  # the kernel, which checks a bundle, must start without torch

    from lumbar.detect.weights import read_weights

    packed: dict[Path, Path] = {}

    def keep(path: Path | None, name: str, write: Callable[[Path, Path], Any]) -> Path | None:
        """Where a file lies in the bundle; what several sections name lies there once."""
        if path is not None and path not in packed:
            packed[path] = Path("weights") / name
            (out / "weights").mkdir(exist_ok=True)
            write(path, out / packed[path])
        return None if path is None else packed[path]

    def pack(section: Any, name: str, read: Callable[[Path], Any] = load_state) -> Any:
        """The section with the files that it names in the bundle."""
        files = {
            "weights": keep(section.weights, f"{name}.safetensors", lambda path, to: save_file(read(path), to)),
        }
        if isinstance(section, GradeConfig):
            files["suspects"] = keep(section.suspects, f"{name}_suspects.csv", shutil.copyfile)
        return section.model_copy(update=files)

    return config.model_copy(
        update={
            "folds": config.folds.model_copy(update={"file": None}),
            "detect": pack(config.detect, "detect", read_weights),
            "grade": pack(config.grade, "grade"),
            "graders": {name: pack(grader, f"grader_{name}") for name, grader in config.graders.items()},
        }
    )


def check_bundle(bundle: Path) -> None:
    """Refuses a bundle with a damaged, missing or foreign file, another version's, or a card that does not fit."""
    _refuse(list(find_file_faults(bundle, BUNDLE)))
    _refuse(list(find_model_faults(bundle / "models")))


def check_training_bundle(bundle: Path) -> None:
    """Refuses a training bundle with a damaged, missing or foreign file, or another version's."""
    _refuse(list(find_file_faults(bundle, TRAINING)))


def _refuse(faults: list[str]) -> None:
    if faults:
        raise BundleError("\n".join(faults))


def _collect_wheels(wheels: Path, source: Path, third_party: bool, python_version: str = KAGGLE_PYTHON) -> None:
    if not (source / "src" / "lumbar").is_dir():
        raise InputError(f"{source.resolve()}: is not the repository, from which the package is packed")
    with tempfile.TemporaryDirectory() as scratch:  # setuptools builds beside the sources, and packs what is left there
        for name in WHEEL_FILES:
            shutil.copy(source / name, scratch)
        shutil.copytree(source / "src", Path(scratch) / "src", ignore=NOT_PACKED)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), scratch)
    if third_party:
        target = ["--only-binary=:all:", "--python-version", python_version]
        target += [part for platform in KAGGLE_PLATFORMS for part in ("--platform", platform)]
        packages = pinned_packages(source / "requirements.txt", NOT_ON_KAGGLE)
        try:
            _pip("download", "--no-deps", *target, "--dest", str(wheels), *packages)
        except subprocess.CalledProcessError:
            raise InputError(
                "the wheels that Kaggle lacks could not be downloaded (see above); --no-third-party leaves them out"
            ) from None


def _write_metadata(out: Path, owner: str, slug: str) -> None:
    metadata = {"title": slug, "id": f"{owner}/{slug}", "licenses": [{"name": "other"}]}
    write_json(metadata, out / METADATA)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)
