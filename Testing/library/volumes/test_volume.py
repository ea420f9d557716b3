"""CTVolume: what it accepts, and that a crop stays where it was."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.volumes import CTVolume


@pytest.fixture
def oblique() -> CTVolume:
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * (0.7, 0.9, 2.5)
    affine[:3, 3] = (-123.4, 56.7, -890.1)
    return CTVolume(rng.integers(-1000, 1000, (4, 6, 8), dtype=np.int16), affine)


def test_shape_and_spacing(oblique):
    assert oblique.shape == (4, 6, 8)
    assert oblique.spacing == pytest.approx((0.7, 0.9, 2.5), abs=1e-12)


def test_position_follows_the_affine_and_broadcasts(oblique):
    expected = oblique.affine @ (3, 2, 1, 1)
    assert np.allclose(oblique.position(3, 2, 1), expected[:3], atol=1e-12)
    positions = oblique.position(np.arange(8)[None], np.arange(6)[:, None], 1)
    assert positions.shape == (6, 8, 3)
    assert np.allclose(positions[2, 3], expected[:3], atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(2, 5), slice(1, 7)), (slice(None), slice(-3, None)), (slice(1, 6, 2), slice(7, 0, -3))],
)
def test_crop_keeps_every_voxel_in_place(oblique, rows, columns):
    crop = oblique.crop(2, rows, columns)
    kept = list(product(range(6)[rows], range(8)[columns]))
    assert np.prod(crop.shape) == len(kept)
    for (row, column), (j, i) in zip(kept, np.ndindex(crop.shape[1:]), strict=True):
        assert crop.hu[0, j, i] == oblique.hu[2, row, column]
        assert np.abs(crop.position(i, j, 0) - oblique.position(column, row, 2)).max() < 1e-6


def test_crop_does_not_keep_the_volume_alive(oblique):
    crop = oblique.crop(0, slice(0, 2), slice(0, 2))
    crop.hu[:] = 0
    assert crop.hu.base is None or crop.hu.base is not oblique.hu
    assert oblique.hu[0, :2, :2].any()


@pytest.mark.parametrize(
    ("k", "rows", "columns"),
    [
        (4, slice(0, 2), slice(0, 2)),
        (-1, slice(0, 2), slice(0, 2)),
        (0, slice(0, 7), slice(0, 2)),
        (0, slice(0, 2), slice(-9, 2)),
        (0, slice(3, 3), slice(0, 2)),
    ],
)
def test_crop_outside_is_an_error(oblique, k, rows, columns):
    with pytest.raises(VolumeError):
        oblique.crop(k, rows, columns)


def test_with_hu_keeps_the_place(oblique):
    other = oblique.with_hu(np.zeros(oblique.shape, np.float32))
    assert other.hu.dtype == np.float32
    assert np.array_equal(other.affine, oblique.affine)
    with pytest.raises(VolumeError, match="do not fit"):
        oblique.with_hu(np.zeros((4, 6, 7), np.float32))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.zeros((1, 2, 2), np.int16), np.int16),
        (np.zeros((1, 2, 2), np.float32), np.float32),
        (np.full((1, 2, 2), 255, np.uint8), np.int16),
        (np.full((1, 2, 2), 3071, ">i4"), np.int16),
        (np.full((1, 2, 2), 40000, np.uint16), np.float32),
        (np.full((1, 2, 2), 0.5, np.float64), np.float32),
    ],
)
def test_values_become_int16_or_float32(values, dtype):
    volume = CTVolume(values, np.eye(4))
    assert volume.hu.dtype == dtype
    assert np.array_equal(volume.hu, values)


def test_arrays_of_the_right_type_are_not_copied():
    hu = np.zeros((1, 2, 2), np.float32)
    assert CTVolume(hu, np.eye(4)).hu is hu


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(bad):
    hu = np.zeros((3, 4, 4), np.float32)
    hu[1, 0, :2] = hu[2, 3, 3] = bad
    with pytest.raises(VolumeError, match=r"3 values .* first in slice 1.*here\.nrrd"):
        CTVolume(hu, np.eye(4), "here.nrrd")


def test_values_beyond_float32_are_not_finite():
    with pytest.raises(VolumeError, match="1 values"):
        CTVolume(np.array([[[1e300, 0.0]]]), np.eye(4))


@pytest.mark.parametrize(
    "hu", [np.zeros((2, 2)), np.zeros((0, 2, 2)), np.zeros((1, 2, 2), bool), np.array("x")]
)
def test_values_that_are_no_volume(hu):
    with pytest.raises(VolumeError):
        CTVolume(hu, np.eye(4))


@pytest.mark.parametrize(
    "affine",
    [
        np.eye(3),
        np.diag([1.0, 1, np.nan, 1]),
        np.diag([1.0, 1, 0, 1]),
        np.diag([1.0, 1, 1, 2]),
        np.array([[1.0, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
)
def test_affines_that_are_none(affine):
    with pytest.raises(VolumeError, match="affine"):
        CTVolume(np.zeros((1, 2, 2), np.int16), affine)


def test_the_affine_is_a_read_only_copy():
    affine = np.eye(4)
    volume = CTVolume(np.zeros((1, 2, 2), np.int16), affine)
    affine[0, 0] = 5
    assert volume.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 2


def test_thin_tiny_voxels_are_not_singular():
    affine = np.diag([1e-4, 1e-4, 1e-4, 1.0])
    assert CTVolume(np.zeros((1, 2, 2), np.int16), affine).spacing == pytest.approx((1e-4,) * 3)
