"""The voxels of a volume file: where they lie, and the proof that all of them are there and whole.

A compressed stream proves itself: its checksum (Adler-32 of zlib, CRC-32 of gzip and of bzip2) and its length must be
right. An uncompressed one has its length alone: of one flipped bit in it nobody can know.
"""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError

Encoding = Literal["raw", "text", "hex", "zlib", "gzip", "bzip2"]

Order = Literal["<", ">"]
"""Of bytes: little or big end first."""

Parts = tuple[tuple[Path, int | None], ...]
"""Files with the byte at which their voxels begin; None: they end where the file ends."""

_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class StoredImage:
    """What the header of a volume file says.

    Attributes:
        path: the file.
        size: voxels along i (fastest), j and k.
        kind: type of the stored values, with their byte order.
        affine: voxel (i, j, k) to mm, LPS, float64 4x4.
        parts: files that hold equal shares of the voxels, in their order.
        encoding: of every part.
        packed: bytes of the compressed stream, where the header tells.
        skipped: unpacked bytes before the voxels.
        slope: HU = slope · stored + intercept.
        intercept: HU.
        findings: what is unusual about its place.
    """

    path: Path
    size: tuple[int, int, int]
    kind: np.dtype[Any]
    affine: NDArray[np.float64]
    parts: Parts
    encoding: Encoding = "raw"
    packed: int | None = None
    skipped: int = 0
    slope: float = 1.0
    intercept: float = 0.0
    findings: tuple[str, ...] = ()

    def require_whole(self) -> None:
        """Looks at lengths alone; a gzip stream that ends with another one than expected is unpacked to be sure.

        Raises:
            VolumeError: a part that is missing, or of another length than the header says.
        """
        for part, start in self.parts:
            length = _length(part, self.path)
            if self.encoding == "raw" and start is not None:
                self._require_length(length, start + self._unpacked)
            elif self.packed is not None and start is not None:
                self._require_length(length, start + self.packed)
            elif self.encoding == "gzip" and _last_word(part) != self._unpacked % (1 << 32):
                self._content(part, start)

    def voxels(self) -> NDArray[Any]:
        """Stored values, (slices, rows, columns), in an array of their own.

        Raises:
            VolumeError: a file that is missing, truncated, damaged, or longer than its header says.
        """
        self.require_whole()
        content = self._content(*self.parts[0])
        for part, start in self.parts[1:]:
            content += self._content(part, start)
        return np.frombuffer(content, self.kind).reshape(self.size[::-1])

    @property
    def _unpacked(self) -> int:
        """Bytes of one part, unpacked."""
        return self.skipped + prod(self.size) * self.kind.itemsize // len(self.parts)

    def _content(self, part: Path, start: int | None) -> bytearray:
        """The voxels of one part; grows with what is there, so that a damaged size allocates nothing."""
        content = bytearray()
        try:
            with part.open("rb") as file:
                file.seek(*((-self._unpacked, io.SEEK_END) if start is None else (start,)))
                for piece in self._pieces(file):
                    content += piece
                    if len(content) > self._unpacked:
                        break
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise damaged(self.path, f"the voxels are truncated or damaged ({error})") from error
        self._require_length(len(content), self._unpacked)
        del content[: self.skipped]
        return content

    def _pieces(self, file: BinaryIO) -> Iterator[bytes]:
        if self.encoding == "text":
            return iter([np.array(file.read().split()).astype(self.kind).tobytes()])
        if self.encoding == "hex":
            return iter([bytes.fromhex(file.read().decode("ascii"))])
        if self.encoding == "zlib":
            return _inflated(file)
        stream: Any = file
        if self.encoding != "raw":
            stream = gzip.GzipFile(fileobj=file) if self.encoding == "gzip" else bz2.BZ2File(file)
        return iter(lambda: stream.read(_CHUNK), b"")

    def _require_length(self, found: int, wanted: int) -> None:
        if found < wanted:
            raise damaged(self.path, f"the file is truncated: {found} of {wanted} bytes")
        if found > wanted:
            raise damaged(self.path, f"the file is longer than its header says, more than {wanted} bytes")


def damaged(path: Path, what: str) -> VolumeError:
    """The error for a file that cannot be trusted."""
    return VolumeError(what, where=path, hint="The file is damaged: copy or export it again.")


def _length(part: Path, header: Path) -> int:
    try:
        return part.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        reason = getattr(error, "strerror", None) or error
        raise VolumeError(
            f"the file with its voxels cannot be read, {part.name} ({reason})",
            where=header,
            hint="A header and the file that it names belong together: copy both.",
        ) from error


def _last_word(part: Path) -> int:
    """The last four bytes: of one gzip stream its unpacked length. Source: RFC 1952, 2.3.1."""
    with part.open("rb") as file:
        file.seek(-min(4, file.seek(0, io.SEEK_END)), io.SEEK_END)
        return int.from_bytes(file.read(), "little")


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """One zlib stream to its end, which must be the end of the file; zlib compares its checksum. Source: RFC 1950."""
    inflater, rest = zlib.decompressobj(), b""
    while not inflater.eof:
        rest = rest or file.read(_CHUNK)
        if not rest:
            raise EOFError("the stream ends early")
        yield inflater.decompress(rest, _CHUNK)
        rest = inflater.unconsumed_tail
    if inflater.unused_data or file.read(1):
        raise ValueError("more follows than one stream")
