"""NIfTI-1 headers, .nii and .nii.gz. Source: the standard, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ..base import VolumeError
from .nifti_place import nifti_place
from .stored import Order, StoredImage, damaged
from .text_fields import require_scalar, three_sizes

_FIELDS = {
    "sizeof_hdr": ("i4", 0), "dim": ("8i2", 40), "datatype": ("i2", 70), "bitpix": ("i2", 72),
    "pixdim": ("8f4", 76), "vox_offset": ("f4", 108), "scl_slope": ("f4", 112), "scl_inter": ("f4", 116),
    "xyzt_units": ("u1", 123), "qform_code": ("i2", 252), "sform_code": ("i2", 254), "quatern": ("3f4", 256),
    "qoffset": ("3f4", 268), "srow": ("(3,4)f4", 280), "magic": ("S4", 344),
}  # fmt: skip
_ORDERS: tuple[Order, Order] = ("<", ">")
_BYTES = 348
NIFTI_HEADER = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [kind for kind, _ in _FIELDS.values()],
        "offsets": [at for _, at in _FIELDS.values()],
        "itemsize": _BYTES,
    }
)
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_COLOURS = {32: 2, 1792: 2, 128: 3, 2304: 4}  # complex numbers, RGB, RGBA


def read_nifti(path: Path) -> StoredImage:
    """What the header says.

    Raises:
        VolumeError: another file, a damaged header, a colour or vector image, other than two or three dimensions.
        OSError: a file that cannot be read.
    """
    header, order = _header(path)
    length, *sizes = (int(size) for size in header["dim"])
    if not 1 <= length <= 7:
        raise damaged(path, f"its header says that it has {length} dimensions")
    code = int(header["datatype"])
    require_scalar(path, _COLOURS.get(code, 1))
    size, kind = three_sizes(path, sizes[:length]), np.dtype(_TYPES.get(code, "V1")).newbyteorder(order)
    if code not in _TYPES or kind.itemsize * 8 != header["bitpix"]:
        raise damaged(path, f"its header says datatype {code} of {header['bitpix']} bits")
    start, slope, inter = float(header["vox_offset"]), float(header["scl_slope"]), float(header["scl_inter"])
    if start and not (start >= _BYTES and start == round(start)):
        raise damaged(path, f"its header says that the voxels begin at byte {start:g}")
    scaled = math.isfinite(slope) and slope != 0  # 0 is no scaling; some programs write NaN for that
    if scaled and not math.isfinite(inter):
        raise damaged(path, f"its header says scl_inter {inter}")
    affine, findings = nifti_place(path, header, size)
    first, packed = int(start) or 352, path.name.lower().endswith(".gz")
    return StoredImage(
        path,
        size,
        kind,
        affine,
        ((path, 0 if packed else first),),
        encoding="gzip" if packed else "raw",
        skipped=first if packed else 0,
        slope=slope if scaled else 1.0,
        intercept=inter if scaled else 0.0,
        findings=findings,
    )


def _header(path: Path) -> tuple[np.void, Order]:
    """The fields, and the byte order of the file."""
    try:
        with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as file:
            content = file.read(_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"truncated, or not gzip ({error})") from error
    for order in _ORDERS:
        if len(content) == _BYTES:
            header = np.frombuffer(content, NIFTI_HEADER.newbyteorder(order))[0]
            if header["sizeof_hdr"] == _BYTES and header["magic"] == b"n+1":
                return header, order
    raise VolumeError(
        "not a whole NIfTI-1 file", where=path, hint="Copy or export it again, or save it as .nrrd."
    )
