"""Volumes and sequences on disk: nothing moves, nothing is rounded, nothing half-written stays."""

from __future__ import annotations

import gzip
import os
import warnings
from itertools import product
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from image_files import directions, volume_of

from CTInvarianceLib.base import GeometryWarning, HounsfieldWarning, VolumeError, whole_file
from CTInvarianceLib.files import read_volume, require_writable, volume_grid, write_sequence, write_volume
from CTInvarianceLib.volumes import CTVolume

FORMATS = (".nrrd", ".mha", ".nii.gz", ".nii")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


# Round trips


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("direction", directions(), ids=str)
@pytest.mark.parametrize("suffix", FORMATS)
def test_values_and_place_survive(tmp_path, suffix, direction, dtype):
    volume = volume_of(directions()[direction], dtype)
    path = tmp_path / "new" / f"volume{suffix}"
    if direction == "sheared" and suffix.startswith(".nii"):
        with pytest.raises(VolumeError, match=r"sheared.*\.nrrd"):
            write_volume(volume, path)
        assert not path.parent.exists()
        return
    write_volume(volume, path)
    back = read_volume(path)
    assert back.hu.dtype == dtype
    assert np.array_equal(back.hu, volume.hu)
    # NIfTI-1 stores its affine in float32: 24 bits of up to 1373 mm.
    tolerance = 1e-4 if suffix.startswith(".nii") else 1e-6
    assert np.abs(back.affine - volume.affine).max() < tolerance
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, 1, -1]), np.eye(3)[[1, 0, 2]]])
@pytest.mark.parametrize("suffix", FORMATS)
def test_what_float32_can_hold_survives_in_every_format(tmp_path, suffix, direction):
    affine = np.eye(4)
    affine[:3, :3] = direction * (0.875, 1.25, 2.5)
    affine[:3, 3] = (-231.5, -386.25, 1373.125)
    volume = CTVolume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), affine)
    write_volume(volume, tmp_path / f"a{suffix}")
    assert np.abs(read_volume(tmp_path / f"a{suffix}").affine - affine).max() < 1e-6


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_detached_headers_are_read(tmp_path, suffix):
    volume = volume_of(directions()["oblique"])
    write_volume(volume, tmp_path / "a.nrrd")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nrrd")), str(tmp_path / f"b{suffix}"))
    back = read_volume(tmp_path / f"b{suffix}")
    assert np.array_equal(back.hu, volume.hu)
    assert np.abs(back.affine - volume.affine).max() < 1e-6
    with pytest.raises(VolumeError, match=r"not a format to write.*\.nrrd"):
        write_volume(volume, tmp_path / f"c{suffix}")


def test_a_nrrd_in_ras_becomes_lps(tmp_path):
    """As pynrrd and other programs write it."""
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    header = {
        "space": "right-anterior-superior",
        "space directions": np.diag([1.5, 2.0, 3.0]),
        "space origin": [10, 20, 30],
        "kinds": ["domain"] * 3,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pynrrd asks for the time in an old way
        nrrd.write(str(tmp_path / "ras.nrrd"), data, header, index_order="C")
    volume = read_volume(tmp_path / "ras.nrrd")
    assert np.array_equal(volume.hu, data)
    assert np.array_equal(
        volume.affine, LPS_TO_RAS @ [[1.5, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]]
    )


def test_other_number_types_are_converted(tmp_path):
    for dtype, expected in [(np.uint8, np.int16), (np.int32, np.int16), (np.float64, np.float32)]:
        sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), 7, dtype)), str(tmp_path / "a.nrrd"))
        volume = read_volume(tmp_path / "a.nrrd")
        assert volume.hu.dtype == expected
        assert (volume.hu == 7).all()


def test_a_two_dimensional_image_is_one_slice(tmp_path):
    image = sitk.GetImageFromArray(np.arange(12, dtype=np.int16).reshape(3, 4))
    image.SetSpacing((0.5, 0.7))
    image.SetOrigin((5, 6))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    volume = read_volume(tmp_path / "a.nrrd")
    assert volume.shape == (1, 3, 4)
    assert volume.position(3, 2, 0) == pytest.approx((6.5, 7.4, 0))


# What does not fit


def test_colour_vectors_and_four_dimensions(tmp_path):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((2, 3, 4, 3), np.uint8), isVector=True), str(tmp_path / "rgb.nrrd")
    )
    with pytest.raises(VolumeError, match=r"colour or vector image with 3.*rgb\.nrrd"):
        read_volume(tmp_path / "rgb.nrrd")
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((2, 2, 3, 4), np.int16), isVector=False), str(tmp_path / "4d.nrrd")
    )
    with pytest.raises(VolumeError, match=r"4 dimensions.*4d\.nrrd"):
        read_volume(tmp_path / "4d.nrrd")
    write_sequence(np.zeros((2, 4, 5)), volume_of(np.eye(3), slices=1), tmp_path / "a.seq.nrrd")
    with pytest.raises(VolumeError, match=r"4 dimensions|vector"):
        read_volume(tmp_path / "a.seq.nrrd")


