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
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        file.write(_sequence_header((count, *geometry.shape), geometry.affine, names))
        for image in images:
            hu = np.asarray(image)
            place.with_hu(hu[None] if hu.ndim == 2 else hu).hu.astype("<f4", copy=False).tofile(file)


def _sequence_header(shape: tuple[int, ...], affine: NDArray[Any], names: Sequence[str] | None) -> bytes:
    """NRRD header with axes i, j, k, list: fastest first, so the data are a (list, k, j, i) array."""
    count, slices, rows, columns = shape
    vectors = [f"({x!r},{y!r},{z!r})" for x, y, z in affine[:3].T.tolist()]
    values = map(str, range(count)) if names is None else (name.translate(_ESCAPES) for name in names)
    return f"""NRRD0004
type: float
dimension: 4
space: left-posterior-superior
sizes: {columns} {rows} {slices} {count}
space directions: {" ".join(vectors[:3])} none
kinds: domain domain domain list
labels: "" "" "" "sample"
endian: little
encoding: raw
space origin: {vectors[3]}
DataNodeClassName:=vtkMRMLScalarVolumeNode
axis 3 index type:={"numeric" if names is None else "text"}
axis 3 index values:={" ".join(values)}

""".encode()


def _printable(name: str) -> bool:
    return bool(name) and name.isprintable()
