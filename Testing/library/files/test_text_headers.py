"""NRRD and MetaImage as other programs write them: what ITK makes of them is what we make of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import write_metaimage, write_nrrd

from CTInvarianceLib.base import GeometryWarning, VolumeError
from CTInvarianceLib.files import read_volume, write_volume
from CTInvarianceLib.volumes import CTVolume

HU = np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 20
AT = "space directions: (0.5,0,0) (0,0.75,0) (0,0,2)", "space origin: (1,2,3)"


def require_as_itk(path):
    image = sitk.ReadImage(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeometryWarning)
        volume = read_volume(path)
    assert np.array_equal(volume.hu, np.reshape(sitk.GetArrayFromImage(image), volume.shape))
    for index in [(0, 0, 0), (4, 3, 2)]:
        place = image.TransformIndexToPhysicalPoint(index)
        assert volume.position(*index) == pytest.approx(place, abs=1e-9)


@pytest.mark.parametrize(
    "lines",
    [
        ("space: left-posterior-superior", *AT),
        ("space: RAS", *AT),
        ("space: left-anterior-superior", *AT),
        ("space dimension: 3", *AT),
        ("spacings: 0.5 0.75 2",),
        ("spacings: 0.5 0.75 2", "axis mins: 1 2 3"),
        ("Space: Right-Anterior-Superior", *AT, "# a comment: no field", "my key:=a: b", "content: phantom"),
        ("space: lps", AT[0], "kinds: space space space", "measurement frame: (1,0,0) (0,1,0) (0,0,1)"),
    ],
)
def test_places_of_nrrd(tmp_path, lines):
    require_as_itk(write_nrrd(tmp_path / "a.nrrd", HU, *lines))


@pytest.mark.parametrize("kind", ["short", "signed short int", "int16_t"])
def test_types_have_many_names(tmp_path, kind):
    require_as_itk(write_nrrd(tmp_path / "a.nrrd", HU, "space: LPS", *AT, kind=kind))


def test_nodes_begin_where_cells_have_their_edge(tmp_path):
    path = write_nrrd(
        tmp_path / "a.nrrd", HU, "spacings: 0.5 0.75 2", "axis mins: 1 2 3", "centers: node node node"
    )
    assert read_volume(path).position(0, 0, 0) == pytest.approx((1, 2, 3))


@pytest.mark.parametrize("origin", [(), ("space origin: (1,2,3)",)])
def test_one_slice_in_space(tmp_path, origin):
    place = "space: RAS", "space directions: (0,0.5,0) (0,0,0.75)"
    volume = read_volume(write_nrrd(tmp_path / "a.nrrd", HU[0], *place, *origin))
    assert volume.shape == (1, 4, 5)
    first = np.array((-1, -2, 3) if origin else (0, 0, 0))
    assert volume.position(0, 0, 0) == pytest.approx(first)
    assert volume.position(4, 3, 0) == pytest.approx(np.add(first, (0, -2, 2.25)))
    assert volume.spacing == pytest.approx((0.5, 0.75, 1))


def test_a_nrrd_without_distances_is_said_to_have_none(tmp_path):
    with pytest.warns(GeometryWarning, match=r"says nothing of distances.*1 mm.*a\.nrrd"):
        assert read_volume(write_nrrd(tmp_path / "a.nrrd", HU)).spacing == (1, 1, 1)


@pytest.mark.parametrize(("encoding", "text"), [("ascii", True), ("txt", True), ("hex", False)])
def test_nrrd_in_letters(tmp_path, encoding, text):
    path = write_nrrd(tmp_path / "a.nrrd", HU, "space: LPS", *AT, encoding=encoding)
    header = path.read_bytes()[: -HU.nbytes]
    path.write_bytes(header + (" ".join(map(str, HU.ravel())) if text else HU.tobytes().hex()).encode())
    assert np.array_equal(read_volume(path).hu, HU)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(VolumeError, match=r"truncated|damaged"):
        read_volume(path)


@pytest.mark.parametrize(
    ("field", "files"),
    [
        ("data file: slice%03d.raw 7 9 1", (7, 8, 9)),
        ("data file: LIST\nslice001.raw\nslice002.raw\nslice003.raw", (1, 2, 3)),
    ],
)
def test_a_nrrd_whose_slices_are_files(tmp_path, field, files):
    path = write_nrrd(tmp_path / "a.nhdr", HU[:0].reshape(0, 4, 5), "byte skip: 4", "space: LPS", *AT)
    lines = path.read_text().strip().replace("sizes: 5 4 0", "sizes: 5 4 3")
    path.write_text(f"{lines}\n{field}\n")
    for number, image in zip(files, HU, strict=True):
        (tmp_path / f"slice{number:03d}.raw").write_bytes(b"skip" + image.tobytes())
    require_as_itk(path)
    (tmp_path / f"slice{files[1]:03d}.raw").write_bytes(b"skip" + HU[1].tobytes()[:-2])
    with pytest.raises(VolumeError, match="truncated"):
        read_volume(path)


def test_voxels_behind_a_header_of_unknown_length(tmp_path):
    path = write_nrrd(
        tmp_path / "a.nhdr", HU[:0].reshape(0, 4, 5), "byte skip: -1", "data file: a.raw", "space: LPS", *AT
    )
    path.write_text(path.read_text().replace("sizes: 5 4 0", "sizes: 5 4 3"))
    (tmp_path / "a.raw").write_bytes(b"any header" + HU.tobytes())
    require_as_itk(path)


@pytest.mark.parametrize(
    "line",
    [
        "spacf: left-posterior-superior",
        "space: left-up",
        "space directions: (0.5,0,0) (0,0.75,0)",
        "space directions: (0.5,0,0) (0,0.75,0) (0,0,x)",
        "space directions: (0.5,0,0) none (0,0,2)",
        "spacings: 0.5 -1 2",
        "spacings: 0.5 1",
        "kinds: domain domain",
        "byte skip: x",
        "endian: litle",
    ],
)
def test_nrrd_headers_that_make_no_sense(tmp_path, line):
    with pytest.raises(VolumeError, match=r"its header says.*a\.nrrd"):
        read_volume(write_nrrd(tmp_path / "a.nrrd", HU, line))


MHA = "NDims = 3", "DimSize = 5 4 3", "ElementType = MET_SHORT"


@pytest.mark.parametrize(
    "lines",
    [
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 1 2 3", "ElementSpacing = .5 .75 2"),
        ("Position = 1 2 3", "", "ElementSize = .5 .75 2"),
        ("Orientation = 0 1 0 -1 0 0 0 0 1", "Origin = -1e1 2 3", "ElementSpacing = .5 .75 2"),
        ("ElementSpacing = 1 1 1", "AnatomicalOrientation = LPS", "0008|0060 = CT", "my key = a = b"),
        ("ElementSpacing = 1 1 1", "BinaryDataByteOrderMSB = False", "HeaderSize = -1"),
    ],
)
def test_places_of_metaimage(tmp_path, lines):
    require_as_itk(write_metaimage(tmp_path / "a.mha", HU.tobytes(), *MHA, *lines, "ElementDataFile = LOCAL"))


@pytest.mark.parametrize(
    ("data", "files"),
    [("LIST\na.raw\nb.raw\nc.raw", "abc"), ("%d.raw 2 4 1", "234"), ("%d.raw", "123")],
)
def test_a_metaimage_whose_slices_are_files(tmp_path, data, files):
    for name, image in zip(files, HU, strict=True):
        (tmp_path / f"{name}.raw").write_bytes(image.tobytes())
    path = write_metaimage(
        tmp_path / "a.mhd", b"", *MHA, "ElementSpacing = 1 1 2", f"ElementDataFile = {data}"
    )
    require_as_itk(path)
    (tmp_path / f"{files[2]}.raw").unlink()
    with pytest.raises(VolumeError, match=rf"{files[2]}\.raw.*a\.mhd"):
        read_volume(path)


@pytest.mark.parametrize("name", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
def test_a_metaimage_of_the_other_byte_order(tmp_path, name):
    last = f"{name} = True", "ElementSpacing = 1 1 2", "ElementDataFile = LOCAL"
    require_as_itk(write_metaimage(tmp_path / "a.mha", HU.astype(">i2").tobytes(), *MHA, *last))


def test_a_metaimage_in_letters_and_one_that_is_scaled(tmp_path):
    text = (" ".join(map(str, HU.ravel())) + "\n").encode()
    last = "ElementSpacing = 1 1 2", "ElementDataFile = LOCAL"
    require_as_itk(write_metaimage(tmp_path / "a.mha", text, *MHA, "BinaryData = False", *last))
    scale = "ElementToIntensityFunctionSlope = 2", "ElementToIntensityFunctionOffset = -1024"
    path = write_metaimage(tmp_path / "b.mha", HU.tobytes(), *MHA, *scale, *last)
    assert np.array_equal(read_volume(path).hu, 2 * HU - 1024)


@pytest.mark.parametrize(
    "line",
    [
        "ElementSpacing = 1 1",
        "ElementSpacing = 1 0 2",
        "ElementSpacinf = 1 1 2",
        "TransformMatrix = 3 0 0 0 1 0 0 0 1",
        "CompressedData = Tru",
        "Offset = 1 2 nan",
        "no equals sign",
    ],
)
def test_metaimage_headers_that_make_no_sense(tmp_path, line):
    more = () if "Spac" in line else ("ElementSpacing = 1 1 2",)
    path = write_metaimage(tmp_path / "a.mha", HU.tobytes(), *MHA, line, *more, "ElementDataFile = LOCAL")
    with pytest.raises(VolumeError, match=r"header.*a\.mha"):
        read_volume(path)


# Where a program has set a decimal comma

COMMA = """escape_char /
comment_char %
LC_NUMERIC
decimal_point ","
thousands_sep "."
grouping 3;3
END LC_NUMERIC
"""
ROUND_TRIP = """
import locale, sys
import numpy as np
from CTInvarianceLib.files import read_volume, write_volume
from CTInvarianceLib.volumes import CTVolume
locale.setlocale(locale.LC_NUMERIC, "comma")
assert locale.localeconv()["decimal_point"] == ","
folder, suffix = sys.argv[1:]
volume = read_volume(f"{folder}/dot{suffix}")
write_volume(volume, f"{folder}/comma{suffix}")
again = read_volume(f"{folder}/comma{suffix}")
for each in (volume, again):
    print(*each.spacing, *each.affine[:3, 3], int(each.hu.sum()))
"""


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii", ".nii.gz"])
def test_a_locale_with_decimal_comma_changes_nothing_read_or_written(tmp_path, suffix):
    if not shutil.which("localedef"):
        pytest.skip("localedef, which makes the locale, is not installed")
    (tmp_path / "comma.src").write_text(COMMA)
    made = ["localedef", "-c", "-i", str(tmp_path / "comma.src"), str(tmp_path / "comma")]
    subprocess.run(made, check=False, capture_output=True)  # it warns of what the source leaves out
    volume = CTVolume(HU, [[1.75, 0, 0, 0.5], [0, 1.75, 0, -0.25], [0, 0, 2.5, 1.125], [0, 0, 0, 1]])
    write_volume(volume, tmp_path / f"dot{suffix}")
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(tmp_path), suffix],
        env={**os.environ, "LOCPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert [float(word) for word in line.split()] == [1.75, 1.75, 2.5, 0.5, -0.25, 1.125, HU.sum()]
