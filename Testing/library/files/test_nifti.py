"""NIfTI headers as the standard has them, against ITK and closed forms; what contradicts itself is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import write_nifti

from CTInvarianceLib.base import GeometryWarning, VolumeError
from CTInvarianceLib.files import read_volume, volume_grid

HU = np.random.default_rng(2).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
STRAIGHT = np.diag([0.7, 0.8, 2.5, 1.0])


def moved(matrix, *shift):
    matrix = matrix.copy()
    matrix[:3, 3] = shift
    return matrix


def turned(degrees):
    """About z, 0.7 x 0.8 x 2.5 mm."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[:2, :2] = [[c, -s], [s, c]]
    return matrix @ STRAIGHT


# Place


def test_sform_alone(tmp_path):
    sform = moved(STRAIGHT, 10, -20, 30)
    path = write_nifti(tmp_path / "a.nii", HU, pixdim=(0.7, 0.8, 2.5), sform=sform)
    assert np.abs(read_volume(path).affine - LPS @ sform).max() < 1e-6


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_sform_whose_pixdim_says_something_else(tmp_path, suffix):
    path = write_nifti(tmp_path / f"a{suffix}", HU, pixdim=(1, 1, 1), sform=STRAIGHT)
    with pytest.warns(
        GeometryWarning, match=r"pixdim says voxels of 1 x 1 x 1 mm, sform 0\.7 x 0\.8 x 2\.5 mm"
    ):
        volume = read_volume(path)
    assert volume.spacing == pytest.approx((0.7, 0.8, 2.5))
    with pytest.warns(GeometryWarning, match="sform is taken"):
        assert volume_grid(path) == (HU.shape, pytest.approx((0.7, 0.8, 2.5)))


@pytest.mark.parametrize("qfac", [1, -1, 0])
@pytest.mark.parametrize(
    "quatern", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0.1, -0.05, 0.9), (0, 0.0, np.sqrt(0.5)), (0.2, 0.1, 0.05)]
)
def test_a_qform_alone_is_placed_as_by_itk(tmp_path, quatern, qfac):
    path = write_nifti(
        tmp_path / "a.nii",
        HU,
        pixdim=(0.7, 0.8, 2.5),
        qfac=qfac,
        quatern=quatern,
        qoffset=(5, 6, 7),
        qform_code=1,
    )
    image = sitk.ReadImage(str(path))
    volume = read_volume(path)
    for index in [(0, 0, 0), (5, 4, 3)]:
        place = image.TransformIndexToPhysicalPoint(index)
        assert volume.position(*index) == pytest.approx(place, abs=1e-5)


def test_a_quaternion_that_is_no_rotation(tmp_path):
    path = write_nifti(tmp_path / "a.nii", HU, quatern=(0.9, 0.9, 0), qform_code=1)
    with pytest.raises(VolumeError, match=r"no rotation: quaternion 0\.9, 0\.9, 0.*a\.nii"):
        read_volume(path)


def test_forms_that_agree_but_for_their_rounding_say_nothing(tmp_path):
    half = np.radians(30) / 2
    path = write_nifti(
        tmp_path / "a.nii",
        HU,
        pixdim=(0.7, 0.8, 2.5),
        sform=turned(30),
        quatern=(0, 0, np.sin(half)),
        qform_code=1,
    )
    assert np.abs(read_volume(path).affine - LPS @ turned(30)).max() < 1e-6


@pytest.mark.parametrize(
    ("sform_code", "qform_code", "taken"),
    [(1, 1, "qform"), (1, 2, "sform"), (4, 1, "qform"), (2, 2, "qform")],
)
def test_forms_that_contradict_each_other(tmp_path, sform_code, qform_code, taken):
    """The scanner's place is taken; a standard space has other millimetres."""
    wide = np.diag([0.9, 0.9, 3.0, 1.0])
    path = write_nifti(
        tmp_path / "a.nii",
        HU,
        pixdim=(0.7, 0.8, 2.5),
        sform=wide,
        sform_code=sform_code,
        qform_code=qform_code,
    )
    with pytest.warns(GeometryWarning) as caught:
        volume = read_volume(path)
    assert any(
        f"{taken} is taken" in str(each.message)
        and "sform" in str(each.message)
        and "qform" in str(each.message)
        for each in caught
    )
    assert volume.spacing == pytest.approx((0.7, 0.8, 2.5) if taken == "qform" else (0.9, 0.9, 3.0))


def test_without_a_place_it_is_said_that_nobody_knows_left(tmp_path):
    path = write_nifti(tmp_path / "a.nii", HU, pixdim=(0.7, 0.8, 2.5))
    with pytest.warns(GeometryWarning, match=r"sform and qform are unset.*left"):
        volume = read_volume(path)
    assert np.abs(volume.affine - STRAIGHT).max() < 1e-6
    assert volume.affine[:3, :3].ravel().tolist() == pytest.approx(
        np.multiply(sitk.ReadImage(str(path)).GetDirection(), np.tile((0.7, 0.8, 2.5), 3)), abs=1e-6
    )


@pytest.mark.parametrize(("units", "scale"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (2 + 8, 1)])
def test_units_of_length(tmp_path, units, scale):
    place = moved(STRAIGHT, 10, 20, 30) / (scale, scale, scale, 1)
    place[:3, 3] = np.divide((10, 20, 30), scale)
    path = write_nifti(
        tmp_path / "a.nii", HU, pixdim=np.divide((0.7, 0.8, 2.5), scale), sform=place, units=units
    )
    assert np.abs(read_volume(path).affine - LPS @ moved(STRAIGHT, 10, 20, 30)).max() < 1e-4


