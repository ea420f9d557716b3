"""Two series that share a UID: one rule for a folder that is read and for a source that is scanned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib import read_volume
from CTInvarianceLib.base import DicomError
from CTInvarianceLib.sources import HeaderIndex, scan

HU = np.random.default_rng(0).integers(-1000, 2000, (4, 6, 5), dtype=np.int16)
FIRST = {
    "ConvolutionKernel": "B30f",
    "SeriesDescription": "Thorax",
    "PatientName": "a",
    "StudyInstanceUID": "8.1",
}


def write(folder: Path, prefix: str, hu=HU, start: float = 0, **tags) -> list[Path]:
    names = [f"{prefix}{k}.dcm" for k in range(len(hu))]
    return write_series(folder, hu, origin=(0, 0, start), names=names, **{**FIRST, **tags})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"ConvolutionKernel": "B70f"}, r"different kernels \(B30f and B70f\)"),
        ({"SeriesDescription": "Thorax lung"}, r"different descriptions \(Thorax and Thorax lung\)"),
        ({"PatientID": "other"}, r"different patients \(patient and other\)"),
        ({"PatientName": "b"}, r"different names of the patient \(a and b\)"),
        ({"StudyInstanceUID": "8.2"}, r"different studies \(8\.1 and 8\.2\)"),
        ({"hu": HU[:, :5]}, r"different sizes \(6×5 and 5×5\)"),
        ({"PixelSpacing": [0.75, 0.6]}, "different pixel spacings"),
        ({"SliceThickness": 1}, r"different thicknesses \(1 and 3\)"),
    ],
)
def test_what_lies_between_the_slices_of_another_is_not_merged(tmp_path, other, words):
    """Without a word they would make one volume, every other slice of the other series."""
    first = write(tmp_path, "a")
    write(tmp_path, "b", **{"hu": HU + 1, "start": 1.5, **other})
    for series in (None, "1.2.3.4"):
        with pytest.raises(DicomError, match=rf"2 series share the UID 1\.2\.3\.4 and have {words}"):
            read_volume(tmp_path, series=series)
    found = scan(tmp_path, index=HeaderIndex(None))
    assert any("2 different series share this UID" in problem.what for problem in found.problems)
    assert len({pair.full_dose.files for pair in found.pairs}) == 2
    assert np.array_equal(read_volume(first).hu, HU)  # as the message says


def test_series_without_any_uid_that_lie_in_one_folder(tmp_path):
    write(tmp_path, "a", SeriesInstanceUID=None)
    write(tmp_path, "b", SeriesInstanceUID=None, ConvolutionKernel="B70f", start=1.5)
    with pytest.raises(DicomError, match=r"share the UID \(none\) and have different kernels"):
        read_volume(tmp_path)


def test_another_uid_beside_two_that_share_one_can_be_chosen(tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b", ConvolutionKernel="B70f", start=1.5)
    write(tmp_path, "c", hu=HU + 5, SeriesInstanceUID="1.9")
    assert np.array_equal(read_volume(tmp_path, series="1.9").hu, HU + 5)
    with pytest.raises(DicomError, match=r"2 series are mixed.*1\.2\.3\.4 \(Thorax, 8 slices\)"):
        read_volume(tmp_path)


def test_thicknesses_that_differ_by_rounding_are_one(tmp_path):
    write(tmp_path, "a", SliceThickness=5)
    write(tmp_path, "b", start=1.5, SliceThickness=4.99)
    assert read_volume(tmp_path).shape == (8, 6, 5)


def test_thicknesses_that_follow_each_other_are_one_series(tmp_path):
    """As in scans of the head: thin slices below, thick ones above."""
    write(tmp_path, "a")
    write(tmp_path, "b", start=12, SliceThickness=5)
    assert read_volume(tmp_path).shape == (8, 6, 5)
    found = scan(tmp_path, index=HeaderIndex(None))
    assert [pair.full_dose.shape[0] for pair in found.pairs] == [8]
    assert found.problems == ()
