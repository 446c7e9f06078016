"""Faults of a series: each is told in words, or changes no pixel and no place."""

import shutil

import numpy as np
import pytest

from lumbar.labels import SERIES_DESCRIPTIONS, plane_of, sequence_of
from lumbar.mri.geometry import Plane
from lumbar.mri.series import read_series
from lumbar.phantom import FAULTS
from small_studies import OF_FILES, say, write_series

FITTING = [
    (name, kind) for name in OF_FILES for kind in SERIES_DESCRIPTIONS if kind.startswith(FAULTS[name].description)
]
HARMLESS = [(name, kind) for name, kind in FITTING if FAULTS[name].harmless]


def test_a_healthy_series_is_nothing_to_speak_of(templates):
    for description, folder in templates.items():
        assert say(folder, description) == []


@pytest.mark.parametrize(("name", "description"), FITTING)
def test_a_fault_of_a_series_is_told(name, description, tmp_path):
    for seed in range(2):
        folder = tmp_path / str(seed) / "77"
        write_series(folder, description)
        detail = FAULTS[name].damage(folder, np.random.default_rng(seed))
        told = say(folder, description)
        tell = FAULTS[name].tell.format(detail=detail)
        assert not tell or any(tell in message for message in told), (detail, told)
        assert all(message.startswith(f"{folder}") for message in told)


@pytest.mark.parametrize(("name", "description"), HARMLESS)
def test_what_is_said_to_be_harmless_changes_no_pixel_and_no_place(name, description, templates, tmp_path):
    before = read_series(templates[description], plane_of(description), sequence_of(description))
    for seed in range(3):
        folder = tmp_path / str(seed) / "77"
        shutil.copytree(templates[description], folder)
        FAULTS[name].damage(folder, np.random.default_rng(seed))
        after = read_series(folder, plane_of(description), sequence_of(description))
        assert after.problems == ()
        assert after.series_id == before.series_id
        assert after.instance_numbers == before.instance_numbers
        for one, other in zip(before.slices, after.slices, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_allclose(plane_numbers(one.plane), plane_numbers(other.plane), atol=1e-9)


def plane_numbers(plane: Plane) -> list[float]:
    """A plane as numbers."""
    return [*plane.position, *plane.x_axis, *plane.y_axis, plane.x_spacing, plane.y_spacing]


def test_nothing_but_what_is_harmless_may_stay_unsaid():
    assert [name for name, fault in FAULTS.items() if not fault.tell and not fault.harmless] == []


@pytest.mark.parametrize("name", ["padded_border", "untagged_border"])
def test_a_border_of_padding_is_painted_black_and_leaves_the_window_alone(name, templates, tmp_path):
    whole = read_series(templates["Axial T2"], "axial")
    for seed in range(4):
        folder = tmp_path / str(seed) / "77"
        shutil.copytree(templates["Axial T2"], folder)
        FAULTS[name].damage(folder, np.random.default_rng(seed))
        series = read_series(folder, "axial")
        padded = [image for image in series.slices if image.padding is not None]
        assert padded
        assert all((series.windowed(image)[image.padding] == 0).all() for image in padded)
        assert series.window[0] >= whole.window[0]


def test_a_steep_block_counts_as_axial_and_keeps_its_middle(templates, tmp_path):
    shutil.copytree(templates["Axial T2"], tmp_path / "77")
    before = read_series(templates["Axial T2"], "axial")
    FAULTS["steep_block"].damage(tmp_path / "77", np.random.default_rng(0))
    after = read_series(tmp_path / "77", "axial")
    steep = [image for image in after.slices if image.plane.normal[2] < np.cos(np.deg2rad(44))]
    assert 0 < len(steep) < len(after.slices) == len(before.slices)
    for image in after.slices:
        np.testing.assert_allclose(image.centre, before.by_instance_number(image.instance_number).centre, atol=1e-3)
