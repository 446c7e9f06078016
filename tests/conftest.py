"""What several test files need: the real data, where this machine has them, and small labels."""

import os
from pathlib import Path

import pandas as pd
import pytest

from lumbar.dataset import read_labels

VARIABLE = "LUMBAR_SHARED"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data outside the repository; without it a test is skipped, but on CI that is an error."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if os.environ.get("CI", "").lower() == "true":
        raise RuntimeError(f"{VARIABLE} is not set, and on CI the tests on real data must not be skipped")
    pytest.skip(f"{VARIABLE} does not name a folder of real data")


@pytest.fixture(scope="session")
def rsna(shared: Path) -> Path:
    """The competition's published tables."""
    return shared / "rsna2024"


@pytest.fixture(scope="session")
def real_labels(rsna: Path) -> pd.DataFrame:
    """The competition's training labels, in long form."""
    return read_labels(rsna / "train.csv")
