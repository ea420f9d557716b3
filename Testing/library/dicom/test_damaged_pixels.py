"""Pixels that are damaged in a DICOM file that is not: refused wherever their encoding can tell."""

from __future__ import annotations

import io
import struct

import numpy as np
import pydicom
import pytest
from dicom_files import write_slice
from PIL import Image
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from CTInvarianceLib.base import DicomError
from CTInvarianceLib.dicom import DicomHeader
from CTInvarianceLib.dicom.whole_pixels import require_whole
from CTInvarianceLib.files import read_volume

LONGEST_RUN = 128


def head() -> np.ndarray:
    """Stored values of noisy water in air, (24, 32)."""
    y, x = np.mgrid[-1:1:24j, -1:1:32j]
    noise = np.random.default_rng(1).normal(0, 12, x.shape)
    return np.where(x * x + y * y < 0.6, 1064 + noise, 24).astype(np.uint16)


def jpeg2000(stored: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    return stream.getvalue()


def write_encapsulated(path, frame: bytes, syntax: UID = RLELossless, *, fragments: int = 1) -> None:
    write_slice(path, head())
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([frame], fragments_per_frame=fragments)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)


def rle_frame(folder) -> bytes:
    return get_frame(
        pydicom.dcmread(write_slice(folder / "rle.dcm", head(), rle=True)).PixelData, 0, number_of_frames=1
    )


def write_as(path, syntax: UID) -> None:
    """The head in a transfer syntax."""
    if syntax == JPEG2000Lossless:
        write_encapsulated(path, jpeg2000(head()), syntax)
        return
    write_slice(path, head(), rle=syntax == RLELossless)
    dataset = pydicom.dcmread(path)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = head().astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)


# Every transfer syntax


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.name,
)
def test_a_file_that_is_cut_anywhere_is_refused_or_lacks_nothing(tmp_path, syntax):
    path = tmp_path / "a.dcm"
    write_as(path, syntax)
    content, expected = path.read_bytes(), head().astype(int) - 1024
    assert np.array_equal(read_volume(path).hu[0], expected)
    read = 0
    for length in [*range(1, len(content) - 20, 23), *range(len(content) - 20, len(content))]:
        path.write_bytes(content[:length])
        try:
            hu = read_volume(path).hu[0]
        except DicomError as error:
            assert "a.dcm" in str(error)  # noqa: PT017
        else:
            read += 1
            assert np.array_equal(hu, expected), length
    assert read <= 12  # behind the last pixel


# RLE


def test_a_turned_bit_of_rle_is_found_or_stays_within_one_run(tmp_path):
    """Grey values have no checksum, but what would move all that follow is found."""
    frame, path = rle_frame(tmp_path), tmp_path / "a.dcm"
    refused = 0
    for place in range(len(frame)):
        turned = bytearray(frame)
        turned[place] ^= 1 << place % 8
        write_encapsulated(path, bytes(turned))
        try:
            hu = read_volume(path).hu[0]
        except DicomError:
            refused += 1
            continue
        changed = np.flatnonzero(hu != head().astype(int) - 1024)
        assert changed.size == 0 or changed[-1] - changed[0] < LONGEST_RUN, place
    assert refused > 50


def test_rle_that_is_cut_within_a_whole_file(tmp_path):
    frame, path = rle_frame(tmp_path), tmp_path / "a.dcm"
    for length in range(2, len(frame) - 2, 7):
        write_encapsulated(path, frame[:length])
        with pytest.raises(DicomError, match=r"cannot be decoded.*a\.dcm"):
            read_volume(path)


@pytest.mark.parametrize(
    ("count", "offsets"), [(1, [64]), (3, [64, 200, 300]), (2, [0, 200]), (2, [64, 10]), (2, [64, 1 << 31])]
)
def test_rle_headers_that_do_not_fit(tmp_path, count, offsets):
    frame = rle_frame(tmp_path)
    header = struct.pack("<16I", count, *offsets, *[0] * (15 - len(offsets)))
    write_encapsulated(tmp_path / "a.dcm", header + frame[64:])
    with pytest.raises(DicomError, match=r"cannot be decoded.*a\.dcm"):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize("without", [False, True])
def test_rle_is_judged_alike_without_pylibjpeg(monkeypatch, without):
    """Segments as encoders may end them, and others."""
    if without:
        monkeypatch.setitem(__import__("sys").modules, "rle.rle", None)
    header = DicomHeader(None, syntax=RLELossless, size=(1.0, 4.0), bits=(8.0, 8.0))
    start = struct.pack("<16I", 1, 64, *[0] * 14)
    for segment in (b"\x03abcd", b"\x03abcd\0", b"\xfda", b"\xfda\0", b"\x01ab\xffc\0", b"\x80\x03abcd"):
        require_whole(header, encapsulate([start + segment]))
    for segment in (
        b"\x02abc",
        b"\x03abc",
        b"\xfea",
        b"\xfca",
        b"\x03abcd\x03abcd",
        b"\x03abcd\x01\x02",
        b"",
    ):
        with pytest.raises(ValueError, match="RLE segment"):
            require_whole(header, encapsulate([start + segment]))


