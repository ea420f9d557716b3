"""Images of one place in Slicer's volume sequence file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import PathLike, VolumeError, whole_file
from ..volumes import CTVolume
from .nrrd_header import nrrd_header

# Slicer splits index values at spaces and decodes these six characters, no others.
_ESCAPES = {ord(character): f"%{ord(character):X}" for character in "\"%'<> "}


def write_sequence(
    images: NDArray[Any] | Sequence[Any],
    geometry: CTVolume,
    path: PathLike,
    *,
    names: Sequence[str] | None = None,
) -> None:
    """Writes images of one place as the `.seq.nrrd` that Slicer opens as a volume sequence.

    Uncompressed: the last bits of float32 HU are noise, gzip saves 7 % and takes ten times as long.
    Source: Slicer's developer guide, volume sequence file format; http://teem.sourceforge.net/nrrd/format.html.

    Args:
        images: HU, n of shape (slices, rows, columns), or (rows, columns) where the geometry is one slice; looked
            at one after the other, never copied together.
        geometry: the place of every image.
        path: ends with .seq.nrrd.
        names: index values of the items; without names they are 0 to n - 1.

    Raises:
        VolumeError: images that do not fit the geometry or are not finite, names that are not n different
            ones, another suffix, or a place that cannot be written to.
    """
    path, count = Path(path), len(images)
    if not path.name.lower().endswith(".seq.nrrd"):
        raise VolumeError("Slicer knows a sequence by .seq.nrrd", where=path, hint="Rename it.")
    if not count:
        raise VolumeError("a sequence without images", where=path)
    if names is not None and not (len(set(names)) == len(names) == count and all(map(_printable, names))):
        raise VolumeError(f"{count} images need as many different names of printable characters", where=path)
    place = replace(geometry, source=str(path))
    values = map(str, range(count)) if names is None else (name.translate(_ESCAPES) for name in names)
    header = nrrd_header(
        "float",
        (*geometry.shape[::-1], count),
        geometry.affine,
        'labels: "" "" "" "sample"',
        "DataNodeClassName:=vtkMRMLScalarVolumeNode",
        f"axis 3 index type:={'numeric' if names is None else 'text'}",
        f"axis 3 index values:={' '.join(values)}",
        encoding="raw",
    )
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        file.write(header)
        for image in images:
            hu = np.asarray(image)
            placed = place.with_hu(hu[None] if hu.ndim == 2 else hu)
            file.write(np.ascontiguousarray(placed.hu, "<f4").data)  # tofile would not say why it fails


def _printable(name: str) -> bool:
    return bool(name) and name.isprintable()
