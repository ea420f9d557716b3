"""DICOM series that we write, judged by others: dciodvfy, pydicom's strict mode, ITK; and by our own reader."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from CTInvarianceLib import CTVolume, read_volume
from CTInvarianceLib.base import DicomError, VolumeError
from CTInvarianceLib.dicom import SeriesHeader, dicom_uid, write_dicom_series
from CTInvarianceLib.dicom.attributes import LIMITS_HU

HEADER = SeriesHeader(
    patient="phantom ä 1",
    study=dicom_uid("study"),
    frame_of_reference=dicom_uid("frame"),
    series=dicom_uid("series"),
    number=3,
    description="Low Dose Images",
    derivation="Random numbers",
    deidentification="Random numbers: never was a patient",
    name="Phantom^Ä",
    body_part="CHEST",
    kernel="NONE",
    phantom=True,
)
COLUMNS_MM, ROWS_MM, STEP_MM = 0.7, 1.3, 2.5
HU = np.random.default_rng(0).integers(-1100, 3000, (3, 5, 4), dtype=np.int16)


def turned(degrees: float = 0.0, spacing=(COLUMNS_MM, ROWS_MM, STEP_MM)) -> np.ndarray:
    """An affine turned about an axis that is none of the three."""
    axis, t = np.array([1.0, 2.0, 2.0]) / 3, np.radians(degrees)
    k = np.cross(np.eye(3), axis)
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) + np.sin(t) * k + (1 - np.cos(t)) * k @ k) * spacing
    affine[:3, 3] = (-101.123456789, 55.5, 1 / 3)
    return affine


@pytest.fixture(params=[0, 37], ids=["axial", "oblique"])
def volume(request) -> CTVolume:
    return CTVolume(HU, turned(request.param))


def test_our_reader_gets_the_volume_back(volume, tmp_path):
    paths = write_dicom_series(volume, tmp_path / "series", HEADER)
    assert [path.name for path in paths] == ["1-001.dcm", "1-002.dcm", "1-003.dcm"]
    assert sorted((tmp_path / "series").iterdir()) == paths, "nothing else stays behind"
    read = read_volume(tmp_path / "series")
    assert read.hu.dtype == np.int16
    np.testing.assert_array_equal(read.hu, HU)
    np.testing.assert_allclose(read.affine, volume.affine, atol=1e-10)


def test_itk_reads_the_same_hu_at_the_same_place(volume, tmp_path):
    write_dicom_series(volume, tmp_path, HEADER)
    reader = sitk.ImageSeriesReader()
    assert reader.GetGDCMSeriesIDs(str(tmp_path)) == (HEADER.series,)
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path), HEADER.series))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU)
    assert image.GetSpacing() == pytest.approx((COLUMNS_MM, ROWS_MM, STEP_MM))
    for index in ((0, 0, 0), (3, 4, 2), (3, 0, 1)):
        place = image.TransformContinuousIndexToPhysicalPoint(index)
        np.testing.assert_allclose(place, volume.position(*index), atol=1e-9)


def test_dciodvfy_finds_nothing(volume, tmp_path):
    """David Clunie's validator of the standard's information objects, Debian's package dicom3tools."""
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy is not installed (package dicom3tools)")
    for path in write_dicom_series(volume, tmp_path, HEADER):
        result = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        assert result.returncode == 0
        assert (result.stdout + result.stderr).split() == ["CTImage"]


def test_pydicom_reads_it_in_its_strict_mode(volume, tmp_path, monkeypatch):
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    dataset = [pydicom.dcmread(path) for path in write_dicom_series(volume, tmp_path, HEADER)]
    for each in dataset:
        list(each.iterall())
        assert each.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert each.file_meta.MediaStorageSOPInstanceUID == each.SOPInstanceUID
        assert each.PatientIdentityRemoved == each.QualityControlSubject == "YES"
        assert str(each.PatientName) == "Phantom^Ä"
        assert each.PixelSpacing == pytest.approx([ROWS_MM, COLUMNS_MM]), "rows first"
        assert all(uid.is_valid and uid.startswith("2.25.") for uid in _uids(each))
    assert len({each.SOPInstanceUID for each in dataset}) == 3
    assert [each.InstanceNumber for each in dataset] == [1, 2, 3]


def _uids(dataset: pydicom.Dataset) -> list[pydicom.uid.UID]:
    names = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    return [dataset[name].value for name in names]


def test_the_same_arguments_make_the_same_bytes(volume, tmp_path):
    first, again, other = (
        write_dicom_series(volume, tmp_path / name, header)
        for name, header in {
            "a": HEADER,
            "b": HEADER,
            "c": replace(HEADER, series=dicom_uid("another series")),
        }.items()
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert first[0].read_bytes() != other[0].read_bytes()


def test_slices_that_run_against_the_normal_stay_where_they_are(tmp_path):
    affine = turned(spacing=(COLUMNS_MM, ROWS_MM, -STEP_MM))
    write_dicom_series(CTVolume(HU, affine), tmp_path, HEADER)
    read = read_volume(tmp_path)
    np.testing.assert_array_equal(read.hu, HU[::-1])
    np.testing.assert_allclose(read.position(1, 2, 0), CTVolume(HU, affine).position(1, 2, 2))


def test_hu_are_rounded_and_the_highest_comes_back(tmp_path):
    values = np.array([-1999.4, -1024.0, -0.5, 0.49, 0.5, 1.5, LIMITS_HU[1]], np.float32)
    write_dicom_series(CTVolume(values[None, None], np.eye(4)), tmp_path, HEADER)
    read = read_volume(tmp_path / "1-001.dcm").hu[0, 0]
    np.testing.assert_array_equal(read, [-1999, -1024, 0, 0, 0, 2, LIMITS_HU[1]])


@pytest.mark.parametrize("hu", [LIMITS_HU[0] - 1, LIMITS_HU[1] + 1])
def test_hu_that_do_not_fit_are_no_file(hu, tmp_path):
    values = np.full((2, 2, 2), hu, np.float32)
    values[0] = 0
    with pytest.raises(VolumeError, match=rf"{hu}.*do not fit"):
        write_dicom_series(CTVolume(values, np.eye(4)), tmp_path / "series", HEADER)
    assert not (tmp_path / "series").exists()


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_a_sheared_volume_is_an_error(axes, tmp_path):
    affine = turned(37)
    affine[:3, axes[1]] += 0.01 * affine[:3, axes[0]]
    with pytest.raises(VolumeError, match="sheared"):
        write_dicom_series(CTVolume(HU, affine), tmp_path, HEADER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deidentification", "x" * 65),
        ("patient", "one\\two"),
        ("body_part", "chest"),
        ("date", "2026-01-01"),
        ("series", "series"),
        ("kernel", "x" * 17),
    ],
)
def test_what_an_attribute_cannot_hold_is_named(name, value, tmp_path):
    with pytest.raises(DicomError, match="cannot hold"):
        write_dicom_series(CTVolume(HU, turned()), tmp_path / "series", replace(HEADER, **{name: value}))
    assert not (tmp_path / "series").exists()


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(VolumeError, match="annot be written"):
        write_dicom_series(CTVolume(HU, turned()), tmp_path / "file", HEADER)


def test_progress_ends_at_one(volume, tmp_path):
    told: list[float] = []
    write_dicom_series(volume, tmp_path, HEADER, progress=told.append)
    assert told == pytest.approx([1 / 3, 2 / 3, 1])
