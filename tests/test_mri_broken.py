"""Series broken at random: what is read is sound, and what is not is an error that names the folder."""

import contextlib
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumbar.labels import SERIES_DESCRIPTIONS, plane_of
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, SeriesError, read_series
from lumbar.phantom import FAULTS
from lumbar.phantom.faults.damage import unpack
from lumbar.phantom.replicas import PIXEL_DATA
from small_studies import OF_FILES

QUIET = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_sound(series: Series) -> None:
    """What every stage behind the reader relies on."""
    assert series.slices
    assert len(set(series.instance_numbers)) == len(series.slices)
    assert (np.diff(series.offsets) >= -1e-6).all()
    assert series.spacing > 0 or np.isnan(series.spacing)
    assert np.isnan(series.spacing) == (np.ptp(series.offsets) <= 0.01)
    for image in series.slices:
        assert image.pixels.dtype == np.float32
        assert np.isfinite(image.pixels).all()
        plane = image.plane
        assert min(plane.x_spacing, plane.y_spacing) > 0
        np.testing.assert_allclose([plane.x_axis @ plane.x_axis, plane.y_axis @ plane.y_axis], 1)
        assert plane.x_axis @ plane.y_axis == pytest.approx(0, abs=1e-9)
        assert np.isfinite(plane.position).all()
        assert sample_square(series, image, image.centre, 16, 2.0)[0].shape == (16, 16)


def read_or_name(folder: Path, plane: str) -> None:
    """Reads a series, which must be sound, or an error that names its folder."""
    try:
        assert_sound(read_series(folder, plane))
    except SeriesError as error:
        assert str(error).startswith((f"{folder}: the series ", f"{folder}.zip: the series "))


@QUIET
@given(
    st.lists(st.sampled_from(OF_FILES), min_size=1, max_size=5),
    st.sampled_from(SERIES_DESCRIPTIONS),
    st.integers(0, 999),
)
def test_any_faults_together_leave_a_sound_series_or_an_error_that_names_it(
    templates, tmp_path_factory, names, description, seed
):
    folder = tmp_path_factory.mktemp("together") / "77"
    shutil.copytree(templates[description], folder)
    rng = np.random.default_rng(seed)
    for name in names:
        with contextlib.suppress(BaseException):  # too broken already for this one; a decoder's panic is no Exception
            FAULTS[name].damage(folder, rng)
    read_or_name(folder, plane_of(description))


@QUIET
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.booleans())
def test_any_bytes_leave_a_sound_series_or_an_error_that_names_it(templates, tmp_path_factory, seed, count, in_header):
    folder = tmp_path_factory.mktemp("bytes") / "77"
    shutil.copytree(templates["Axial T2"], folder)
    rng = np.random.default_rng(seed)
    for path in sorted(folder.iterdir()):
        content = bytearray(path.read_bytes())
        end = content.index(PIXEL_DATA) if in_header else len(content)
        for place in rng.integers(0, end, count):
            content[place] = rng.integers(256)
        path.write_bytes(content)
    read_or_name(folder, "axial")


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_header_that_claims_gigabytes_costs_no_memory(templates, tmp_path, is_compressed):
    shutil.copytree(templates["Axial T2"], tmp_path / "77")
    for path in (tmp_path / "77").iterdir():
        dataset = pydicom.dcmread(path)
        if not is_compressed:
            unpack(dataset)
        dataset.Rows = dataset.Columns = 60_000
        dataset.save_as(path)
    tracemalloc.start()
    with pytest.raises(SeriesError, match="expected one grey image of 2 to 4096 pixels a side, got 1 of 60000 x 60000"):
        read_series(tmp_path / "77")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
