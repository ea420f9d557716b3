"""Volumes to disk: NRRD, NIfTI and MHA."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from ..base import PathLike, VolumeError, require_place, whole_file
from ..volumes import CTVolume
from .nrrd_header import nrrd_header
from .suffixes import writable_suffix

_LEVEL = 1  # of compression: more takes long and saves little of noise
_RIGHT_ANGLES = 1e-4


def require_writable(path: PathLike, volume: CTVolume | None = None) -> None:
    """Raise what `write_volume` would raise, before the work that it is to keep.

    Raises:
        VolumeError: another suffix, a sheared volume as NIfTI, or a place that cannot be written to.
    """
    path = Path(path)
    suffix = writable_suffix(path)
    require_place(path)
    if volume is None or not suffix.startswith(".nii"):
        return
    direction = volume.affine[:3, :3] / volume.spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > _RIGHT_ANGLES:
        raise VolumeError(
            "NIfTI cannot hold a sheared volume, as of a tilted gantry", where=path, hint="Use .nrrd."
        )


def write_volume(volume: CTVolume, path: PathLike) -> None:
    """Writes .nrrd, .nii, .nii.gz or .mha, in capitals too; values keep their type, a missing folder is made.

    NRRD and MHA keep the affine to 1e-12 mm. NIfTI stores it in float32 (about 1e-4 mm) and without shear.

    Raises:
        VolumeError: another suffix, a sheared volume as NIfTI, or a place that cannot be written to.
    """
    path = Path(path)
    require_writable(path, volume)
    with whole_file(path) as unfinished:
        if writable_suffix(path) == ".nrrd":
            _write_nrrd(volume, unfinished)
        else:
            _write_with_itk(volume, unfinished)


def _write_nrrd(volume: CTVolume, path: Path) -> None:
    """Ours, as ITK writes the numbers of a NRRD header as the locale has them, with a decimal comma too."""
    kind = "short" if volume.hu.dtype == np.int16 else "float"
    hu = np.ascontiguousarray(volume.hu, volume.hu.dtype.newbyteorder("<"))
    with path.open("wb") as file:
        file.write(nrrd_header(kind, volume.shape[::-1], volume.affine, encoding="gzip"))
        with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
            packed.write(hu.data)


def _write_with_itk(volume: CTVolume, path: Path) -> None:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetDirection((volume.affine[:3, :3] / volume.spacing).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=_LEVEL)