def test_nan_is_an_error_that_names_the_file(tmp_path):
    hu = np.zeros((2, 3, 4), np.float32)
    hu[1, 2, 3] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / "a.mha"))
    with pytest.raises(VolumeError, match=r"1 values are NaN.*slice 1.*a\.mha"):
        read_volume(tmp_path / "a.mha")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("fraction", [0, 0.02, 0.5, 0.99])
def test_truncated_files_are_named(tmp_path, capfd, suffix, fraction):
    write_volume(volume_of(np.eye(3), slices=40), tmp_path / f"a{suffix}")
    path = tmp_path / f"cut{suffix}"
    whole = (tmp_path / f"a{suffix}").read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(VolumeError, match=f"cut{suffix}"):
        read_volume(path)


def test_a_file_that_is_something_else(tmp_path, capfd):
    for suffix in FORMATS:
        (tmp_path / f"a{suffix}").write_text("not an image " * 100)
        with pytest.raises(VolumeError, match=f"a{suffix}"):
            read_volume(tmp_path / f"a{suffix}")


def test_packed_and_unpacked_nifti_of_one_name_stay_apart(tmp_path):
    """ITK reads the unpacked one whichever is asked for."""
    first, second = volume_of(np.eye(3)), volume_of(np.eye(3)).with_hu(np.ones((3, 4, 5), np.float32))
    write_volume(first, tmp_path / "a.nii.gz")
    write_volume(second, tmp_path / "a.nii")
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").hu, first.hu)
    assert np.array_equal(read_volume(tmp_path / "a.nii").hu, second.hu)


def test_a_big_endian_nifti_that_is_truncated(tmp_path):
    write_volume(volume_of(np.eye(3), np.int16), tmp_path / "a.nii.gz")
    little = np.frombuffer(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()), np.uint8).copy()
    for start, count, size in [
        (0, 1, 4),
        (40, 8, 2),
        (70, 2, 2),
        (76, 12, 4),
        (252, 2, 2),
        (256, 18, 4),
    ]:  # the fields that are compared
        field = little[start : start + count * size].reshape(count, size)
        field[:] = field[:, ::-1].copy()
    (tmp_path / "a.nii").write_bytes(little.tobytes()[:-2])
    with pytest.raises(VolumeError, match="truncated: 470 of 472 bytes"):
        read_volume(tmp_path / "a.nii")


def test_paths_and_arguments_that_make_no_sense(tmp_path):
    write_volume(volume_of(np.eye(3)), tmp_path / "a.nrrd")
    with pytest.raises(VolumeError, match=r"no such file.*b\.nrrd"):
        read_volume(tmp_path / "b.nrrd")
    with pytest.raises(VolumeError, match="one by one"):
        read_volume([tmp_path / "a.nrrd", tmp_path / "a.nrrd"])
    with pytest.raises(VolumeError, match="series="):
        read_volume(tmp_path / "a.nrrd", series="1.2")
    assert read_volume([tmp_path / "a.nrrd"]).shape == (3, 4, 5)
    assert read_volume(str(tmp_path / "a.nrrd")).source == str(tmp_path / "a.nrrd")


# Nothing half-written


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.nrrd"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(VolumeError, match=r"a\.nrrd.*disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="cannot be written"):
        write_volume(volume_of(np.eye(3)), tmp_path / "file" / "a.nrrd")
    (tmp_path / "folder.nrrd").mkdir()
    with pytest.raises(VolumeError, match="cannot be written"):
        write_volume(volume_of(np.eye(3)), tmp_path / "folder.nrrd")
    with pytest.raises(VolumeError, match="not a format"):
        write_volume(volume_of(np.eye(3)), tmp_path / "a.png")
    assert {each.name for each in tmp_path.iterdir()} == {"file", "folder.nrrd"}


# Sequences


def test_the_sequence_header(tmp_path):
    images = np.random.default_rng(0).normal(size=(6, 4, 5)).astype(np.float32)
    geometry = volume_of(directions()["oblique"], slices=1)
    write_sequence(images, geometry, tmp_path / "a.seq.nrrd")
    data, header = nrrd.read(str(tmp_path / "a.seq.nrrd"), index_order="C")
    assert np.array_equal(data[:, 0], images)
    assert header["kinds"] == ["domain", "domain", "domain", "list"]
    assert header["space"] == "left-posterior-superior"
    assert np.array_equal(header["space directions"][:3].T, geometry.affine[:3, :3])
    assert np.array_equal(header["space origin"], geometry.affine[:3, 3])
    assert np.isnan(header["space directions"][3]).all()
    assert header["axis 3 index values"] == "0 1 2 3 4 5"


