"""Damaged DICOM: whatever the bytes, a header, an error that names the file, or nothing; at once and quietly."""

from __future__ import annotations

import json
import math
import struct
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import write_slice
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from CTInvarianceLib.base import CTInvarianceError, DicomError, GeometryWarning
from CTInvarianceLib.dicom import DicomHeader, read_header
from CTInvarianceLib.dicom.header import header_of
from CTInvarianceLib.files import read_volume
from CTInvarianceLib.volumes import CTVolume

HEADERS, VOLUMES = 2000, 300
SECONDS = 1.0
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
)
ODD_LENGTHS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


# What is damaged


def nested(depth: int, *, undefined: bool) -> Dataset:
    """Sequences within sequences, with a private block at every level."""
    dataset = Dataset()
    dataset.CodeValue, dataset.CodeMeaning = str(depth), "Schädel"
    dataset.private_block(0x0029, "NOBODY", create=True).add_new(1, "OB", bytes(range(depth + 2)))
    if depth:
        dataset.ReferencedImageSequence = [nested(depth - 1, undefined=undefined) for _ in range(2)]
        dataset["ReferencedImageSequence"].is_undefined_length = undefined
    dataset.is_undefined_length_sequence_item = undefined
    return dataset


def valid(folder: Path, syntax: UID, *, undefined: bool, z: float = 0) -> bytes:
    """A slice of 12 x 10 with all the tags that are read, several of them more than once."""
    stored = np.random.default_rng(3).integers(0, 3000, (12, 10)).astype(np.uint16)
    path = write_slice(
        folder / "valid.dcm",
        stored,
        SpecificCharacterSet="ISO_IR 100",
        PatientID="Müller\\5",
        StudyDescription="Kopf",
        BodyPartExamined="HEAD",
        ConvolutionKernel=["H30s", "3"],
        SpacingBetweenSlices=3,
        RescaleType="HU",
        PixelPaddingValue=63,
        NumberOfFrames=1,
        ImagePositionPatient=[0, 0, z],
        SourceImageSequence=[nested(3, undefined=undefined)],
    )
    dataset = pydicom.dcmread(path)
    dataset["SourceImageSequence"].is_undefined_length = undefined
    dataset.private_block(0x0019, "NOBODY", create=True).add_new(1, "DS", "1.5")
    if syntax == RLELossless:
        dataset.compress(syntax)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = stored.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("valid")
    return [valid(folder, syntax, undefined=undefined) for syntax in SYNTAXES for undefined in (False, True)]


# How it is damaged


def place(rng, content, longest=64):
    start = int(rng.integers(len(content)))
    return start, min(len(content), start + int(rng.integers(1, longest)))


def flipped(rng, content):
    for start in rng.integers(0, len(content), rng.integers(1, 8)):
        content[start] ^= 1 << int(rng.integers(8))
    return content


def overwritten(rng, content):
    start, stop = place(rng, content, 16)
    content[start:stop] = rng.bytes(stop - start)
    return content


def truncated(rng, content):
    return content[: rng.integers(len(content))]


def longer(rng, content):
    start, _ = place(rng, content)
    return content[:start] + rng.bytes(int(rng.integers(1, 64))) + content[start:]


def shorter(rng, content):
    start, stop = place(rng, content)
    return content[:start] + content[stop:]


def of_odd_length(rng, content):
    """Somewhere a length that means nothing, as 16 or 32 bits, of either byte order."""
    start = int(rng.integers(132, len(content) - 4))
    length = int(rng.choice(ODD_LENGTHS))
    kind = str(rng.choice(["<H", ">H", "<I", ">I"]))
    number = struct.pack(kind, length & (0xFFFF if kind.endswith("H") else 0xFFFFFFFF))
    content[start : start + len(number)] = number
    return content


def swapped(rng, content):
    (a, b), (c, d) = sorted((place(rng, content), place(rng, content)))
    c, d = max(b, c), max(b, d)
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def doubled(rng, content):
    start, stop = place(rng, content, 200)
    return content[:start] + content[start:stop] * int(rng.integers(2, 30)) + content[stop:]


def noise(rng, content):
    keep = int(rng.choice([132, 200, 350]))
    return content[:keep] + rng.bytes(int(rng.integers(2000)))


DAMAGES = (flipped, overwritten, truncated, longer, shorter, of_odd_length, swapped, doubled, noise)


def damaged(seed: int, originals: list[bytes]) -> bytes:
    rng = np.random.default_rng(seed)
    content = bytearray(originals[seed % len(originals)])
    for damage in rng.choice(len(DAMAGES), rng.integers(1, 3)):
        content = bytearray(DAMAGES[damage](rng, content)) or bytearray(1)
        content += bytes(max(0, 140 - len(content)))
    return bytes(content[: rng.integers(140)] if seed % 50 == 0 else content)


# What may come of it


def require_plain(header: DicomHeader, seed: int) -> None:
    """Nothing but text, numbers, truth values, and tuples of numbers; the same after JSON, but for the tuples."""
    values: dict[str, Any] = asdict(header)
    assert values.pop("path") == header.path
    for name, value in values.items():
        assert type(value) in (str, int, float, bool, tuple, type(None)), (seed, name, value)
        assert not isinstance(value, tuple) or {*map(type, value)} <= {float}, (seed, name, value)
    line = json.dumps(values, ensure_ascii=False).encode()
    assert repr(json.loads(line)) == repr({k: list(v) if type(v) is tuple else v for k, v in values.items()})


