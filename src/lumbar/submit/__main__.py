"""The process that grades: `python -m lumbar.submit job.json` is what the supervisor starts."""

import logging
import sys
from pathlib import Path

from lumbar.offline import go_offline

if __name__ == "__main__":
    go_offline()  # before any library that asks is imported
    from lumbar.submit.journal import Job
    from lumbar.submit.worker import work_through

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    sys.exit(work_through(Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))))
