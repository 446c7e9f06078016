"""Axial slices put to levels by nothing but their heights, as one paper has it."""

import numpy as np

from lumbar.data.points import NO_FOLD, Point
from lumbar.data.studies import Study
from lumbar.labels import GROUPS, LEVELS, condition_of
from lumbar.mri.geometry import HEAD, Array
from lumbar.mri.series import Series, Slice

ATTEMPTS = 10
"""Starts of K-means, of which the best is kept."""


def cluster_study(study: Study, study_id: int, fold: int = NO_FOLD) -> list[Point]:
    """A canal point in the middle of every axial slice of a study.

    Its slices are put into five clusters by K-means of their height; the clusters are the levels, from head to foot,
    as "Lumbar Spinal Canal Stenosis Classification" (Garcia de Celis, Bukaita) has it. A study with fewer slices than
    levels has no point.
    """
    axial = study.get(GROUPS["subarticular"].series_description, [])
    pairs = [(series, image) for series in axial for image in series.slices]
    if len(pairs) < len(LEVELS):
        return []
    levels = cluster_heights(np.array([float(image.centre @ HEAD) for _, image in pairs]))
    name = condition_of("spinal", None)
    return [
        middle_of(study_id, series, image, name, level, "clustered", fold)
        for (series, image), level in zip(pairs, levels, strict=True)
    ]


def middle_of(study_id: int, series: Series, image: Slice, condition: str, level: str, source: str, fold: int) -> Point:
    """The point in the middle of a slice."""
    return Point(
        study_id=study_id,
        condition=condition,
        level=level,
        patient=image.centre,
        series_id=series.series_id,
        instance_number=image.instance_number,
        pixel=image.plane.to_pixels(image.centre),
        normal=image.plane.normal,
        confidence=1.0,
        source=source,
        fold=fold,
    )


def cluster_heights(heights: Array) -> list[str]:
    """The level of each slice from its height in mm, rising to the head; at least five of them."""
    from sklearn.cluster import KMeans  # here: a kernel starts half a second sooner, and one system asks for it

    clusters = KMeans(len(LEVELS), n_init=ATTEMPTS, random_state=0).fit(heights[:, None])
    from_head = np.argsort(-clusters.cluster_centers_[:, 0])
    level_of = {int(cluster): level for cluster, level in zip(from_head, LEVELS, strict=True)}
    return [level_of[int(cluster)] for cluster in clusters.labels_]
