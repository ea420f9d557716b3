"""Volumes from disk: DICOM, NRRD, NIfTI and MHA."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import (
    DicomError,
    GeometryWarning,
    PathLike,
    Progress,
    VolumeError,
    as_paths,
    files_under,
    unheard,
    unreadable,
)
from ..dicom import read_dicom
from ..volumes import CTVolume, axial_order, padded, plane_of, require_axial_grid, warn_of_values
from .metaimage import read_metaimage
from .nifti import read_nifti
from .nrrd import read_nrrd
from .stored import StoredImage, damaged
from .suffixes import volume_suffix

_READERS: dict[str, Callable[[Path], StoredImage]] = {
    ".nrrd": read_nrrd,
    ".nhdr": read_nrrd,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
}


def read_volume(
    path: PathLike | Sequence[PathLike], *, series: str | None = None, progress: Progress = unheard
) -> CTVolume:
    """One CT volume from a DICOM folder (with its subfolders), one file, or a list of DICOM files.

    A volume file whose slices are coronal or sagittal is turned, voxel by voxel, so that they are axial; padding (-2000
    HU and less) becomes -1024 in every format.

    Args:
        path: folder, DICOM file, list of DICOM files, .nrrd .nhdr .nii .nii.gz .mha .mhd.
        series: SeriesInstanceUID, where DICOM files of several series lie together.
        progress: hears of every DICOM file.

    Raises:
        VolumeError: a volume file that is missing, damaged, coloured or not three-dimensional.
        DicomError: see `dicom.read_dicom`.

    Warns:
        GeometryWarning: tilted gantry, uneven spacing, missing slices; a volume file that contradicts itself or was
            turned.
        HounsfieldWarning: values that are hardly HU.
    """
    paths = as_paths(path)
    volumes = [each for each in paths if volume_suffix(each) and not each.is_dir()]
    if volumes and len(paths) > 1:
        raise VolumeError(
            "a list is for DICOM files of one series", where=volumes[0], hint="Read volume files one by one."
        )
    if volumes and series is not None:
        raise VolumeError("series= is for DICOM; this file holds one volume", where=volumes[0])
    for each in paths:
        if not each.exists():
            error = VolumeError if volumes else DicomError
            raise error("there is no such file or folder", where=each, hint="Check the path.")
    if volumes:
        return _read_image(volumes[0])
    files = [file for each in paths for file in (files_under(each) if each.is_dir() else [each])]
    where = paths[0] if len(paths) == 1 else _common(paths)
    return read_dicom(files, where=where, series=series, progress=progress)


def volume_grid(path: Path) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Slices, rows and columns of a volume file, and their distances along i, j and k, mm, as `read_volume` gives them.

    Its voxels are not read.

    Raises:
        VolumeError: a header that is damaged, or of no CT volume; a file that is shorter or longer than it says; slices
            that no scanner takes, as `require_axial` has it.

    Warns:
        GeometryWarning: a file that contradicts itself, or is to be turned; oblique slices.
    """
    image = _stored(path)
    image.require_whole()
    affine, (columns, rows, slices) = _axial(image), (image.size[axis] for axis in _order(image))
    require_axial_grid(affine, slices, where=path)
    i, j, k = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    return (slices, rows, columns), (i, j, k)


def volume_files(path: PathLike) -> list[Path]:
    """The files that `read_volume` reads: those of a folder; of a volume file also the ones that its header names.

    Raises:
        VolumeError: a volume file whose header cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return files_under(path)
    parts = _stored(path).parts if volume_suffix(path) and path.is_file() else ()
    return [path, *(part for part, _ in parts if part != path)]


def _stored(path: Path) -> StoredImage:
    """The header of a volume file."""
    suffix = volume_suffix(path) or ""
    try:
        return _READERS[suffix](path)
    except OSError as error:
        raise unreadable(path, error, VolumeError) from error
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise damaged(path, f"its header makes no sense ({error})") from error


def _read_image(path: Path) -> CTVolume:
    """A volume file with axial slices."""
    image = _stored(path)
    hu = padded(_scaled(image.voxels(), image.slope, image.intercept))
    i, j, k = _order(image)
    hu = np.ascontiguousarray(hu.transpose(2 - k, 2 - j, 2 - i))
    volume = CTVolume(hu, _axial(image), str(path))
    warn_of_values(volume)
    return volume


def _order(image: StoredImage) -> tuple[int, int, int]:
    """The axes in axial order; a single slice stays one."""
    return axial_order(image.affine) if image.size[2] > 1 else (0, 1, 2)


def _axial(image: StoredImage) -> NDArray[np.float64]:
    """The affine with its axes in axial order; says what is unusual about it."""
    order = _order(image)
    findings = list(image.findings)
    if order != (0, 1, 2):
        findings.append(f"its slices are {plane_of(image.affine)}; it was turned so that they are axial")
    for finding in findings:
        warnings.warn(GeometryWarning(f"{finding}: {image.path}"), stacklevel=4)
    return image.affine[:, (*order, 3)]


def _scaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """HU = slope · stored + intercept, int16 where that loses nothing; in this machine's byte order."""
    if (slope, intercept) == (1.0, 0.0):
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)

    def scaled(values: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(values * np.float64(slope) + intercept, np.float32)

    with np.errstate(over="ignore", invalid="ignore"):  # CTVolume reports what is not finite
        hu = np.empty(
            stored.shape, np.int16 if all(_whole(scaled(values)) for values in stored) else np.float32
        )
        for image, values in zip(hu, stored, strict=True):
            image[:] = scaled(values)
    return hu


def _whole(hu: NDArray[np.float32]) -> bool:
    """Whether int16 holds the values of a slice; looked at one by one, a volume would take three times its memory."""
    limits = np.iinfo(np.int16)
    return bool(((limits.min <= hu) & (hu <= limits.max) & (hu == np.rint(hu))).all())


def _common(paths: Sequence[Path]) -> str:
    return f"{len(paths)} files from {paths[0]}" if paths else "an empty list"
