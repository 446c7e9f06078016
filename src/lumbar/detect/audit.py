"""The audit of the annotations: which studies the detectors of the others contradict."""

import shutil

import pandas as pd

from lumbar.data.points import read_points
from lumbar.data.tables import write_table
from lumbar.detect.detector import Detector
from lumbar.detect.evaluate import find_contradicted
from lumbar.detect.locate import locate_studies
from lumbar.detect.train import train_detector
from lumbar.detect.training import annotated_of, detector_made_from, fold_folder, image_paths
from lumbar.run.run import Run
from lumbar.run.stamps import fingerprint, run_stage


def contradicted_studies(run: Run, fold: int, images: pd.DataFrame) -> list[int]:
    """The studies outside a fold that are not to be trained on, see `evaluate.find_contradicted`."""
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

    annotated = annotated_of(run)
    annotated = annotated[annotated["study_id"].isin(images["study_id"])]
    if annotated["study_id"].nunique() < config.audit_parts:
        return []
    return find_contradicted(annotated, config.audit_parts, run.config.seed, points_by_others)
