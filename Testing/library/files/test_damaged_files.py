"""No damaged volume file passes as a right one: bits are turned and files are cut at every place."""

from __future__ import annotations

import bz2
import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import write_metaimage, write_nrrd

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.files import read_volume, volume_grid
from CTInvarianceLib.volumes import CTVolume

HU = np.random.default_rng(5).integers(-1024, 2000, (3, 6, 7)).astype(np.int16)


def itk(path: Path, *, compressed: bool) -> Path:
    image = sitk.GetImageFromArray(HU)
    image.SetSpacing((0.75, 0.5, 2.5))
    image.SetOrigin((-10.5, 20.25, 300.125))
    sitk.WriteImage(image, str(path), compressed)
    return path


def bzipped(path: Path) -> Path:
    place = "space directions: (0.75,0,0) (0,0.5,0) (0,0,2.5)", "space origin: (-10.5,20.25,300.125)"
    write_nrrd(path, HU, "space: LPS", *place, encoding="bzip2")
    header = path.read_bytes()[: -HU.nbytes]
    path.write_bytes(header + bz2.compress(HU.tobytes()))
    return path


WRITERS = {
    "gzip nrrd": lambda folder: itk(folder / "a.nrrd", compressed=True),
    "bzip2 nrrd": lambda folder: bzipped(folder / "a.nrrd"),
    "raw nrrd": lambda folder: itk(folder / "a.nrrd", compressed=False),
    "gzip nhdr": lambda folder: itk(folder / "a.nhdr", compressed=True),
    "raw nhdr": lambda folder: itk(folder / "a.nhdr", compressed=False),
    "zlib mha": lambda folder: itk(folder / "a.mha", compressed=True),
    "raw mha": lambda folder: itk(folder / "a.mha", compressed=False),
    "zlib mhd": lambda folder: itk(folder / "a.mhd", compressed=True),
    "raw mhd": lambda folder: itk(folder / "a.mhd", compressed=False),
    "nii.gz": lambda folder: itk(folder / "a.nii.gz", compressed=True),
    "nii": lambda folder: itk(folder / "a.nii", compressed=False),
}
UNPROVABLE = {"raw nrrd", "raw nhdr", "raw mha", "raw mhd", "nii"}  # voxels without a checksum
SCALE_OF_NIFTI = range(112, 120)  # of an uncompressed header: nothing says what it should be


def read(path: Path) -> CTVolume | None:
    """The volume; None where it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read_volume(path)
        except VolumeError as error:
            return None if path.name in str(error) else pytest.fail(f"{error} names no file")


def voxels_file(header: Path) -> Path:
    """The file of the voxels: the header's own, or the one beside it."""
    return next((each for each in header.parent.iterdir() if each != header), header)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_turned_bit_is_found_or_does_nothing_or_changes_a_voxel_that_nothing_proves(tmp_path, kind):
    path = WRITERS[kind](tmp_path)
    whole = read(path)
    assert np.array_equal(whole.hu, HU)
    refused = 0
    for file in {path, voxels_file(path)}:
        content = file.read_bytes()
        first_voxel = (
            len(content) - HU.nbytes if kind in UNPROVABLE and file == voxels_file(path) else len(content)
        )
        for place in range(len(content)):
            turned = bytearray(content)
            turned[place] ^= 1 << place % 8
            file.write_bytes(turned)
            volume = read(path)
            if volume is None:
                refused += 1
            elif place >= first_voxel:
                assert np.count_nonzero(volume.hu != HU) == 1
            elif not (kind == "nii" and place in SCALE_OF_NIFTI):
                assert np.array_equal(volume.hu, HU), (file.name, place, content[place])
                assert kind != "nii.gz" or np.array_equal(volume.affine, whole.affine)
        file.write_bytes(content)
    assert refused > 20


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_is_cut_anywhere_or_longer_is_refused(tmp_path, kind):
    path = WRITERS[kind](tmp_path)
    file = voxels_file(path)
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        assert read(path) is None, length
    for more in (b"\0", b"\n", content[-40:], content):
        file.write_bytes(content + more)
        volume = read(path)
        if kind == "bzip2 nrrd" or (
            more == b"\0" and "gz" in kind
        ):  # behind the end of a stream that proves itself
            assert np.array_equal(volume.hu, HU)
        else:
            assert volume is None
    file.write_bytes(content)
    assert read(path) is not None