def test_the_same_sequence_gives_the_same_bytes(tmp_path):
    for name in ("a.seq.nrrd", "b.seq.nrrd"):
        write_sequence(np.ones((2, 4, 5)), volume_of(np.eye(3), slices=1), tmp_path / name)
    assert (tmp_path / "a.seq.nrrd").read_bytes() == (tmp_path / "b.seq.nrrd").read_bytes()


@pytest.mark.parametrize(
    ("images", "name", "names"),
    [
        (np.zeros((2, 4, 6)), "a.seq.nrrd", None),
        (np.zeros((4, 5)), "a.seq.nrrd", None),
        (np.zeros((0, 4, 5)), "a.seq.nrrd", None),
        (np.full((2, 4, 5), np.nan), "a.seq.nrrd", None),
        (np.zeros((2, 4, 5)), "a.nrrd", None),
        (np.zeros((2, 4, 5)), "a.seq.nrrd", ["one"]),
        (np.zeros((2, 4, 5)), "a.seq.nrrd", ["one", "one"]),
        (np.zeros((2, 4, 5)), "a.seq.nrrd", ["one", ""]),
        (np.zeros((2, 4, 5)), "a.seq.nrrd", ["one", "two\nlines"]),
    ],
)
def test_sequences_that_do_not_fit(tmp_path, images, name, names):
    with pytest.raises(VolumeError):
        write_sequence(images, volume_of(np.eye(3), slices=1), tmp_path / name, names=names)
    assert not list(tmp_path.iterdir())


# As Slicer sees it


@pytest.fixture(scope="module")
def mrml():
    return pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)


def ijk_to_ras(mrml, node) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def voxels(node) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


@pytest.mark.parametrize("direction", ["identity", "feet first", "oblique"])
@pytest.mark.parametrize("names", [None, ["x", "E(x), 100 %", "Φ <1> 'a' \"b\""]])
def test_slicer_reads_a_sequence(tmp_path, mrml, direction, names):
    images = np.random.default_rng(0).normal(0, 300, (3, 4, 5)).astype(np.float32)
    geometry = volume_of(directions()[direction], slices=1)
    write_sequence(images, geometry, tmp_path / "a.seq.nrrd", names=names)

    scene = mrml.vtkMRMLScene()
    sequence, storage = mrml.vtkMRMLSequenceNode(), mrml.vtkMRMLVolumeSequenceStorageNode()
    scene.AddNode(sequence)
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "a.seq.nrrd"))
    assert storage.ReadData(sequence) == 1
    assert sequence.GetNumberOfDataNodes() == 3
    assert [sequence.GetNthIndexValue(n) for n in range(3)] == (names or ["0", "1", "2"])
    for n in range(3):
        node = sequence.GetNthDataNode(n)
        assert node.GetClassName() == "vtkMRMLScalarVolumeNode"
        assert np.array_equal(voxels(node)[0], images[n])
        assert np.abs(ijk_to_ras(mrml, node) - LPS_TO_RAS @ geometry.affine).max() < 1e-6


@pytest.mark.parametrize(
    ("suffix", "direction"),
    [pair for pair in product([".nrrd", ".nii.gz"], directions()) if pair != (".nii.gz", "sheared")],
)
def test_slicer_reads_a_volume_at_its_place(tmp_path, mrml, suffix, direction):
    volume = volume_of(directions()[direction])
    path = tmp_path / f"a{suffix}"
    write_volume(volume, path)

    scene = mrml.vtkMRMLScene()
    node, storage = mrml.vtkMRMLScalarVolumeNode(), mrml.vtkMRMLVolumeArchetypeStorageNode()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    # Slicer turns the slices of a mirrored volume round, so compare what lies at each place.
    k, j, i = np.indices(volume.shape).reshape(3, -1)
    ras = LPS_TO_RAS[:3, :3] @ volume.position(i, j, k).T
    index = np.linalg.inv(ijk_to_ras(mrml, node)) @ [*ras, np.ones(i.size)]
    assert np.abs(index - np.rint(index)).max() < (2e-4 if suffix == ".nii.gz" else 1e-6)
    assert np.array_equal(voxels(node)[tuple(np.rint(index[2::-1]).astype(int))], volume.hu[k, j, i])


def test_real_volumes(shared_data):
    for path in sorted(Path(shared_data, "volumes").glob("*.nrrd")):
        volume = read_volume(path)
        assert volume.hu.dtype == np.int16
        assert volume.shape[1:] == (512, 512)
        assert volume.hu.min() == -1024


