"""Broken files by the thousand: each is read rightly or named, in seconds, in bounded memory, and kills nothing.

Not one of the tests: `make fuzz COUNT=20000`. The seeds are pydicom's own small files and, where LUMBAR_SHARED names
the data, real ones. The same seed makes the same files; what fails is kept in `build/fuzz/`, which is never committed.
"""

import argparse
import logging
import multiprocessing
import os
import resource
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file
from tqdm import tqdm

from lumbar.mri.series import SeriesError, read_series

PYDICOMS = (
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_expb.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_truncated.dcm",
    "emri_small.dcm",
)
SECONDS, BYTES = 5.0, 2**30
"""The longest that a file may take, and the most memory that a process may hold beyond what it starts with."""
LENGTHS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
"""What a damaged length says."""
KEPT = Path("build/fuzz")


@cache
def seeds() -> list[bytes]:
    """The intact files that are broken."""
    shared = os.environ.get("LUMBAR_SHARED")
    folders = sorted(Path(shared, "rsna2024_studies").glob("*_images/*/*")) if shared else []
    real = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.dcm"))[:2]]
    pydicoms = [Path(str(get_testdata_file(name, download=False))) for name in PYDICOMS]
    return [path.read_bytes() for path in (*pydicoms, *real) if path.is_file()]


def mutate(number: int, seed: int) -> bytes:
    """A broken file: its header is hit as often as the rest, which is far longer."""
    rng = np.random.default_rng((seed, number))
    content = bytearray(seeds()[int(rng.integers(len(seeds())))])
    for _ in range(int(rng.integers(1, 3))):
        end = min(len(content), 2048) if rng.random() < 0.4 else len(content)
        at = int(rng.integers(end)) if end else 0
        match int(rng.integers(6)):
            case 0:  # bits flipped
                for place in rng.integers(end, size=int(rng.integers(1, 17))) if end else ():
                    content[place] ^= 1 << int(rng.integers(8))
            case 1:  # cut off
                del content[at:]
            case 2:  # bytes lost
                del content[at : at + int(rng.integers(1, 64))]
            case 3:  # a length lied about
                content[at : at + 4] = LENGTHS[int(rng.integers(len(LENGTHS)))].to_bytes(4, "little")
            case 4:  # tags swapped
                other, size = int(rng.integers(end)) if end else 0, int(rng.integers(2, 32))
                content[at : at + size], content[other : other + size] = (
                    content[other : other + size],
                    content[at : at + size],
                )
            case _:  # noise
                content[at : at + 8] = rng.bytes(8)
    return bytes(content)


def read_broken(number: int, seed: int) -> tuple[int, str]:
    """What came of a broken file: `read`, `named`, or what is wrong with how it ended."""
    content, started = mutate(number, seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "1.dcm").write_bytes(content)
        try:
            series = read_series(folder, "sagittal")
        except SeriesError as error:
            end = "named" if "1.dcm" in str(error) else f"not named: {error}"
        except BaseException as error:  # of any kind: that is what is looked for
            end = f"raised {type(error).__name__}: {error}"
        else:
            end = "read" if all(map(_is_sane, series.slices)) else "values that are no number"
    if time.monotonic() - started > SECONDS:
        end = f"took {time.monotonic() - started:.0f} s"
    return number, end


def _is_sane(image: object) -> bool:
    plane = image.plane
    places = (plane.position, plane.x_axis, plane.y_axis, [plane.x_spacing, plane.y_spacing])
    return bool(np.isfinite(image.pixels).all() and all(np.isfinite(place).all() for place in places))


def limit_memory() -> None:
    """Lets this process ask for so much more than it has, and keep quiet."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + BYTES, held + BYTES))
    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a decoder in Rust prints its own panics


def main() -> None:
    """Reads broken files in two processes and counts how they ended; exit status 1 where one ended badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, initializer=limit_memory) as pool:
        work = partial(read_broken, seed=arguments.seed)
        done = pool.map(work, range(arguments.count), chunksize=50)  # a dead process ends this with an error
        ends = dict(tqdm(done, total=arguments.count, unit="file"))
    bad = {number: end for number, end in ends.items() if end not in ("read", "named")}
    for number, end in bad.items():
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{arguments.seed}_{number}.dcm").write_bytes(mutate(number, arguments.seed))
        print(f"{number}: {end[:300]}")
    print(
        ", ".join(
            f"{count} {end}" for end, count in Counter(end for end in ends.values() if end not in bad.values()).items()
        )
    )
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