@pytest.mark.parametrize("kind", sorted({*WRITERS} - {"bzip2 nrrd"}))
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.98])
def test_a_cut_file_is_found_without_reading_its_voxels(tmp_path, kind, fraction):
    path = WRITERS[kind](tmp_path)
    assert volume_grid(path) == ((3, 6, 7), pytest.approx((0.75, 0.5, 2.5)))
    file = voxels_file(path)
    file.write_bytes(file.read_bytes()[: int(fraction * file.stat().st_size)])
    with pytest.raises(VolumeError, match=path.name):
        volume_grid(path)


@pytest.mark.parametrize("kind", ["raw mhd", "zlib mhd", "raw nhdr", "gzip nhdr"])
def test_a_header_alone_says_which_file_is_missing(tmp_path, kind):
    path = WRITERS[kind](tmp_path)
    missing = voxels_file(path)
    missing.unlink()
    for reading in (read_volume, volume_grid):
        with pytest.raises(VolumeError, match=rf"{missing.name}.*{path.name}.*copy both"):
            reading(path)


@pytest.mark.parametrize(
    "size", ["7 6 4", "7 6 2", "70000 60000 30000", "0 6 3", "-7 -6 3", "7 6", "7 6 3 2", "7.5 6 3"]
)
def test_sizes_that_do_not_fit_the_voxels(tmp_path, size):
    lines = "ElementSpacing = 1 1 1", "ElementType = MET_SHORT", "ElementDataFile = LOCAL"
    write_metaimage(
        tmp_path / "a.mha", HU.tobytes(), f"NDims = {len(size.split())}", f"DimSize = {size}", *lines
    )
    with pytest.raises(VolumeError, match=r"a\.mha"):
        read_volume(tmp_path / "a.mha")


def test_a_stream_that_unpacks_to_gigabytes_is_given_up_early(tmp_path):
    import zlib

    packed = zlib.compress(bytes(1 << 26), 9)
    write_metaimage(
        tmp_path / "a.mha", packed, "NDims = 3", "DimSize = 7 6 3", "ElementSpacing = 1 1 1", "CompressedData = True",
        "ElementType = MET_SHORT", "ElementDataFile = LOCAL",
    )  # fmt: skip
    with pytest.raises(VolumeError, match="longer than its header says"):
        read_volume(tmp_path / "a.mha")


def test_gzip_streams_that_follow_each_other_are_one(tmp_path):
    """As programs write that pack blocks in parallel; the last length is then that of the last block."""
    import gzip

    path = WRITERS["nii"](tmp_path)
    content = path.read_bytes()
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]) + gzip.compress(b""))
    assert volume_grid(packed)[0] == HU.shape
    assert np.array_equal(read(packed).hu, HU)
    packed.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:-2]))
    assert read(packed) is None


def test_a_nifti_in_an_uncompressed_file_of_a_compressed_name_is_named(tmp_path):
    shutil.copy(WRITERS["nii"](tmp_path), tmp_path / "b.nii.gz")
    with pytest.raises(VolumeError, match=r"not gzip.*b\.nii\.gz"):
        read_volume(tmp_path / "b.nii.gz")


@pytest.mark.parametrize(("magic", "length"), [(b"ni1\0", 348), (b"\0\0\0\0", 348), (b"n+2\0", 540)])
def test_kindred_formats_are_not_read_as_nifti(tmp_path, magic, length):
    """A header of two files, Analyze, and NIfTI-2."""
    path = WRITERS["nii"](tmp_path)
    content = bytearray(path.read_bytes())
    content[:4], content[344:348] = struct.pack("<i", length), magic
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="not a whole NIfTI-1 file"):
        read_volume(path)
