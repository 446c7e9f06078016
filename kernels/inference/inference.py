"""Grades the hidden test studies on Kaggle, offline. All it does stands in the bundle's own package."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("LUMBAR_KAGGLE_ROOT", "/kaggle"))
PACKAGES = tempfile.mkdtemp(prefix="lumbar-packages-")

wheels = [wheel for depth in range(5) for wheel in sorted((ROOT / "input").glob("*/" * depth + "wheels/*.whl"))]
pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", PACKAGES]
subprocess.run([*pip, *map(str, wheels)], check=True)
sys.path.insert(0, PACKAGES)

if __name__ == "__main__":
    from lumbar.kaggle.kernel import run_kernel

    run_kernel(ROOT / "input", ROOT / "working")
