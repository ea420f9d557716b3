"""Volumes, and volume files with headers to order that no program writes on purpose but some files hold, for tests."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CTInvarianceLib.volumes import CTVolume

NIFTI_CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512}


def write_nifti(
    path: Path,
    stored: NDArray,
    *,
    pixdim: Sequence[float] = (0.7, 0.7, 2.5),
    qfac: float = 1,
    sform: ArrayLike | None = None,
    sform_code: int = 1,
    quatern: Sequence[float] = (0, 0, 0),
    qoffset: Sequence[float] = (0, 0, 0),
    qform_code: int = 0,
    slope: float = 1,
    inter: float = 0,
    units: int = 2,
    dims: Sequence[int] | None = None,
    vox_offset: float = 352,
    order: str = "<",
) -> Path:
    """A NIfTI-1 file with exactly this header; sform is 4x4, RAS."""
    header = bytearray(352)
    sizes = tuple(dims or stored.shape[::-1])

    def put(at: int, kind: str, *values: float) -> None:
        struct.pack_into(f"{order}{len(values)}{kind}", header, at, *values)

    put(0, "i", 348)
    put(40, "h", len(sizes), *sizes, *[1] * (7 - len(sizes)))
    put(70, "h", NIFTI_CODES[stored.dtype.str[1:]], 8 * stored.dtype.itemsize)
    put(76, "f", qfac, *pixdim, 0, 0, 0, 0)
    put(108, "f", vox_offset, slope, inter)
    header[123] = units
    put(252, "h", qform_code, 0 if sform is None else sform_code)
    put(256, "f", *quatern, *qoffset)
    if sform is not None:
        put(280, "f", *np.asarray(sform, float)[:3].ravel())
    header[344:348] = b"n+1\0"
    content = bytes(header) + stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    return path


def write_nrrd(path: Path, stored: NDArray, *lines: str, kind: str = "int16", encoding: str = "raw") -> Path:
    """A NRRD file of raw values behind these lines of header."""
    header = ["NRRD0004", f"type: {kind}", f"dimension: {stored.ndim}"]
    header += [f"sizes: {' '.join(map(str, stored.shape[::-1]))}", f"encoding: {encoding}", "endian: little"]
    path.write_bytes("\n".join([*header, *lines, "", ""]).encode() + stored.tobytes())
    return path


def write_metaimage(path: Path, content: bytes, *lines: str) -> Path:
    """A MetaImage of these lines of header, and what follows them."""
    path.write_bytes("\n".join(["ObjectType = Image", *lines, ""]).encode() + content)
    return path


def directions() -> dict[str, np.ndarray]:
    turn = np.array([[0, -0.2, 0.1], [0.2, 0, -0.15], [-0.1, 0.15, 0]])
    rotation = np.linalg.solve(np.eye(3) - turn, np.eye(3) + turn)  # Cayley: about 30 degrees
    sheared = np.array([[1, 0, 0], [0, 1, np.sin(0.3)], [0, 0, np.cos(0.3)]])
    return {
        "identity": np.eye(3),
        "feet first": np.diag([-1.0, 1.0, -1.0]),
        "mirrored": np.diag([1.0, 1.0, -1.0]),
        "oblique": rotation,
        "oblique, mirrored": rotation * (1, 1, -1),
        "sheared": sheared,
    }


def volume_of(direction: np.ndarray, dtype: type = np.float32, slices: int = 3) -> CTVolume:
    affine = np.eye(4)
    affine[:3, :3] = direction * (0.8828125, 1.03, 2.9999)
    affine[:3, 3] = (-276.3671, -263.6718, 1373.123456789)
    hu = np.random.default_rng(1).normal(0, 500, (slices, 4, 5))
    return CTVolume(hu.astype(dtype), affine)
