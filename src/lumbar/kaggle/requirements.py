"""Which packages Kaggle's image has and which it lacks, as `requirements.txt` lists them."""

from pathlib import Path

ON_KAGGLE = "# -- on Kaggle"
"""The heading above the packages of Kaggle's image, at its versions."""
NOT_ON_KAGGLE = "# -- not on Kaggle"
"""The heading above the packages whose wheels travel in the bundle."""


def pinned_packages(requirements: Path, heading: str) -> list[str]:
    """The `name==version` lines that stand under a heading."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    section = lines[start + 1 :]
    end = next((number for number, line in enumerate(section) if line.startswith("# --")), len(section))
    return [line.partition("#")[0].strip() for line in section[:end] if line and not line.startswith("#")]
