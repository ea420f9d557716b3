"""Headers of NRRD, .nrrd and .nhdr, read and written. Source: http://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError
from .header_text import numbers, placed, require_scalar, three_sizes, whole_numbers
from .stored import Encoding, Order, Parts, StoredImage, damaged

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
_TO_LPS = {
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1), "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "": (1, 1, 1),
    "scanner-xyz": (1, 1, 1), "3d-right-handed": (1, 1, 1),
}  # fmt: skip
_SPATIAL = ("domain", "space", "???", "none")
_VECTOR = re.compile(r"none|\([^()]*\)")
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
    kind, encoding = (
        _TYPES.get(fields.get("type", "").lower()),
        _ENCODINGS.get(fields.get("encoding", "").lower()),
    )
    if kind is None or encoding is None:
        raise damaged(path, f"its header says type {fields.get('type')}, encoding {fields.get('encoding')}")
    affine, findings = _place(path, fields, count, spatial)
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


def _place(
    path: Path, fields: dict[str, str], count: int, spatial: list[int]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The affine in LPS, and what was to be assumed."""
    flips = _TO_LPS.get(fields.get("space", "").lower())
    if flips is None:
        raise damaged(path, f"its header says space: {fields['space']!r}, which is no place in a patient")
    if "spacedirections" in fields:
        return _oriented(path, fields, count, spatial, flips), ()
    if "spacings" not in fields:
        return placed(np.eye(min(len(spatial), 3)), 0), (
            "it says nothing of distances; voxels are taken as 1 mm",
        )
    words, mins = fields["spacings"].split(), fields.get("axismins", "0 " * count).split()
    chosen = [n for n in spatial if n < min(len(words), len(mins))][:3]
    spacing = numbers(path, "spacings", " ".join(words[n] for n in chosen), min(len(spatial), 3))
    start = np.array(numbers(path, "axis mins", " ".join(mins[n] for n in chosen), len(spacing)))
    if min(spacing) <= 0:
        raise damaged(path, f"its header says spacings: {fields['spacings']!r}")
    if "axismins" in fields and "node" not in fields.get("centers", fields.get("centerings", "")):
        start += np.divide(spacing, 2)  # the edge of the first cell
    return placed(np.diag(spacing), start), ()


def _oriented(
    path: Path, fields: dict[str, str], count: int, spatial: list[int], flips: tuple[int, int, int]
) -> NDArray[np.float64]:
    vectors = _VECTOR.findall(fields["spacedirections"])
    if len(vectors) != count or any(vectors[n] == "none" for n in spatial):
        raise damaged(path, f"its header says space directions: {fields['spacedirections']!r}")
    axes = [_vector(path, "space directions", vectors[n]) for n in spatial[:3]]
    sides = len(axes)
    origin = _vector(path, "space origin", fields.get("spaceorigin", f"({'0,' * (sides - 1)}0)"))
    if {len(origin), *map(len, axes)} == {
        3
    } and sides == 2:  # one slice in space: the third axis is across it
        across = np.cross(axes[0], axes[1])
        axes.append((across / np.linalg.norm(across)).tolist())
    if {len(origin), *map(len, axes)} != {len(axes)}:
        raise damaged(path, f"its header says space directions: {fields['spacedirections']!r}")
    turn = np.array(flips[: len(axes)])
    return placed(np.transpose(axes) * turn[:, None], turn * origin)


def _vector(path: Path, name: str, text: str) -> list[float]:
    if not (text.startswith("(") and text.endswith(")")):
        raise damaged(path, f"its header says {name}: {text!r}, no vector")
    return numbers(path, name, text[1:-1].replace(",", " "))


def nrrd_header(
    kind: str, sizes: Sequence[int], affine: NDArray[np.float64], *more: str, encoding: Encoding
) -> bytes:
    """The header of an image in LPS whose first three axes are i, j, k, up to where the voxels begin; little endian.

    Args:
        kind: what NRRD calls the type of the values.
        sizes: fastest axis first; a fourth axis is a list of images.
        affine: voxel to mm, LPS.
        more: further lines.
        encoding: of the voxels.
    """
    i, j, k, origin = (f"({x!r},{y!r},{z!r})" for x, y, z in affine[:3].T.tolist())
    others = len(sizes) - 3
    lines = (
        "NRRD0004",
        f"type: {kind}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {i} {j} {k}{' none' * others}",
        f"kinds: domain domain domain{' list' * others}",
        "endian: little",
        f"encoding: {encoding}",
        f"space origin: {origin}",
        *more,
    )
    return ("\n".join(lines) + "\n\n").encode()
