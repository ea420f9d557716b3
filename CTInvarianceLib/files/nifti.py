"""A guard before ITK's NIfTI reader, which takes two kinds of wrong file for right ones."""

from __future__ import annotations

import gzip
import shutil
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

from ..base import VolumeError

_HEADER_BYTES = 348


@contextmanager
def complete_nifti(path: Path) -> Iterator[Path]:
    """An uncompressed, complete copy of a .nii.gz file, or the .nii file itself.

    ITK fills what is missing from a truncated file with zeros, and reads `x.nii` when it is asked for
    `x.nii.gz` and both are there. So unpack away from any other file, and compare the size with the header.
    Source of the layout: the NIfTI-1 header, https://nifti.nimh.nih.gov/nifti-1.

    Raises:
        VolumeError: truncated, damaged or not NIfTI-1.
    """
    if path.suffix.lower() != ".gz":
        _require_complete(path, path)
        yield path
        return
    with TemporaryDirectory(prefix="ctinvariance-") as folder:
        unpacked = Path(folder, "volume.nii")
        try:
            with gzip.open(path) as packed, unpacked.open("wb") as target:
                shutil.copyfileobj(packed, target, 1 << 20)
        except (OSError, EOFError, zlib.error) as error:
            raise VolumeError(
                "the file is truncated or not gzip", where=path, hint=f"Copy or export it again ({error})."
            ) from error
        _require_complete(unpacked, path)
        yield unpacked


def _require_complete(file: Path, where: Path) -> None:
    """Compares the size of an uncompressed NIfTI-1 file with dim, bitpix and vox_offset of its header."""
    with file.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    order = next((o for o in "<>" if header[:4] == struct.pack(f"{o}i", _HEADER_BYTES)), None)
    if order is None or len(header) < _HEADER_BYTES:
        raise VolumeError(
            "not a whole NIfTI-1 file", where=where, hint="Copy or export it again, or save it as .nrrd."
        )
    axes, *sizes = struct.unpack_from(f"{order}8h", header, 40)
    (bits,) = struct.unpack_from(f"{order}h", header, 72)
    (offset,) = struct.unpack_from(f"{order}f", header, 108)
    needed = offset + prod(max(size, 1) for size in sizes[: max(axes, 0)]) * bits / 8
    if not file.stat().st_size >= needed:
        raise VolumeError(
            f"the file is truncated: {file.stat().st_size} of {needed:.0f} bytes",
            where=where,
            hint="Copy or export it again.",
        )
