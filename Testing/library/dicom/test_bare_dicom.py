"""DICOM as older programs leave it: without preamble, without transfer syntax, with an index beside it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import write_series
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from CTInvarianceLib import read_volume
from CTInvarianceLib.base import DataError, DicomError
from CTInvarianceLib.sources import HeaderIndex, find_pairs, scan

HU = np.random.default_rng(0).integers(-1000, 2000, (4, 6, 5), dtype=np.int16)


def rewritten(path: Path, *, syntax: str, meta: bool, named: bool = True) -> None:
    """The file without preamble; without file meta information, or without TransferSyntaxUID in it."""
    dataset = pydicom.dcmread(path)
    implicit = syntax == ImplicitVRLittleEndian
    bare = io.BytesIO()
    pydicom.filewriter.write_dataset(_into(bare, implicit), pydicom.Dataset(dataset))
    header = b""
    if meta:
        dataset.file_meta.TransferSyntaxUID = syntax
        if not named:
            del dataset.file_meta.TransferSyntaxUID
        written = io.BytesIO()
        pydicom.filewriter.write_file_meta_info(written, dataset.file_meta, enforce_standard=False)
        header = written.getvalue()
    path.write_bytes(header + bare.getvalue())


def _into(buffer: io.BytesIO, implicit: bool) -> pydicom.filebase.DicomBytesIO:
    file = pydicom.filebase.DicomFileLike(buffer)
    file.is_implicit_VR, file.is_little_endian = implicit, True
    return file


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize("name", ["IM{}", "{}.dcm"])
def test_without_preamble(tmp_path, syntax, meta, name):
    for path in write_series(tmp_path, HU, names=[name.format(k) for k in range(4)]):
        rewritten(path, syntax=syntax, meta=meta)
        assert path.read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read_volume(tmp_path).hu, HU)
    found = scan(tmp_path, index=HeaderIndex(None))
    assert [pair.full_dose.shape for pair in found.pairs] == [(4, 6, 5)]
    assert found.problems == ()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_without_transfer_syntax(tmp_path, syntax):
    for path in write_series(tmp_path, HU):
        rewritten(path, syntax=syntax, meta=True, named=False)
        path.write_bytes(b"\0" * 128 + b"DICM" + path.read_bytes())
    assert np.array_equal(read_volume(tmp_path).hu, HU)
    assert len(find_pairs(tmp_path)) == 1


def test_big_endian_without_preamble(tmp_path):
    for path in write_series(tmp_path, HU):
        dataset = pydicom.Dataset(pydicom.dcmread(path))
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
        dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
        bare = io.BytesIO()
        file = pydicom.filebase.DicomFileLike(bare)
        file.is_implicit_VR, file.is_little_endian = False, False
        pydicom.filewriter.write_dataset(file, dataset)
        path.write_bytes(bare.getvalue())
    assert np.array_equal(read_volume(tmp_path).hu, HU)
    assert len(find_pairs(tmp_path)) == 1


def test_compressed_without_transfer_syntax_is_named(tmp_path):
    """Nothing says how."""
    for path in write_series(tmp_path, HU, rle=True):
        content, uid = path.read_bytes(), f"{RLELossless}\0".encode()
        start = content.index(uid)
        path.write_bytes(content[: start - 8] + content[start + len(uid) :])
    words = "its pixels are compressed, and no TransferSyntaxUID says how"
    with pytest.raises(DicomError, match=words):
        read_volume(tmp_path)
    assert [problem.what for problem in scan(tmp_path, index=HeaderIndex(None)).problems] == [words]


def test_a_ct_slice_that_does_not_name_its_class_is_one_for_both_doors(tmp_path):
    for path in write_series(tmp_path, HU):
        dataset = pydicom.dcmread(path)
        del dataset.SOPClassUID, dataset.file_meta.MediaStorageSOPClassUID
        dataset.save_as(path, enforce_file_format=False)
    assert np.array_equal(read_volume(tmp_path).hu, HU)
    assert len(find_pairs(tmp_path)) == 1


def test_a_long_header_without_preamble_is_read(tmp_path):
    """Longer than what is read of a file at first."""
    for path in write_series(tmp_path, HU, ICCProfile=b"x" * 90000):
        rewritten(path, syntax=ImplicitVRLittleEndian, meta=False)
    assert np.array_equal(read_volume(tmp_path).hu, HU)


def test_without_preamble_and_cut_is_named(tmp_path):
    paths = write_series(tmp_path, HU)
    for path in paths:
        rewritten(path, syntax=ImplicitVRLittleEndian, meta=False)
    paths[1].write_bytes(paths[1].read_bytes()[:-7])
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    found = scan(tmp_path, index=HeaderIndex(None))
    what = {Path(problem.where).name: problem.what for problem in found.problems if ".dcm" in problem.where}
    assert what == {
        "001.dcm": "the file ends before its pixels do",
        "002.dcm": "the DICOM header is truncated",
    }


@pytest.mark.parametrize(
    "content", [b"\x08\0", b"\x08\0\x05\0CS", b"\x02\0 " + b"a" * 300, b"\x08\0\x08\0" + b"\0" * 300]
)
def test_other_bytes_that_begin_like_dicom_are_none(tmp_path, content):
    (tmp_path / "notes").write_bytes(content)
    found = scan(tmp_path, index=HeaderIndex(None))
    assert found.problems == ()
    assert found.left_out == {"files that are not DICOM": 1}


def disc(folder: Path) -> Path:
    """A disc with a DICOMDIR; its images have names of eight letters and no suffix."""
    files = FileSet()
    tags = {
        "PatientName": "a",
        "StudyDate": "20200101",
        "StudyTime": "1200",
        "StudyID": "1",
        "SeriesNumber": 1,
    }
    for k, path in enumerate(
        write_series(folder / "in", HU, AccessionNumber="", StudyDescription="", **tags)
    ):
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = k + 1
        files.add(dataset)
    files.write(folder / "disc")
    files._stage["t"].cleanup()  # which pydicom leaves to the garbage collector, and that warns
    return folder / "disc" / "DICOMDIR"


def test_a_dicomdir_stands_for_its_folder_as_a_source(tmp_path):
    index = disc(tmp_path)
    found = scan(index, index=HeaderIndex(None))
    assert [pair.full_dose.shape for pair in found.pairs] == [(4, 6, 5)]
    assert found.problems == ()
    assert found.left_out == {"indexes of other files (DICOMDIR)": 1}
    assert np.array_equal(read_volume(index.parent).hu, HU)


@pytest.mark.parametrize("name", ["DICOMDIR", "renamed.dcm"])
def test_a_dicomdir_is_no_volume_and_says_what_it_is(tmp_path, name):
    index = disc(tmp_path)
    index = index.rename(index.with_name(name))
    with pytest.raises(DicomError, match=r"a DICOMDIR, which lists the images of a disc.*Give its folder"):
        read_volume(index)
    alone = tmp_path / "alone"
    alone.mkdir()
    index.rename(alone / name)
    with pytest.raises(DataError, match="no CT series"):
        find_pairs(alone)


def test_compressed_slices_without_pixels_are_named_by_the_scan(tmp_path):
    paths = write_series(tmp_path, HU, rle=True)
    dataset = pydicom.dcmread(paths[1])
    assert dataset.file_meta.TransferSyntaxUID == RLELossless
    del dataset.PixelData
    dataset.save_as(paths[1])
    found = scan(tmp_path, index=HeaderIndex(None))
    assert found.problems[0].what == "the file ends before its pixels do"


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"RescaleType": "MGML"}, "its values are MGML, not HU"),
        ({"RescaleType": "Z_EFF"}, "its values are Z_EFF, not HU"),
        ({"RescaleSlope": None, "RescaleIntercept": None}, "RescaleSlope or RescaleIntercept is missing"),
        ({"RescaleSlope": 0}, "RescaleSlope 0.0 and RescaleIntercept -1024.0 give no HU"),
    ],
)
def test_what_has_no_hu_is_named_by_the_scan_as_by_who_reads_it(tmp_path, tags, words):
    write_series(tmp_path / "good", HU, SeriesInstanceUID="1.1")
    for path in write_series(tmp_path / "bad", HU, SeriesInstanceUID="1.2"):
        dataset = pydicom.dcmread(path)
        for name, value in tags.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        dataset.save_as(path)
    with pytest.raises(DicomError, match=words):
        read_volume(tmp_path / "bad")
    found = scan(tmp_path, index=HeaderIndex(None))
    assert [pair.full_dose.name for pair in found.pairs] == ["1.1"]
    (problem,) = found.problems
    assert words in problem.what
    assert str(tmp_path / "bad" / "000.dcm") in problem.where
