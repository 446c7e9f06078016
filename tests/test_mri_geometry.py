"""Image planes against physics: where a pixel lies in the body, and back."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbar.mri.geometry import BACK, HEAD, LEFT, Plane, anatomical_plane, displayed, unit
from scans import AXIAL, SAGITTAL, turned

millimetres = st.floats(-400, 400)
spacings = st.floats(0.1, 5)
triples = st.tuples(millimetres, millimetres, millimetres)


@st.composite
def planes(draw) -> Plane:
    """Planes anywhere, turned any way."""
    axis = draw(triples.filter(lambda vector: np.linalg.norm(vector) > 1))
    rotation = turned(axis, draw(st.floats(-180, 180)))
    orientation = np.concatenate([rotation @ AXIAL[:3], rotation @ AXIAL[3:]])
    return Plane.of(draw(triples), orientation, draw(st.tuples(spacings, spacings)))


@given(planes(), st.lists(st.tuples(st.floats(-50, 600), st.floats(-50, 600)), min_size=1, max_size=4))
def test_a_pixel_survives_the_way_to_the_patient_and_back(plane, pixels):
    points = plane.to_patient(pixels)
    assert points.shape == (len(pixels), 3)
    np.testing.assert_allclose(plane.to_pixels(points), pixels, atol=1e-6)
    np.testing.assert_allclose(plane.distance(points), 0, atol=1e-6)


@given(planes(), triples)
def test_a_point_is_its_projection_plus_its_distance_along_the_normal(plane, point):
    projected = plane.to_patient(plane.to_pixels(point))
    np.testing.assert_allclose(projected + plane.distance(point) * plane.normal, point, atol=1e-6)


@given(planes())
def test_a_planes_axes_and_normal_are_a_right_handed_frame(plane):
    frame = np.stack([plane.x_axis, plane.y_axis, plane.normal])
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(frame) == pytest.approx(1)


@given(planes(), st.floats(0, 500), st.floats(0, 500))
def test_pixels_lie_apart_by_their_spacing(plane, x, y):
    here, right, below = plane.to_patient([[x, y], [x + 1, y], [x, y + 1]])
    assert np.linalg.norm(right - here) == pytest.approx(plane.x_spacing)
    assert np.linalg.norm(below - here) == pytest.approx(plane.y_spacing)


def test_the_first_three_cosines_are_the_direction_of_growing_column_index():
    plane = Plane.of([0, 0, 0], SAGITTAL, [1, 1])
    np.testing.assert_allclose(plane.to_patient([10, 0]), 10 * BACK, atol=1e-12)
    np.testing.assert_allclose(plane.to_patient([0, 10]), -10 * HEAD, atol=1e-12)


def test_pixel_spacing_is_that_of_rows_and_then_that_of_columns():
    plane = Plane.of([0, 0, 0], AXIAL, [0.5, 2.0])
    assert (plane.y_spacing, plane.x_spacing) == (0.5, 2.0)
    np.testing.assert_allclose(plane.to_patient([3, 4]), [6.0, 2.0, 0.0])


def test_the_position_is_the_centre_of_the_first_pixel():
    plane = Plane.of([-12.5, 3.0, 40.0], AXIAL, [0.7, 0.7])
    np.testing.assert_array_equal(plane.to_patient([0, 0]), [-12.5, 3.0, 40.0])


def test_an_example_of_the_standards_equation_worked_out_by_hand():
    # PS3.3, C.7.6.2.1.1: P = X * di * i + Y * dj * j + S, here with a plane turned by 30 degrees about the head's axis.
    cosine, sine = np.cos(np.deg2rad(30)), 0.5
    plane = Plane.of([10, 20, 30], [cosine, sine, 0, 0, 0, -1], [2, 4])
    np.testing.assert_allclose(plane.to_patient([5, 7]), [10 + 20 * cosine, 20 + 20 * sine, 30 - 14])


@pytest.mark.parametrize("degrees", [0, 15, -40])
def test_turning_the_patient_with_the_plane_leaves_pixels_where_they_are(degrees):
    rotation = turned([1, 2, 3], degrees)
    straight = Plane.of([1, 2, 3], SAGITTAL, [0.6, 0.8])
    oblique = Plane.of(rotation @ [1, 2, 3], [*rotation @ SAGITTAL[:3], *rotation @ SAGITTAL[3:]], [0.6, 0.8])
    point = np.array([17.0, -30.0, 55.0])
    np.testing.assert_allclose(oblique.to_pixels(rotation @ point), straight.to_pixels(point), atol=1e-9)
    assert oblique.distance(rotation @ point) == pytest.approx(straight.distance(point))


def test_cosines_that_are_not_quite_square_are_made_square():
    plane = Plane.of([0, 0, 0], [1, 0, 0, 1e-3, 1, 0], [1, 1])
    assert plane.x_axis @ plane.y_axis == pytest.approx(0, abs=1e-12)


def test_the_normal_of_a_sagittal_plane_points_to_the_right_and_of_an_axial_to_the_head():
    np.testing.assert_allclose(Plane.of([0, 0, 0], SAGITTAL, [1, 1]).normal, -LEFT)
    np.testing.assert_allclose(Plane.of([0, 0, 0], AXIAL, [1, 1]).normal, HEAD)


def test_a_spacing_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"pixel spacing must be above 0, got 0\.0 and 1\.0"):
        Plane.of([0, 0, 0], AXIAL, [0, 1])


@pytest.mark.parametrize("direction", [[0, 0, 0], [np.nan, 0, 0]])
def test_a_direction_that_is_none_is_refused(direction):
    with pytest.raises(ValueError, match="finite vector that is not zero"):
        unit(direction)


@pytest.mark.parametrize(
    ("orientation", "name"),
    [(SAGITTAL, "sagittal"), (AXIAL, "axial"), ((1, 0, 0, 0, 0, -1), "coronal")],
)
def test_a_tilted_plane_keeps_the_name_of_the_nearest_anatomical_one(orientation, name):
    rotation = turned([1, 1, 1], 25)
    plane = Plane.of([0, 0, 0], [*rotation @ orientation[:3], *rotation @ orientation[3:]], [1, 1])
    assert anatomical_plane(plane) == name


@given(planes())
def test_a_displayed_plane_is_the_same_plane_turned_to_the_radiologists_view(plane):
    shown = displayed(plane, anatomical_plane(plane))
    assert abs(shown.normal @ plane.normal) == pytest.approx(1)
    assert shown.x_axis @ shown.y_axis == pytest.approx(0, abs=1e-9)
    towards = {"sagittal": (BACK, -HEAD), "coronal": (LEFT, -HEAD), "axial": (LEFT, BACK)}[anatomical_plane(plane)]
    assert shown.x_axis @ towards[0] > 0
    assert shown.y_axis @ towards[1] > 0


@pytest.mark.parametrize("cosines", [SAGITTAL, (0, -1, 0, 0, 0, -1), (0, 0, -1, 0, 1, 0), (0, -1, 0, 0, 0, 1)])
def test_however_a_sagittal_image_was_stored_it_is_shown_face_to_the_left_and_head_up(cosines):
    shown = displayed(Plane.of([0, 0, 0], cosines, [1, 1]), "sagittal")
    np.testing.assert_allclose([shown.x_axis, shown.y_axis], [BACK, -HEAD], atol=1e-12)


def test_the_public_axial_stack_is_one_stack_of_parallel_planes(rsna):
    table = pd.read_csv(rsna / "public_test_axial_geometry.csv").sort_values("instance_number", ascending=False)
    axes = ["iop_rx", "iop_ry", "iop_rz", "iop_cx", "iop_cy", "iop_cz"]
    stack = [
        Plane.of(position, orientation, spacing)
        for position, orientation, spacing in zip(
            table[["ipp_x", "ipp_y", "ipp_z"]].to_numpy(),
            table[axes].to_numpy(),
            table[["row_spacing", "col_spacing"]].to_numpy(),
            strict=True,
        )
    ]
    assert {anatomical_plane(plane) for plane in stack} == {"axial"}
    steps = [float(lower.distance(upper.position)) for lower, upper in pairwise(stack)]
    # The published SpacingBetweenSlices; the step along z alone is 4.375.
    np.testing.assert_allclose(steps, table["spacing_between_slices"].iloc[0], atol=2e-3)
    drift = [plane.to_pixels(stack[0].position) for plane in stack]
    np.testing.assert_allclose(drift, 0, atol=0.02)
