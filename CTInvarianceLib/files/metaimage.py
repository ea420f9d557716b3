"""Headers of MetaImage, .mha and .mhd. Source: https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .stored import Parts, StoredImage, damaged
from .text_fields import numbers, placed, require_scalar, require_spelled, three_sizes, whole_numbers

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = (
    "ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData",
    "CompressedDataSize", "TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin",
    "CenterOfRotation", "AnatomicalOrientation", "ElementSpacing", "ElementSize", "DimSize", "HeaderSize",
    "ElementNumberOfChannels", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "ElementType",
    "ElementDataFile",
)  # fmt: skip
_LONGEST = 1 << 20  # bytes of a header
_UNIT = 1e-3  # largest deviation of an axis from length 1


def read_metaimage(path: Path) -> StoredImage:
    """What the header says.

    Raises:
        VolumeError: another file, a damaged header, a colour or vector image, other than two or three dimensions.
        OSError: a file that cannot be read.
    """
    header, end = _fields(path)

    def whole(name: str, otherwise: str = "", count: int | None = 1) -> list[int]:
        return whole_numbers(path, name, header.get(name, otherwise), count)

    def scale(name: str, otherwise: str) -> float:
        return numbers(path, name, header.get(name, otherwise), 1)[0]

    require_scalar(path, whole("ElementNumberOfChannels", "1")[0])
    (count,), kind = whole("NDims"), _TYPES.get(header.get("ElementType", ""))
    size = three_sizes(path, whole("DimSize", count=count))
    if kind is None:
        raise damaged(path, f"its header says ElementType: {header.get('ElementType', '')!r}")
    big = _says(path, header, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    packed, binary = _says(path, header, "CompressedData"), _says(path, header, "BinaryData", otherwise=True)
    (start,) = whole("HeaderSize", "0")
    local, other = (None, None) if start < 0 else (start or end, start)
    return StoredImage(
        path,
        size,
        np.dtype(kind).newbyteorder(">" if big else "<"),
        _affine(path, header, count),
        _parts(path, header["ElementDataFile"], size[2], local, other),
        encoding="zlib" if packed else "raw" if binary else "text",
        packed=whole("CompressedDataSize")[0] if packed and "CompressedDataSize" in header else None,
        slope=scale("ElementToIntensityFunctionSlope", "1"),
        intercept=scale("ElementToIntensityFunctionOffset", "0"),
    )


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """`Name = value` up to ElementDataFile, and the byte behind them; a list of files follows its name."""
    header: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in header:
            line = file.readline(_LONGEST).decode("utf-8", "replace")
            if line.isspace():
                continue
            name, equals, value = (word.strip() for word in line.partition("="))
            if not (name and equals) or file.tell() > _LONGEST:
                raise damaged(path, "not a MetaImage, or its header is truncated")
            if name not in _NAMES:
                require_spelled(path, name, _NAMES)
            header[name] = value
        end = file.tell()
        if header["ElementDataFile"].startswith("LIST"):
            header["ElementDataFile"] += "\n" + file.read(_LONGEST).decode("utf-8", "replace")
    return header, end


def _parts(path: Path, data: str, slices: int, local: int | None, other: int | None) -> Parts:
    """The files of the voxels: this one, another, a list of slices, or a pattern with first, last and step."""
    if data.upper() == "LOCAL":
        return ((path, local),)
    first, *rest = data.split("\n")
    names = [data]
    if first.startswith("LIST"):
        names = [name.strip() for name in rest if name.strip()]
    elif "%" in first:
        pattern, *given = first.split()
        low, high, step = (*map(int, given), *(1, slices, 1)[len(given) :])
        names = [pattern % number for number in range(low, high + 1, step)]
    if len(names) not in (1, slices):
        raise damaged(path, f"its header names {len(names)} files for {slices} slices")
    return tuple((path.parent / name, other) for name in names)


def _says(path: Path, header: dict[str, str], *names: str, otherwise: bool = False) -> bool:
    """Whether a field is True; `otherwise` where there is none."""
    for name in names:
        if name in header:
            if header[name].lower() not in ("true", "false", "1", "0"):
                raise damaged(path, f"its header says {name}: {header[name]!r}, not True or False")
            return header[name].lower() in ("true", "1")
    return otherwise


def _first(header: dict[str, str], *names: str, otherwise: str) -> tuple[str, str]:
    """The first of several names of a field that is there, and its value."""
    return next(((name, header[name]) for name in names if name in header), (names[0], otherwise))


def _affine(path: Path, header: dict[str, str], count: int) -> NDArray[np.float64]:
    """A row of TransformMatrix is the direction of an axis, in LPS."""
    identity = " ".join(map(str, np.eye(count).ravel()))
    name, text = _first(header, "TransformMatrix", "Rotation", "Orientation", otherwise=identity)
    directions = np.reshape(numbers(path, name, text, count * count), (count, count))
    if np.abs(np.linalg.norm(directions, axis=1) - 1).max() > _UNIT:
        raise damaged(path, f"its header says {name}: {text!r}, which are no directions")
    spacing = numbers(path, *_first(header, "ElementSpacing", "ElementSize", otherwise=""), count)
    if min(spacing) <= 0:
        raise damaged(path, f"its header says that voxels are {spacing} mm apart")
    origin = numbers(path, *_first(header, "Offset", "Position", "Origin", otherwise="0 " * count), count)
    return placed((directions.T * spacing)[:3, :3], origin[:3])