@pytest.mark.parametrize(
    ("sform", "pixdim"),
    [(np.zeros((4, 4)), (1, 1, 1)), (np.full((4, 4), np.nan), (1, 1, 1)), (None, (0, 1, 1))],
)
def test_places_that_are_none(tmp_path, sform, pixdim):
    path = write_nifti(tmp_path / "a.nii", HU, sform=sform, pixdim=pixdim)
    with pytest.raises(VolumeError, match=r"its header.*a\.nii"):
        read_volume(path)


def test_a_single_slice_needs_no_thickness(tmp_path):
    path = write_nifti(tmp_path / "a.nii", HU[:1], pixdim=(0.7, 0.8, 0), qform_code=1, dims=(6, 5))
    volume = read_volume(path)
    assert volume.shape == (1, 5, 6)
    assert volume.spacing == pytest.approx((0.7, 0.8, 1))


# Axes that are not at right angles


@pytest.mark.parametrize("degrees", [-25, 0.1, 15])
@pytest.mark.parametrize("qform_code", [0, 1])
def test_the_sheared_affine_of_a_tilted_gantry(tmp_path, degrees, qform_code):
    """A qform cannot hold it; where a program wrote one all the same, the sform is right."""
    sheared = STRAIGHT.copy()
    sheared[1, 2] = 2.5 * np.tan(np.radians(degrees))
    pixdim = np.linalg.norm(sheared[:3, :3], axis=0)
    path = write_nifti(tmp_path / "a.nii", HU, pixdim=pixdim, sform=sheared, qform_code=qform_code)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volume = read_volume(path)
    assert np.abs(volume.affine - LPS @ sheared).max() < 1e-6
    assert any("sform is taken" in str(each.message) for each in caught) == bool(
        qform_code and abs(degrees) > 1
    )


def test_rounded_axes(tmp_path):
    rounded = STRAIGHT.copy()
    rounded[0, 1] = 1e-3
    path = write_nifti(tmp_path / "a.nii", HU, pixdim=(0.7, 0.8, 2.5), sform=rounded)
    assert np.abs(read_volume(path).affine - LPS @ rounded).max() < 1e-6


# Values


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_in_both_byte_orders(tmp_path, dtype, order):
    stored = np.arange(120).reshape(4, 5, 6).astype(dtype)
    volume = read_volume(
        write_nifti(tmp_path / "a.nii.gz", stored, sform=STRAIGHT, pixdim=(0.7, 0.8, 2.5), order=order)
    )
    assert volume.hu.dtype == (np.float32 if dtype.startswith("f") else np.int16)
    assert np.array_equal(volume.hu, stored)
    assert volume.hu.flags.writeable


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_no_slope_is_no_scaling(tmp_path, slope):
    path = write_nifti(
        tmp_path / "a.nii", HU, sform=STRAIGHT, pixdim=(0.7, 0.8, 2.5), slope=slope, inter=-1024
    )
    assert np.array_equal(read_volume(path).hu, HU)


@pytest.mark.parametrize(("slope", "inter"), [(1, -1024), (2, 0), (0.5, 0.25), (-1, 10), (1, 40000)])
def test_slope_and_intercept(tmp_path, slope, inter):
    stored = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    path = write_nifti(
        tmp_path / "a.nii", stored, sform=STRAIGHT, pixdim=(0.7, 0.8, 2.5), slope=slope, inter=inter
    )
    volume = read_volume(path)
    assert np.array_equal(volume.hu, stored.astype(float) * slope + inter)
    assert volume.hu.dtype == (np.int16 if slope != 0.5 and inter < 32000 else np.float32)


def test_an_intercept_that_is_no_number(tmp_path):
    path = write_nifti(tmp_path / "a.nii", HU, inter=np.nan)
    with pytest.raises(VolumeError, match=r"scl_inter nan.*a\.nii"):
        read_volume(path)


# Sizes


def test_dimensions_of_length_one_do_not_count(tmp_path):
    path = write_nifti(tmp_path / "a.nii", HU, sform=STRAIGHT, pixdim=(0.7, 0.8, 2.5), dims=(6, 5, 4, 1, 1))
    assert read_volume(path).shape == (4, 5, 6)
    path = write_nifti(tmp_path / "b.nii", HU, dims=(6, 5, 2, 2))
    with pytest.raises(VolumeError, match=r"4 dimensions instead of 3.*b\.nii"):
        read_volume(path)


@pytest.mark.parametrize("vox_offset", [0, 352])
def test_voxels_behind_the_header(tmp_path, vox_offset):
    path = write_nifti(tmp_path / "a.nii", HU, sform=STRAIGHT, pixdim=(0.7, 0.8, 2.5), vox_offset=vox_offset)
    assert np.array_equal(read_volume(path).hu, HU)


@pytest.mark.parametrize("vox_offset", [-352, 100, 352.5, np.nan])
def test_voxels_that_begin_nowhere(tmp_path, vox_offset):
    path = write_nifti(tmp_path / "a.nii", HU, vox_offset=vox_offset)
    with pytest.raises(VolumeError, match=r"a\.nii"):
        read_volume(path)
