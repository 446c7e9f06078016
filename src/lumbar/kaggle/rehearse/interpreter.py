"""An interpreter that sees what Kaggle's image ships, and nothing else of ours.

It is a virtual environment whose site-packages holds links to the packages that `requirements.txt` lists as Kaggle's
and to what they need in turn. So nothing is downloaded, and an import of what only the bundle brings fails without it.
"""

import shutil
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from lumbar.kaggle.wheels import ON_KAGGLE, pinned_packages

ALWAYS_THERE = ("pip",)
"""What the kernel's script calls."""


def build_interpreter(folder: Path, requirements: Path) -> Path:
    """Makes the environment anew and returns its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    site = next((folder / "lib").glob("python*/site-packages"))
    names = [Requirement(line).name for line in pinned_packages(requirements, ON_KAGGLE)]
    for package in with_dependencies([*names, *ALWAYS_THERE]):
        _link(package, site)
    return folder / "bin" / "python"


def with_dependencies(names: Iterable[str]) -> list[Distribution]:
    """The installed packages of these names, and all that they need here, each once."""
    found: dict[str, Distribution] = {}
    left = list(names)
    while left:
        name = left.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # needed on another platform only
        needed = map(Requirement, found[name].requires or [])
        left += [requirement.name for requirement in needed if _applies(requirement)]
    return list(found.values())


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _link(package: Distribution, site: Path) -> None:
    """Links a package's folders and modules; packages that share a folder share the link."""
    for top in sorted({file.parts[0] for file in package.files or [] if file.parts[0] != ".."}):
        source, target = Path(str(package.locate_file(top))), site / top
        if top != "__pycache__" and source.exists() and not target.exists():
            target.symlink_to(source)
