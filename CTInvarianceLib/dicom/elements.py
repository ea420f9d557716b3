"""One DICOM file through pydicom: few reads, no warnings, and no more memory than the file is worth."""

from __future__ import annotations

import functools
import io
import threading
import warnings
import zlib
from collections.abc import Iterator, MutableSequence, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

HEADER_BYTES = 65536
"""Most headers end before; one read of so many is faster than many small ones."""

LONG_HEADER_BYTES = 1 << 22
"""What is tried before the whole file: even the long headers of enhanced multi-frame CT end before."""

INFLATED_BYTES = 1 << 26
"""Most that a deflated file may inflate to: twice a slice of 4096 x 4096. A few kB can hold gigabytes of zeros."""

IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

_PIXEL_DATA = 0x7FE00010
_META_AT = 132  # behind the preamble and DICM
_FIRST_AT_MOST = 0x18  # an element with which a dataset begins; SOPInstanceUID
_CHUNK = 1 << 20
_TEXT = (None, "CS", "DS", "IS", "LO", "PN", "SH", "UI")  # None: implicit, as the dictionary says
_lock = threading.RLock()


@contextmanager
def quietly() -> Iterator[None]:
    """No warnings from inside: what pydicom thinks of odd bytes helps nobody who has a folder of them.

    The filters of warnings belong to the whole process, so one thread at a time; pydicom holds the interpreter
    anyway. Files are read outside of it.

    Raises:
        ValueError: a decoder that gave up in a way that nobody could catch.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except BaseException as error:
            # Decoders in Rust panic on some damaged bytes, with what is no Exception for Python.
            if type(error).__name__ == "PanicException":
                raise ValueError(f"{error}") from error
            raise


@functools.cache
def tag_of(keyword: str) -> int:
    """The tag of a keyword; pydicom's own look-up takes as long as reading the value."""
    from pydicom.tag import Tag

    return Tag(keyword)


def read_tags(path: Path, keywords: Sequence[str]) -> tuple[Any, int, int]:
    """The named tags of a file, the byte at which its pixels begin, and its length in bytes.

    Without pixels, and in a deflated file, they begin at its end.

    Raises:
        InvalidDicomError: no DICOM.
        OSError: a file that cannot be read.
        Exception: nearly everything, on damaged bytes.
    """
    tags = [tag_of(keyword) for keyword in keywords]
    with path.open("rb") as file:
        length = file.seek(0, io.SEEK_END)
        file.seek(0)
        content = file.read(HEADER_BYTES)
        for more in (LONG_HEADER_BYTES, length):
            if len(content) >= length or not (_has_preamble(content) or is_bare(content)):
                break
            if (found := _start(content, tags)) is not None:
                return *found, length
            content += file.read(more - len(content))
    # From memory, not from the file: there a damaged length allocates what it says, here what is left.
    buffer = io.BytesIO(content)
    with quietly():
        _require_bounded(content)
        return _parse(buffer, tags), buffer.tell(), length


def values_of(dataset: Any, keyword: str) -> list[Any]:
    """The values of a tag as pydicom converts them; [] where it is missing or empty.

    One unsigned 16-bit number, which most binary tags of a header are, is read at once.
    """
    raw = dataset.get_item(tag_of(keyword))
    content = getattr(raw, "value", None)
    if isinstance(content, bytes) and len(content) == 2 and raw.VR in (None, "US"):
        return [int.from_bytes(content, "little" if raw.is_little_endian else "big")]
    return _converted(dataset, keyword)


def texts_of(dataset: Any, keyword: str) -> list[str]:
    """The values of a tag that holds text, as text, also where it means numbers.

    Plain ASCII, which nearly all is, reads the same in every character set; pydicom's conversion takes twenty
    times as long.
    """
    raw = dataset.get_item(tag_of(keyword))
    content = getattr(raw, "value", None)
    if isinstance(content, bytes) and raw.VR in _TEXT and content.isascii() and b"\x1b" not in content:
        text = content.decode("ascii").strip(" \0")
        return [part.strip(" \0") for part in text.split("\\")] if text else []
    return [str(value).strip() for value in _converted(dataset, keyword)]


def pixel_element(path: Path, start: int, syntax: str) -> Any:
    """PixelData, which begins at byte `start`, as pydicom's element; None where there is none.

    Where it is not known at which byte, 0, as in a deflated file, all of it is read.
    """
    from pydicom.filereader import read_dataset

    if not start:
        return read_all(path).get(_PIXEL_DATA)
    with path.open("rb") as file:
        file.seek(start)
        rest = io.BytesIO(file.read())
    with quietly():
        return read_dataset(rest, syntax == IMPLICIT, syntax != BIG_ENDIAN).get(_PIXEL_DATA)


def read_all(path: Path) -> Any:
    """The whole dataset."""
    from pydicom import dcmread

    content = path.read_bytes()
    with quietly():
        _require_bounded(content)
        return dcmread(io.BytesIO(content), force=is_bare(content))


def is_bare(content: bytes) -> bool:
    """Whether a file begins with the first element of a dataset, without the preamble that PS3.10 asks for.

    That element is one of group 0008, or of the file meta information; its type, or the first bytes of its length,
    must be possible.
    """
    if _has_preamble(content) or content[:2] not in (b"\2\0", b"\x08\0", b"\0\x08"):
        return False
    order: Literal["big", "little"] = "little" if content[0] else "big"
    element = int.from_bytes(content[2:4], order)
    return element <= _FIRST_AT_MOST and (content[4:6].isupper() or content[6:8] == b"\0\0")


def _has_preamble(content: bytes) -> bool:
    return content[_META_AT - 4 : _META_AT] == b"DICM"


def _converted(dataset: Any, keyword: str) -> list[Any]:
    element = dataset.get(tag_of(keyword))
    value = None if element is None else element.value
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple | MutableSequence) else [value]


def _start(content: bytes, tags: list[int]) -> tuple[Any, int] | None:
    """The dataset and where its pixels begin, if the header ends within this first part of a file."""
    if _maybe_deflated(content):
        return None
    buffer = io.BytesIO(content)
    with suppress(Exception), quietly():
        dataset = _parse(buffer, tags)
        # At the end of the buffer the header goes on behind it, or an element was cut.
        return (dataset, buffer.tell()) if buffer.tell() < len(content) else None
    return None


def _parse(buffer: io.BytesIO, tags: list[int]) -> Any:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    bare = is_bare(buffer.getvalue())
    dataset = dcmread(buffer, stop_before_pixels=True, specific_tags=tags, force=bare)
    if bare and not (tag_of("SOPClassUID") in dataset or tag_of("Modality") in dataset):
        raise InvalidDicomError  # other bytes that happen to begin like a dataset
    return dataset


def _maybe_deflated(content: bytes) -> bool:
    return DEFLATED.encode() in content


def _require_bounded(content: bytes) -> None:
    """Raises ValueError for a deflated file that would fill the memory."""
    from pydicom.filereader import read_dataset

    if not _maybe_deflated(content):
        return
    buffer = io.BytesIO(content)
    buffer.seek(_META_AT)
    meta = read_dataset(buffer, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if str(meta.get("TransferSyntaxUID")) != DEFLATED:
        return
    # What follows the file meta information is one stream, and pydicom inflates all of it.
    inflater, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), content[buffer.tell() :], 0
    while rest and size <= INFLATED_BYTES and not inflater.eof:
        size += len(inflater.decompress(rest, _CHUNK))
        rest = inflater.unconsumed_tail
    if size > INFLATED_BYTES:
        raise ValueError(f"it inflates to more than {INFLATED_BYTES >> 20} MiB")
