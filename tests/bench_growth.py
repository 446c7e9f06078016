"""How memory and time grow with the number of training studies: each stage as a process of its own, on phantoms of so
many studies (python tests/bench_growth.py 24 96 384). Prints what docs/scale.md shows of it.

Memory is what all processes of a stage hold together apart from files that are mapped: those can be dropped and read
again.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import yaml

REPOSITORY = Path(__file__).parents[1]
STAGES = ("folds", "detect", "crop", "grade", "cv")
"""The first also writes the phantom; the last fits the ensemble and scores."""
POLL_SECONDS = 0.1
SMALL = {"detect": {"epochs": 2}, "grade": {"epochs": 2}}
"""Memory does not depend on epochs, and time only by a factor."""


def measure(command: Sequence[str], folder: Path) -> tuple[float, int]:
    """The seconds that a command took, and the most bytes that its processes held at once."""
    started, peak = time.monotonic(), 0
    with (folder / "log.txt").open("ab") as log, psutil.Popen(command, cwd=folder, stdout=log, stderr=log) as process:
        while process.poll() is None:
            peak = max(peak, held_by(process))
            time.sleep(POLL_SECONDS)
    if process.returncode:
        last = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        raise SystemExit("\n".join([f"{' '.join(command)} ended with status {process.returncode}:", *last]))
    return time.monotonic() - started, peak


def held_by(process: psutil.Process) -> int:
    """The resident bytes of a process and its descendants that no file backs."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            memory = each.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += memory.rss - memory.shared
    return total


def write_config(studies: int, folder: Path) -> Path:
    """The rehearsal's run with so many studies and few epochs."""
    phantom = {"studies": studies, "test_studies": 1, "max_size": 128}
    path = folder / "growth.yaml"
    path.write_text(
        yaml.safe_dump({"base": str(REPOSITORY / "configs" / "rehearsal.yaml"), "phantom": phantom} | SMALL)
    )
    return path


def main(counts: Sequence[int]) -> None:
    """Prints a row for each number of studies as it is measured."""
    print(f"| studies | {' | '.join(f'{stage}: s, GB' for stage in STAGES)} |")
    print(f"|---|{'---|' * len(STAGES)}", flush=True)
    for studies in counts:
        with tempfile.TemporaryDirectory() as name:
            config = write_config(studies, Path(name))
            cells = []
            for stage in STAGES:
                command = [sys.executable, "-m", "lumbar.cli", stage, "--config", str(config)]
                seconds, peak = measure(command, Path(name))
                cells.append(f"{seconds:.0f}, {peak / 1e9:.2f}")
            print(f"| {studies} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", type=int, nargs="+", help="How many, of each run.")
    main(parser.parse_args().studies)
