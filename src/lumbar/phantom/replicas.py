"""More test studies than were rendered: copies under new ids, for runs that need many studies and no variety."""

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lumbar.data.tables import write_table
from lumbar.errors import InputError
from lumbar.machine import processes

REPLICAS_STREAM = 6
"""The stream of random numbers under the seed; 0 to 3 are the phantom's own."""
PIXEL_DATA = b"\xe0\x7f\x10\x00O"
"""Where the header of a phantom's file ends: the tag, and OB or OW."""
TABLES = (
    "test_series_descriptions.csv",
    "sample_submission.csv",
    "hidden/test_labels.csv",
    "hidden/oracle.csv",
)
"""Tables of the test studies; each has the study's id in its first column, alone or at its beginning."""


def copy_test_studies(root: Path, count: int, seed: int, jobs: int = -1) -> None:
    """Adds so many test studies to a phantom, each the copy of a rendered one with another id in folders, tags and
    tables; same seed, same bytes. Series keep their ids. A phantom without a test study is an InputError."""
    tables = {name: pd.read_csv(root / name, dtype=str, keep_default_na=False) for name in TABLES}
    originals = tables[TABLES[0]]["study_id"].unique().tolist()
    if not originals:
        raise InputError(f"{root}: expected a phantom with a test study to copy")
    rng = np.random.default_rng([seed, REPLICAS_STREAM])
    sources = [originals[index % len(originals)] for index in range(count)]
    pairs = list(zip(sources, _draw_ids(rng, sources, set(originals)), strict=True))
    work = [delayed(_copy_study)(root / "test_images", *pair) for pair in pairs]
    finished = Parallel(n_jobs=processes(jobs), return_as="generator")(work)
    for _ in tqdm(finished, total=count, desc="copies", unit="study"):
        pass
    for name, table in tables.items():
        write_table(_extend(table, pairs), root / name)


def _draw_ids(rng: np.random.Generator, sources: list[str], taken: set[str]) -> list[str]:
    """A new even id for each source, as long as its own, so that no file changes its length."""
    ids = []
    for source in sources:
        new = source
        while new in taken:
            new = str(int(rng.integers(10 ** (len(source) - 1), 10 ** len(source))) // 2 * 2)
        taken.add(new)
        ids.append(new)
    return ids


def _copy_study(images: Path, source: str, new: str) -> None:
    for path in sorted((images / source).rglob("*")):
        copy = images / new / path.relative_to(images / source)
        if path.is_dir():
            copy.mkdir(parents=True)
        else:
            header, mark, pixels = path.read_bytes().partition(PIXEL_DATA)
            copy.write_bytes(header.replace(source.encode(), new.encode()) + mark + pixels)


def _extend(table: pd.DataFrame, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    """The table with each source's rows once more, under the new id."""
    first = table.columns[0]
    studies = table[first].str.extract(r"^(\d+)", expand=False)
    rows = dict(iter(table.groupby(studies, sort=False)))
    copies = [
        rows[source].assign(**{first: rows[source][first].str.replace(source, new, n=1)}) for source, new in pairs
    ]
    return pd.concat([table, *copies], ignore_index=True)
