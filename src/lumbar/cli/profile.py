"""Where a command's time goes: a page made by a profiler that samples, which costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lumbar.errors import InputError
from lumbar.records import write_text

SECONDS_APART = 0.01
"""Between two samples; a run of hours stays a page that a browser opens."""


@contextmanager
def profiled(page: Path) -> Iterator[None]:
    """Samples what this process does inside, and writes it as a page, however the block ends.

    Threads and processes that are started inside show as what waits for them. InputError without pyinstrument.
    """
    try:
        from pyinstrument import Profiler
        from pyinstrument.renderers import HTMLRenderer
    except ImportError:
        raise InputError("--profile needs pyinstrument: pip install pyinstrument") from None
    profiler = Profiler(interval=SECONDS_APART, async_mode="disabled")
    page.parent.mkdir(parents=True, exist_ok=True)
    try:
        with profiler:
            yield
    finally:
        write_text(profiler.output(HTMLRenderer()), page)