# JPEG


def test_jpeg_2000_is_read_and_refused_where_its_stream_is_cut(tmp_path):
    """OpenJPEG fills what is missing with what it guesses."""
    stream, path = jpeg2000(head()), tmp_path / "a.dcm"
    write_encapsulated(path, stream, JPEG2000Lossless)
    assert np.array_equal(read_volume(path).hu[0], head().astype(int) - 1024)
    write_encapsulated(path, stream, JPEG2000Lossless, fragments=3)
    assert np.array_equal(read_volume(path).hu[0], head().astype(int) - 1024)
    for length in range(2, len(stream) - 2, 5):
        write_encapsulated(path, stream[:length], JPEG2000Lossless)
        with pytest.raises(DicomError, match=r"cannot be decoded.*a\.dcm"):
            read_volume(path)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_the_streams_of_the_jpeg_family_must_end(syntax):
    header = DicomHeader(None, syntax=syntax, size=(4.0, 4.0), bits=(16.0, 12.0))
    require_whole(header, encapsulate([b"\xff\xd8pixels\xff\xd9"]))
    require_whole(header, encapsulate([b"\xff\xd8pixel\xff\xd9"]))  # padded to an even length
    for stream in (b"\xff\xd8pixels\xff", b"\xff\xd8pixels", b"\xff\xd8"):
        with pytest.raises(ValueError, match="end early"):
            require_whole(header, encapsulate([stream]))


# Which bits


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (13, 12), (13, 14), (16, 15)])
def test_values_are_up_to_the_high_bit(tmp_path, dtype, rle, stored, high):
    lowest = 0 if dtype == np.uint16 else -(1 << (stored - 1))
    values = np.array([[lowest, 0, 1, 1000, (1 << 11) - 1]], np.int32)
    written = (values << (high + 1 - stored)).astype(dtype)
    tags = {"BitsStored": stored, "HighBit": high, "RescaleIntercept": 0, "RescaleSlope": 0.25}
    path = write_slice(tmp_path / "a.dcm", written, rle=rle, **tags)
    hu = values / 4
    assert np.array_equal(read_volume(path).hu[0], np.where(hu <= -2000, -1024, hu))


@pytest.mark.parametrize(("stored", "high"), [(12, 10), (12, 16), (16, 0)])
def test_high_bits_that_cannot_be(tmp_path, stored, high):
    path = write_slice(tmp_path / "a.dcm", np.zeros((4, 4), np.uint16), BitsStored=stored, HighBit=high)
    with pytest.raises(DicomError, match=rf"HighBit {high} does not fit {stored} of 16 bits.*a\.dcm"):
        read_volume(path)


def test_a_high_bit_that_the_values_contradict(tmp_path):
    path = write_slice(tmp_path / "a.dcm", head(), BitsStored=12, HighBit=15)
    with pytest.raises(DicomError, match=r"HighBit 15.*lowest 4 bits are not used, but they are.*a\.dcm"):
        read_volume(path)


def test_a_high_bit_of_compressed_pixels(tmp_path):
    path = tmp_path / "a.dcm"
    write_encapsulated(path, jpeg2000(head() << 4), JPEG2000Lossless)
    dataset = pydicom.dcmread(path)
    dataset.BitsStored, dataset.HighBit = 12, 15
    dataset.save_as(path)
    with pytest.raises(DicomError, match=r"HighBit 15"):
        read_volume(path)


def test_no_high_bit_is_the_usual_one(tmp_path):
    path = write_slice(tmp_path / "a.dcm", head(), BitsStored=12, HighBit=None)
    assert np.array_equal(read_volume(path).hu[0], head().astype(int) - 1024)


@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize("padding", [63536, 32768, 4096])
def test_padding_that_needs_more_bits_than_are_stored(tmp_path, padding, rle):
    """It is not the value that its lower bits are: 63536 is not 2096, which is metal."""
    written = np.array([[padding, 1064, padding & 4095, 24]], np.uint16)
    tags = {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": padding}
    path = write_slice(tmp_path / "a.dcm", written, rle=rle, **tags)
    assert read_volume(path).hu.ravel().tolist() == [-1024, 40, (padding & 4095) - 1024, -1000]


def test_padding_of_twelve_signed_bits(tmp_path):
    written = np.array([[-2000, 40, -1000]], np.int16)
    path = write_slice(tmp_path / "a.dcm", written, BitsStored=12, HighBit=11, RescaleIntercept=0)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "US", 63536)
    dataset.save_as(path)
    assert read_volume(path).hu.ravel().tolist() == [-1024, 40, -1000]