# Slices that are not axial, padding, values


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("directions", "plane"),
    [
        (np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), "coronal"),
        (np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]), "sagittal"),
        (np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]]), "sagittal"),
    ],
)
def test_a_file_with_other_slices_is_turned_and_no_voxel_moves(tmp_path, suffix, directions, plane):
    volume = volume_of(directions, np.int16)
    write_volume(volume, tmp_path / f"a{suffix}")
    with pytest.warns(GeometryWarning, match=rf"its slices are {plane}; it was turned.*a{suffix}"):
        back = read_volume(tmp_path / f"a{suffix}")
    assert np.abs(back.affine[2, 2]) > 0.8
    assert back.hu.flags.c_contiguous
    k, j, i = np.indices(back.shape).reshape(3, -1)
    index = np.linalg.inv(volume.affine) @ [*back.position(i, j, k).T, np.ones(i.size)]
    assert np.abs(index - np.rint(index)).max() < 2e-4
    assert np.array_equal(back.hu.ravel(), volume.hu[tuple(np.rint(index[2::-1]).astype(int))])
    with pytest.warns(GeometryWarning, match="it was turned"):
        assert volume_grid(tmp_path / f"a{suffix}") == (back.shape, pytest.approx(back.spacing, abs=1e-5))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_single_coronal_slice_stays_one(tmp_path, suffix):
    volume = volume_of(np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), slices=1)
    write_volume(volume, tmp_path / f"a{suffix}")
    assert read_volume(tmp_path / f"a{suffix}").shape == (1, 4, 5)
    with pytest.raises(VolumeError, match="its slices are coronal"):
        volume_grid(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(("degrees", "refused"), [(20, False), (45, True)])
def test_oblique_files_are_known_before_their_voxels_are_read(tmp_path, degrees, refused):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    write_volume(volume_of(np.array([[1, 0, 0], [0, c, -s], [0, s, c]])), tmp_path / "a.nrrd")
    assert read_volume(tmp_path / "a.nrrd").shape == (3, 4, 5)
    with pytest.raises(VolumeError) if refused else pytest.warns(GeometryWarning) as caught:
        volume_grid(tmp_path / "a.nrrd")
    said = str(caught.value if refused else caught[0].message)
    assert f"{degrees} degrees from axial" in said
    assert "a.nrrd" in said


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_padding_is_the_same_in_every_format(tmp_path, suffix, dtype):
    hu = np.array([[[-3024, -2000, -1024, 40]]], dtype)
    write_volume(CTVolume(hu, np.eye(4)), tmp_path / f"a{suffix}")
    assert read_volume(tmp_path / f"a{suffix}").hu.ravel().tolist() == [-1024, -1024, -1024, 40]


@pytest.mark.parametrize("suffix", FORMATS)
def test_values_that_are_hardly_hu_are_named(tmp_path, suffix):
    hu = np.random.default_rng(0).integers(0, 1100, (1, 60, 60), dtype=np.int16)
    write_volume(CTVolume(hu, np.diag([2.0, 2, 2, 1])), tmp_path / f"a{suffix}")
    with pytest.warns(HounsfieldWarning, match=rf"shifted, by 1024.*a{suffix}"):
        read_volume(tmp_path / f"a{suffix}")


# Before the work


@pytest.mark.parametrize("suffix", [".NRRD", ".Mha", ".NII.GZ", ".nii.GZ", ".NII"])
def test_suffixes_in_capitals_are_written_and_read_and_nothing_else_is_left(tmp_path, suffix):
    volume = volume_of(np.eye(3))
    write_volume(volume, tmp_path / f"OUT{suffix}")
    assert [each.name for each in tmp_path.iterdir()] == [f"OUT{suffix}"]
    assert np.array_equal(read_volume(tmp_path / f"OUT{suffix}").hu, volume.hu)


def test_what_cannot_be_written_is_known_before(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.nrrd").mkdir()
    for path, words in {
        "file/a.nrrd": "cannot be written, as that is a file: .*/file",
        "file/b/a.nrrd": "cannot be written, as that is a file: .*/file",
        "folder.nrrd": "a folder has that name",
        "a.png": r"not a format.*Use one of \.nrrd",
        "a.mhd": r"not a format.*Use one of \.nrrd",
    }.items():
        with pytest.raises(VolumeError, match=words):
            require_writable(tmp_path / path)
    sheared = volume_of(directions()["sheared"])
    require_writable(tmp_path / "new" / "a.nii.gz")
    require_writable(tmp_path / "new" / "a.nrrd", sheared)
    with pytest.raises(VolumeError, match="sheared"):
        require_writable(tmp_path / "new" / "A.NII.GZ", sheared)
    assert {each.name for each in tmp_path.iterdir()} == {"file", "folder.nrrd"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_one_may_not_write_to(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(VolumeError, match=r"no permission.*locked"):
        require_writable(tmp_path / "locked" / "new" / "a.nrrd")
