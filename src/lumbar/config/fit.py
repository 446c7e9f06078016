"""Whether graders fit the views that they read: every misfit in words that name the key."""

from collections.abc import Iterator, Mapping

from lumbar.config.crop import ViewConfig
from lumbar.config.grade import GraderConfig
from lumbar.config.published import PublishedConfig

OF_THE_PIPELINE = (
    "slices_as",
    "pooling",
    "colours",
    "scaling",
    "level_embedding",
    "view_loss",
    "slice_loss",
    "drop_path",
    "points",
    "slice_shift",
    "suspects",
    "suspect_weight",
    "mixup",
    "cutmix",
    "augmentation",
    "turns",
    "shifts_mm",
)
"""Keys of the `grade` section that published systems do not heed: what these do is said in `published`."""


def find_misfits(
    graders: Mapping[str, GraderConfig], views: Mapping[str, ViewConfig], published: PublishedConfig | None
) -> Iterator[str]:
    """What does not fit, of graders and views by name; `published` is the section of a published system."""
    for name, grader in graders.items():
        if unknown := [view for view in grader.views if view not in views]:
            yield f"graders.{name}: there is no view {unknown[0]} in crop.views, there are {', '.join(views)}"
            continue
        if published:
            yield from _unheeded(grader)
        mine = {view: views[view] for view in grader.views}
        yield from _sequence_misfits(name, grader, mine)
        for view_name, view in mine.items():
            yield from _view_misfits(name, grader, view_name, view)
            if published and published.input.repeat_channels and view.slices != 1:
                yield f"published.input.repeat_channels needs crop.views.{view_name}.slices 1, got {view.slices}"
        if published and published.cells.pooled:
            yield from _pooling_misfits(mine)
        elif len(mine) > 1:
            yield from _joining_misfits(name, grader, mine)


def _unheeded(grader: GraderConfig) -> Iterator[str]:
    """What a published system's grader was told and would not do."""
    for key in OF_THE_PIPELINE:
        if (said := getattr(grader, key)) != (default := GraderConfig.model_fields[key].default):
            yield (
                f"grade.{key}: a published system does not heed it, what it does otherwise than the pipeline is said "
                f"in published; expected {default}, got {said}"
            )


def _sequence_misfits(name: str, grader: GraderConfig, views: Mapping[str, ViewConfig]) -> Iterator[str]:
    first = grader.views[0]
    if grader.slice_loss and grader.points == "detected":
        yield f"graders.{name}.slice_loss: only at annotated points (points: annotated, either) is a slice marked"
    if grader.slice_loss and views[first].series is not None:
        yield f"graders.{name}.slice_loss: no slice of {first}, which is another series than the points', is marked"


def _view_misfits(name: str, grader: GraderConfig, view_name: str, view: ViewConfig) -> Iterator[str]:
    if view.size < grader.image_size:
        yield f"crop.views.{view_name}.size {view.size} is below image_size {grader.image_size} of grader {name}"
    if grader.slice_shift and not view.spare:
        yield f"graders.{name}.slice_shift needs crop.views.{view_name}.spare slices"


def _joining_misfits(name: str, grader: GraderConfig, views: Mapping[str, ViewConfig]) -> Iterator[str]:
    if len({view.group for view in views.values()}) > 1:
        yield f"graders.{name}.views: expected views of one condition group"
    if any(grader.shifts_mm) and len({view.mm_per_pixel for view in views.values()}) > 1:
        yield f"graders.{name}.shifts_mm: joined views need one mm_per_pixel"
    if grader.slices_as != "sequence" or len({view.size for view in views.values()}) > 1:
        yield f"graders.{name}.views: joining needs slices_as: sequence, and views of one size"


def _pooling_misfits(views: Mapping[str, ViewConfig]) -> Iterator[str]:
    if len({(view.size, view.slices) for view in views.values()}) > 1:
        yield "published.cells.pooled needs views of one size and number of slices"
