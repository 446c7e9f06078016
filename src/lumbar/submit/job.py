"""What a worker is told, without torch: the process that starts it must survive when that does not load."""

from pathlib import Path

from lumbar.records import Record


class Job(Record):
    """What to predict, with what, until when, and where to note it."""

    models: Path
    competition: Path
    study_ids: tuple[int, ...]
    journal: Path
    deadline: float | None = None
    """Seconds since the epoch at which grading stops; nothing grades to the end."""
    strict: bool = False
    """Raise a study's error instead of going on with the next."""
    supervisor: int | None = None
    """The process without which this one has nobody to work for."""
