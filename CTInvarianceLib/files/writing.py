"""Volumes to disk: NRRD, NIfTI and MHA.

The writers are ours: those of ITK say on standard error that a disk is full, and leave a truncated file without
raising; and they write the numbers of a NRRD header as the locale has them, with a decimal comma too.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..base import PathLike, VolumeError, require_place, writing
from ..volumes import CTVolume
from .metaimage_header import metaimage_header
from .nifti_header import nifti_header
from .nrrd_header import nrrd_header
from .reading import volume_files
from .suffixes import writable_suffix

Append = Callable[[NDArray[Any]], object]
"""Takes the next slices, (s, rows, columns)."""

_Write = Callable[[memoryview], object]

_LEVEL = 1  # of compression: more takes long and saves little of noise
_RIGHT_ANGLES = 1e-4
_MOST_OF_NIFTI = 32767  # voxels along an axis, of 16 bits


def require_writable(
    path: PathLike,
    volume: CTVolume | None = None,
    *,
    inputs: Sequence[PathLike] = (),
    overwrite: bool = True,
) -> None:
    """Raise what `write_volume` would raise, before the work that it is to keep.

    Args:
        path: of the file to write.
        volume: what is written there, where it is known.
        inputs: files and folders that it is made of.
        overwrite: whether a file of that name may be replaced.

    Raises:
        VolumeError: another suffix, a sheared or far too large volume as NIfTI, a file that is there already and may
            not be replaced or is one of the inputs, or a place that cannot be written to.
    """
    path = Path(path)
    suffix = writable_suffix(path)
    require_place(path, overwrite=overwrite)
    require_no_input(path, inputs)
    if volume is None or not suffix.startswith(".nii"):
        return
    direction = volume.affine[:3, :3] / volume.spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > _RIGHT_ANGLES:
        raise VolumeError(
            "NIfTI cannot hold a sheared volume, as of a tilted gantry", where=path, hint="Use .nrrd."
        )
    if max(volume.shape) > _MOST_OF_NIFTI:
        raise VolumeError(
            f"NIfTI holds no more than {_MOST_OF_NIFTI} voxels along an axis", where=path, hint="Use .nrrd."
        )


def require_no_input(path: Path, inputs: Iterable[PathLike]) -> None:
    """Raise where a file to write is one that is read, by whatever path or link.

    Raises:
        VolumeError: it is a file, or one of a folder, or the file of the voxels that a header names.
    """
    if not path.exists():
        return
    for each in inputs:
        for file in volume_files(each):
            if file.exists() and path.samefile(file):
                raise VolumeError(
                    "the output would replace the input", where=path, hint="Choose another name for it."
                )


def write_volume(volume: CTVolume, path: PathLike, *, overwrite: bool = True) -> None:
    """Writes .nrrd, .nii, .nii.gz or .mha, in capitals too; values keep their type, a missing folder is made.

    NRRD and MHA keep the affine to 1e-12 mm. NIfTI stores it in float32 (about 1e-4 mm) and without shear.

    Raises:
        VolumeError: see `require_writable`; also where the file is the volume's own source.
    """
    path = Path(path)
    try:
        with writing_volume(path, volume, volume.hu.dtype, overwrite=overwrite) as append:
            append(volume.hu)
    except OSError as error:
        hint = f"Choose another place ({error.strerror or error})."
        raise VolumeError("cannot be written", where=path, hint=hint) from error


@contextmanager
def writing_volume(
    path: PathLike, geometry: CTVolume, kind: Any = np.float32, *, overwrite: bool = True
) -> Iterator[Append]:
    """`write_volume` of slices that come one after the other; the file appears when the block ends well.

    Args:
        path: of the file.
        geometry: shape and place; never replaced, where it was read from a file.
        kind: of the values, float32 or int16.
        overwrite: whether a file of that name may be replaced.

    Raises:
        VolumeError: see `require_writable`; other slices than the geometry has, values that are not finite.
        OSError: the disk is full, or the place cannot be written to; it names the file.
    """
    path, kind = Path(path), np.dtype(kind)
    require_writable(path, geometry, inputs=[geometry.source] if geometry.source else [], overwrite=overwrite)
    with writing(path) as part:
        with part.open("wb") as file, _FORMATS[writable_suffix(path)](file, geometry, kind) as write:
            slices = _Slices(write, geometry, kind, path)
            yield slices.append
            slices.require_all()
        require_place(path, overwrite=overwrite)  # somebody else may have written one meanwhile


class _Slices:
    """Hands on slices in the order and type of the file, one by one, and counts them."""

    def __init__(self, write: _Write, geometry: CTVolume, kind: np.dtype[Any], path: Path) -> None:
        self._write, self._shape, self._kind, self._path = write, geometry.shape, kind.newbyteorder("<"), path
        self._count = 0

    def append(self, slices: NDArray[Any]) -> None:
        """Write the next ones."""
        for image in slices:
            if image.shape != self._shape[1:] or self._count == self._shape[0]:
                raise VolumeError(
                    f"slice {self._count}, of shape {image.shape}, does not fit a volume of {self._shape}",
                    where=self._path,
                )
            if not np.isfinite(image).all():
                raise VolumeError(f"values of slice {self._count} are NaN or infinite", where=self._path)
            self._write(np.ascontiguousarray(image, self._kind).data)
            self._count += 1

    def require_all(self) -> None:
        """Raise where slices are missing."""
        if self._count < self._shape[0]:
            raise VolumeError(f"only {self._count} of {self._shape[0]} slices were written", where=self._path)


@contextmanager
def _nrrd(file: BinaryIO, geometry: CTVolume, kind: np.dtype[Any]) -> Iterator[_Write]:
    name = {"i": "short", "f": "float"}[kind.kind]
    file.write(nrrd_header(name, geometry.shape[::-1], geometry.affine, encoding="gzip"))
    with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
        yield packed.write


@contextmanager
def _metaimage(file: BinaryIO, geometry: CTVolume, kind: np.dtype[Any]) -> Iterator[_Write]:
    file.write(metaimage_header(geometry, kind, 0))
    start, packer = file.tell(), zlib.compressobj(_LEVEL)
    yield lambda values: file.write(packer.compress(values))
    file.write(packer.flush())
    packed = file.tell() - start
    file.seek(0)
    file.write(metaimage_header(geometry, kind, packed))


@contextmanager
def _nifti(file: BinaryIO, geometry: CTVolume, kind: np.dtype[Any]) -> Iterator[_Write]:
    file.write(nifti_header(geometry, kind))
    yield file.write


@contextmanager
def _packed_nifti(file: BinaryIO, geometry: CTVolume, kind: np.dtype[Any]) -> Iterator[_Write]:
    with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
        packed.write(nifti_header(geometry, kind))
        yield packed.write


_FORMATS = {".nrrd": _nrrd, ".mha": _metaimage, ".nii": _nifti, ".nii.gz": _packed_nifti}
