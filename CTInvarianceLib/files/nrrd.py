"""Headers of NRRD, .nrrd and .nhdr. Source: http://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..base import VolumeError
from .nrrd_place import nrrd_place
from .stored import Encoding, Order, Parts, StoredImage, damaged
from .text_fields import require_scalar, three_sizes, whole_numbers

_KINDS = {
    "i1": "signed char|int8|int8_t", "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t", "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t", "f4": "float", "f8": "double",
}  # fmt: skip
_TYPES = {name: kind for kind, names in _KINDS.items() for name in names.split("|")}
_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw", "txt": "text", "text": "text", "ascii": "text", "hex": "hex", "gz": "gzip", "gzip": "gzip",
    "bz2": "bzip2", "bzip2": "bzip2",
}  # fmt: skip
_FIELDS = {
    "dimension", "type", "blocksize", "encoding", "endian", "content", "min", "max", "oldmin", "oldmax",
    "datafile", "lineskip", "byteskip", "number", "sampleunits", "sizes", "spacings", "thicknesses",
    "axismins", "axismaxs", "centers", "centerings", "labels", "units", "kinds", "space", "spacedimension",
    "spaceunits", "spaceorigin", "spacedirections", "measurementframe",
}  # fmt: skip
_SPATIAL = ("domain", "space", "???", "none")
_LONGEST = 1 << 22  # bytes of a header


def read_nrrd(path: Path) -> StoredImage:
    """What the header says.

    Raises:
        VolumeError: another file, a damaged header, a colour or vector image, other than two or three dimensions.
        OSError: a file that cannot be read.
    """
    fields, end = _fields(path)
    (count,) = whole_numbers(path, "dimension", fields.get("dimension", ""), 1)
    sizes = whole_numbers(path, "sizes", fields.get("sizes", ""), count)
    kinds = fields.get("kinds", "domain " * count).lower().split()
    if len(kinds) != count:
        raise damaged(path, f"its header says kinds: {fields['kinds']!r}, not {count} of them")
    spatial = [n for n in range(count) if kinds[n] in _SPATIAL]
    require_scalar(path, math.prod(sizes[n] for n in range(count) if n not in spatial))
    size = three_sizes(path, [sizes[n] for n in spatial])
    kind = _TYPES.get(fields.get("type", "").lower())
    encoding = _ENCODINGS.get(fields.get("encoding", "").lower())
    if kind is None or encoding is None:
        raise damaged(path, f"its header says type {fields.get('type')}, encoding {fields.get('encoding')}")
    affine, findings = nrrd_place(path, fields, count, spatial)
    return StoredImage(
        path,
        size,
        np.dtype(kind).newbyteorder(_order(path, fields, kind, encoding)),
        affine,
        _parts(path, fields, end, encoding, sizes[-1]),
        encoding=encoding,
        findings=findings,
    )


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """`field: description` up to the empty line, without blanks in the names, and the byte behind it."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline(16).startswith(b"NRRD0"):
            raise damaged(path, "not a NRRD file")
        while line := file.readline(_LONGEST).decode("utf-8", "replace").rstrip("\r\n"):
            name, _, value = line.partition(":")
            if line.startswith("#") or value.startswith("="):  # a comment, or a key of somebody's own
                continue
            name = name.lower().replace(" ", "")
            if name not in _FIELDS or file.tell() > _LONGEST:
                raise damaged(path, f"its header says {name[:40]!r}, which NRRD does not know")
            fields[name] = value.strip()
            if name == "datafile" and value.strip().upper().startswith("LIST"):
                fields[name] += "\n" + file.read(_LONGEST).decode("utf-8", "replace")
        return fields, file.tell()


def _order(path: Path, fields: dict[str, str], kind: str, encoding: Encoding) -> Order:
    endian = fields.get("endian", "").lower()
    if not endian and (kind.endswith("1") or encoding == "text"):
        return "<"
    if endian not in ("little", "big"):
        raise damaged(path, f"its header says endian: {endian!r}, neither little nor big")
    return "<" if endian == "little" else ">"


def _parts(path: Path, fields: dict[str, str], end: int, encoding: Encoding, slabs: int) -> Parts:
    """The files of the voxels, each with the byte behind what is to be skipped."""
    names, *listed = fields.get("datafile", "").split("\n")
    if not names:
        files = [path]
    elif names.upper().startswith("LIST"):
        files = [path.parent / name.strip() for name in listed if name.strip()]
    elif "%" in names:
        pattern, low, high, step = names.split()[:4]
        files = [path.parent / (pattern % number) for number in range(int(low), int(high) + 1, int(step))]
    else:
        files = [path.parent / names]
    if len(files) not in (1, slabs):
        raise damaged(path, f"its header names {len(files)} files for {slabs} slices")
    (lines,) = whole_numbers(path, "line skip", fields.get("lineskip", "0"), 1)
    (skip,) = whole_numbers(path, "byte skip", fields.get("byteskip", "0"), 1)
    if skip and encoding != "raw":
        raise VolumeError(
            "bytes to skip in compressed voxels are not supported", where=path, hint="Save it anew."
        )
    starts = [_behind(file, end if file == path else 0, lines) for file in files]
    return tuple(
        (file, None if skip < 0 else start + skip) for file, start in zip(files, starts, strict=True)
    )


def _behind(file: Path, start: int, lines: int) -> int:
    """The byte behind so many lines."""
    if not lines:
        return start
    with file.open("rb") as stream:
        stream.seek(start)
        for _ in range(lines):
            stream.readline()
        return stream.tell()
