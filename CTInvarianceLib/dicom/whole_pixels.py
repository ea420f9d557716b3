"""The proof that the pixels of a DICOM file are all there, as far as their encoding has one.

Uncompressed pixels prove their number alone, RLE that every run has its place, the JPEG family that the stream goes
to its end. None has a checksum: of a turned bit in a grey value nobody can know.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from .elements import DEFLATED
from .header import UNCOMPRESSED, DicomHeader

_RLE = "1.2.840.10008.1.2.5"
_RLE_AT_MOST = 64  # two bytes stand for up to 128
_RLE_HEADER = 64
_ENDING_IN_MARKER = "1.2.840.10008.1.2.4."  # the JPEG family: JPEG, JPEG-LS, JPEG 2000, HTJ2K
_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000


def require_whole(header: DicomHeader, value: bytes) -> None:
    """Raise ValueError where the value of PixelData cannot be one whole frame.

    Sources: PS3.5, 8.1.1 (native), A.4 (encapsulated) and G (RLE).
    """
    rows, columns, allocated = int(header.size[0]), int(header.size[1]), int(header.bits[0])
    needed = rows * columns * allocated // 8
    if header.syntax in (*UNCOMPRESSED, DEFLATED):
        # Some programs pad a little; a row or column more is another image.
        if len(value) >= needed + max(2, min(rows, columns) * allocated // 8):
            raise ValueError(f"{len(value)} bytes of pixels, where {rows} x {columns} take {needed}")
        return
    if header.syntax == _RLE and needed > _RLE_AT_MOST * len(value):  # before anything is allocated
        raise ValueError(f"{len(value)} bytes cannot hold {rows} x {columns} pixels")
    frame = _frame(value)
    if header.syntax == _RLE:
        _require_whole_rle(frame, rows * columns, allocated // 8)
    elif header.syntax.startswith(_ENDING_IN_MARKER) and not frame.rstrip(b"\0").endswith(_END):
        raise ValueError("the compressed pixels end early")


def _frame(value: bytes) -> bytes:
    from pydicom.encaps import get_frame

    return get_frame(value, 0, number_of_frames=1)


def _require_whole_rle(frame: bytes, pixels: int, planes: int) -> None:
    """A segment for every byte of a pixel, each of which unpacks to just so many bytes as there are pixels."""
    count, *offsets = struct.unpack_from("<16I", frame)
    if count != planes or offsets[0] != _RLE_HEADER or any(offsets[count:]):
        raise ValueError(f"{count} RLE segments for {planes} bytes of a pixel")
    for first, last in pairwise([*offsets[:count], len(frame)]):
        segment = frame[first:last]
        if not segment or _unpacked_fast(segment) != pixels != _unpacked(segment, pixels):
            raise ValueError(f"a RLE segment does not hold just {pixels} pixels")


def _unpacked_fast(segment: bytes) -> int:
    """The same as `_unpacked`, where pylibjpeg-rle is installed, and -1 where it is not or cannot tell."""
    try:
        from rle.rle import decode_segment

        return len(decode_segment(segment))
    except (ImportError, ValueError):
        return -1


def _unpacked(segment: bytes, wanted: int) -> int:
    """How many bytes a segment of PackBits stands for; -1 where more than padding follows the last one wanted."""
    place = found = 0
    while found < wanted and place < len(segment):
        control = segment[place]
        if control < 128:
            place, found = place + control + 2, found + control + 1
        elif control > 128:
            place, found = place + 2, found + 257 - control
        else:
            place += 1
    padded = place <= len(segment) and not any(segment[place:])
    return found if padded else -1
