"""Our own writers, as other programs read them, and slice by slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import directions, volume_of

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.files import read_volume, require_writable, volume_files, write_volume, writing_volume
from CTInvarianceLib.volumes import CTVolume

FORMATS = (".nrrd", ".mha", ".nii.gz", ".nii")


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("direction", [*directions(), "half a turn", "permuted"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_itk_reads_what_we_write_where_it_lies(tmp_path, suffix, direction, dtype):
    turns = {"half a turn": np.diag([-1.0, -1, 1]), "permuted": np.eye(3)[[2, 0, 1]], **directions()}
    volume, path = volume_of(turns[direction], dtype), tmp_path / f"a{suffix}"
    if direction == "sheared" and suffix.startswith(".nii"):
        return
    write_volume(volume, path)
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.hu)
    assert sitk.GetArrayFromImage(image).dtype == dtype
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    assert np.abs(affine - volume.affine).max() < (1e-4 if suffix.startswith(".nii") else 1e-12)


@pytest.mark.parametrize("suffix", FORMATS)
def test_slices_that_come_one_after_the_other_make_the_same_file(tmp_path, suffix):
    volume = volume_of(directions()["oblique"], slices=7)
    write_volume(volume, tmp_path / f"a{suffix}")
    with writing_volume(tmp_path / f"b{suffix}", volume) as append:
        for first, last in ((0, 1), (1, 5), (5, 5), (5, 7)):
            append(volume.hu[first:last])
            assert not (tmp_path / f"b{suffix}").exists()
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert np.array_equal(read_volume(tmp_path / f"b{suffix}").hu, volume.hu)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (np.zeros((2, 4, 5)), "only 2 of 3 slices"),
        (np.zeros((0, 4, 5)), "only 0 of 3 slices"),
        (np.zeros((4, 4, 5)), "slice 3, of shape .* does not fit"),
        (np.zeros((3, 5, 4)), "slice 0, of shape .* does not fit"),
        (np.full((3, 4, 5), np.nan), "slice 0 are NaN"),
    ],
)
def test_slices_that_do_not_make_the_volume_leave_the_old_file(tmp_path, suffix, slices, message):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def write() -> None:
        with writing_volume(path, volume_of(np.eye(3))) as append:
            append(slices)

    with pytest.raises(VolumeError, match=rf"{message}.*{path.name}"):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_more_voxels_than_nifti_counts(tmp_path):
    long = CTVolume(np.zeros((1, 1, 32768), np.int16), np.eye(4))
    require_writable(tmp_path / "a.mha", long)
    for suffix in (".nii", ".nii.gz"):
        with pytest.raises(VolumeError, match=r"no more than 32767 voxels.*Use \.nrrd"):
            require_writable(tmp_path / f"a{suffix}", long)


def test_the_files_of_a_volume(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16))
    for name in ("a.nrrd", "b.mhd", "c.nhdr"):
        sitk.WriteImage(image, str(tmp_path / name))

    def names(path: Path) -> set[str]:
        return {each.name for each in volume_files(path)}

    assert names(tmp_path / "a.nrrd") == {"a.nrrd"}
    assert names(tmp_path / "b.mhd") == {"b.mhd", "b.raw"}
    assert names(tmp_path / "c.nhdr") == {"c.nhdr", "c.raw"}
    assert names(tmp_path) == {"a.nrrd", "b.mhd", "b.raw", "c.nhdr", "c.raw"}
    assert names(tmp_path / "slice.dcm") == {"slice.dcm"}