def test_a_damaged_header_is_read_refused_or_passed_over(tmp_path, originals):
    outcomes = {"read": 0, "refused": 0, "passed over": 0}
    unnamed = 0
    for seed in range(HEADERS):
        path = tmp_path / ("damaged.dcm" if seed % 2 else "damaged")
        path.write_bytes(damaged(seed, originals))
        start = time.thread_time()
        try:
            header = read_header(path)
        except DicomError as error:
            unnamed += path.name not in str(error)
            outcomes["refused"] += 1
        else:
            outcomes["read" if header else "passed over"] += 1
            if header:
                require_plain(header, seed)
        assert time.thread_time() - start < SECONDS, seed
    assert unnamed == 0
    assert min(outcomes.values()) > HEADERS / 50, outcomes  # all three were really tried


def test_a_damaged_slice_never_escapes_as_another_error(tmp_path, originals):
    (tmp_path / "below.dcm").write_bytes(valid(tmp_path, ExplicitVRLittleEndian, undefined=False, z=-3))
    (tmp_path / "above.dcm").write_bytes(valid(tmp_path, ExplicitVRLittleEndian, undefined=False, z=3))
    outcomes = {"read": 0, "refused": 0}
    for seed in range(VOLUMES):
        path = tmp_path / "damaged.dcm"
        path.write_bytes(damaged(seed, originals))
        start = time.thread_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GeometryWarning)
            for source in (path, tmp_path):
                try:
                    volume = read_volume(source)
                    assert isinstance(volume, CTVolume), seed
                    outcomes["read"] += 1
                except CTInvarianceError:
                    outcomes["refused"] += 1
        assert time.thread_time() - start < SECONDS, seed
    assert min(outcomes.values()) > VOLUMES / 10, outcomes


def test_threads_read_as_quietly_and_leave_the_filters_of_warnings_alone(tmp_path, originals):
    paths = [tmp_path / f"{seed}.dcm" for seed in range(200)]
    for seed, path in enumerate(paths):
        path.write_bytes(damaged(seed, originals))

    def outcome(path):
        try:
            return read_header(path)
        except DicomError as error:
            return str(error)

    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(outcome, paths))
    assert repr(together) == repr([outcome(path) for path in paths])
    assert warnings.filters == before


# Damage that is meant


def peak_of(work) -> int:
    """Most bytes that Python and NumPy held at once."""
    tracemalloc.start()
    try:
        with pytest.raises(DicomError):
            work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_deflate_bomb_is_not_inflated(tmp_path, originals):
    content = originals[2 * SYNTAXES.index(DeflatedExplicitVRLittleEndian)]
    meta = content[: 144 + struct.unpack("<I", content[140:144])[0]]
    bomb = zlib.compressobj(9, wbits=-15)
    path = tmp_path / "bomb.dcm"
    path.write_bytes(meta + b"".join(bomb.compress(bytes(1 << 24)) for _ in range(6)) + bomb.flush())
    assert peak_of(lambda: read_header(path)) < 1 << 24
    with pytest.raises(DicomError, match="inflates to more"):
        read_header(path)


@pytest.mark.parametrize("rle", [False, True])
def test_a_size_that_cannot_be_allocates_nothing(tmp_path, rle):
    path = write_slice(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16), rle=rle)
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = 65535
    dataset.save_as(path)
    assert peak_of(lambda: read_volume(path)) < 1 << 24


@pytest.mark.parametrize("tag", [b"\x20\x00\x0d\x00UI", b"\x08\x00\x3e\x10LO"])
def test_a_length_that_cannot_be_allocates_nothing(tmp_path, tag):
    path = write_slice(tmp_path / "a.dcm", np.zeros((300, 300), np.uint16))
    content = bytearray(path.read_bytes())
    start = content.index(tag)
    content[start + 4 : start + 12] = b"UT\0\0" + struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)
    assert peak_of(lambda: read_header(path)) < 1 << 24


def test_sequences_deeper_than_the_stack(tmp_path):
    path = write_slice(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16))
    content = path.read_bytes()
    start = content.index(b"\x08\x00\x3e\x10LO")
    deep = (b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 5000
    path.write_bytes(content[:start] + deep + content[start:])
    with pytest.raises(DicomError, match="damaged"):
        read_header(path)


@pytest.mark.parametrize("frames", ["-1", "0"])
def test_frames_that_cannot_be_are_one(tmp_path, frames):
    path = write_slice(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16), NumberOfFrames=frames)
    assert read_volume(path).shape == (1, 8, 8)


def test_frames_that_are_not_there(tmp_path):
    path = write_slice(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16), NumberOfFrames="2147483647")
    assert read_header(path).truncated
    with pytest.raises(DicomError, match=r"multi-frame.*a\.dcm"):
        read_volume(path)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_the_undamaged_files_are_read_alike(tmp_path, syntax):
    """Whatever the encoding, and whether from the file or from a dataset that pydicom has converted."""
    path = tmp_path / "a.dcm"
    path.write_bytes(valid(tmp_path, syntax, undefined=True))
    header, dataset = read_header(path), pydicom.dcmread(path)
    for element in dataset:
        assert element.value is not NotImplemented  # iterating converts
    again = header_of(path, dataset)
    differ = {
        field.name for field in fields(header) if getattr(header, field.name) != getattr(again, field.name)
    }
    assert differ <= {"pixels_at"}
    assert (header.patient_id, header.kernel, header.size) == ("Müller\\5", "H30s, 3", (12.0, 10.0))
    assert (header.padding, header.rescale, header.unit) == ((63.0,), (1.0, -1024.0), "HU")
    assert math.isclose(header.thickness, 3)
    assert np.array_equal(read_volume(path).hu[0][:2, :3], EXPECTED)


EXPECTED = np.random.default_rng(3).integers(0, 3000, (12, 10))[:2, :3] - 1024
