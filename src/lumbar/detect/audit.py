"""The audit of the annotations: whose levels the detectors of others count otherwise.

Nobody looks at the held-out fold for it, since only its training studies are parted.
"""

import logging
import shutil
from collections.abc import Callable

import pandas as pd
from sklearn.model_selection import KFold

from lumbar.data.points import read_points
from lumbar.data.tables import write_table
from lumbar.detect.contradictions import contradicted_studies
from lumbar.detect.detector import Detector
from lumbar.detect.evaluate import measure_errors
from lumbar.detect.locate import locate_studies
from lumbar.detect.train import train_detector
from lumbar.detect.training import annotated_of, detector_made_from, fold_folder, image_paths
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, run_stage

CREDIBLE_SHARE = 0.5
"""Detectors that contradict more of the studies than this have not learned to count, and nobody is left out."""
PointsByOthers = Callable[[int, list[int], list[int]], pd.DataFrame]
"""Trains on some studies and returns the points of others: (part, seen, unseen) -> points."""
logger = logging.getLogger(__name__)


def audit_fold(run: Run, fold: int, images: pd.DataFrame) -> list[int]:
    """The studies outside a fold that the config's audit contradicts."""
    config = run.config.detect
    if config.audit_parts is None:
        return []
    folder = fold_folder(run, fold) / "audit"

    def points_by_others(part: int, seen: list[int], unseen: list[int]) -> pd.DataFrame:
        """The points of unseen studies by a detector of the seen ones, kept for when training goes on."""
        here, origin = folder / f"part{part}", fingerprint(detector=detector_made_from(run, fold))

        def locate() -> None:
            paths = image_paths(run, images[images["study_id"].isin(seen)])
            label, work = f"detect: audit fold {fold}, part {part}", here / f"training_{origin.key}"
            detector = Detector.of_state(train_detector(config, paths, work, run.config.seed + fold, label), config)
            shutil.rmtree(work)
            write_table(locate_studies(detector, run.competition, unseen, fold)[0], here / "points.csv")

        run_stage(f"detect: audit fold {fold}, part {part}", here, origin, locate)
        return read_points(here / "points.csv")

    annotated = annotated_of(run, images["study_id"])
    if annotated["study_id"].nunique() < config.audit_parts:
        return []
    return find_contradicted(annotated, config.audit_parts, run.config.seed, points_by_others)


def find_contradicted(annotated: pd.DataFrame, parts: int, seed: int, points_by_others: PointsByOthers) -> list[int]:
    """The studies of the annotated points whose levels are contradicted by detectors trained on the other parts."""
    study_ids = sorted(annotated["study_id"].unique().tolist())
    splits = KFold(parts, shuffle=True, random_state=seed).split(study_ids)
    contradicted = []
    for part, (seen, unseen) in enumerate(splits):
        looked_at = [study_ids[index] for index in unseen]
        points = points_by_others(part, [study_ids[index] for index in seen], looked_at)
        contradicted += contradicted_studies(measure_errors(annotated[annotated["study_id"].isin(looked_at)], points))
    if len(contradicted) > CREDIBLE_SHARE * len(study_ids):
        logger.warning("%d of %d studies are contradicted, so none is left out", len(contradicted), len(study_ids))
        return []
    return sorted(contradicted)
