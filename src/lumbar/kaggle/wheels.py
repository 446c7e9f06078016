"""Whether a bundle's wheels are what Kaggle's image lacks, and install there."""

from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from lumbar import __version__

ON_KAGGLE = "# -- on Kaggle"
"""The heading above the packages of Kaggle's image, at its versions."""
NOT_ON_KAGGLE = "# -- not on Kaggle"
"""The heading above the packages whose wheels travel in the bundle."""
PYTHON = (3, 12)
"""Kaggle's."""
GLIBC = 35
"""The minor version of Kaggle's glibc 2 (Ubuntu 22.04's)."""


def pinned_packages(requirements: Path, heading: str) -> list[str]:
    """The `name==version` lines that stand under a heading."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    section = lines[start + 1 :]
    end = next((number for number, line in enumerate(section) if line.startswith("# --")), len(section))
    return [line.partition("#")[0].strip() for line in section[:end] if line and not line.startswith("#")]


def find_wheel_faults(wheels: Path, requirements: Path) -> Iterator[str]:
    """Every wheel that does not install on Kaggle, and every package that is missing or of another version.

    `requirements` is the repository's list, which says what Kaggle lacks.
    """
    pinned = [Requirement(line) for line in (f"lumbar=={__version__}", *pinned_packages(requirements, NOT_ON_KAGGLE))]
    there, tags = {}, supported_tags()
    for path in sorted(wheels.glob("*.whl")):
        try:
            name, version, _, own_tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            yield f"{path}: is not named as a wheel is; make the bundle again"
            continue
        there[name] = version
        if not own_tags & tags:
            yield f"{path}: does not install on Kaggle's Python {'.'.join(map(str, PYTHON))}; make the bundle again"
    for wanted in pinned:
        found = there.get(canonicalize_name(wanted.name))
        if found is None:
            yield f"{wheels}: Kaggle lacks {wanted.name}, and its wheel is not there; make the bundle with downloads"
        elif found not in wanted.specifier:
            yield f"{wheels}: the wheel of {wanted.name} is of {found}, it should be {wanted}; make the bundle again"


def supported_tags() -> frozenset[Tag]:
    """The tags of wheels that install on Kaggle."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    abi = f"cp{PYTHON[0]}{PYTHON[1]}"
    return frozenset((*cpython_tags(PYTHON, [abi], platforms), *compatible_tags(PYTHON, abi, platforms)))
