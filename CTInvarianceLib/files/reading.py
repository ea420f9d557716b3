"""Volumes from disk: DICOM, NRRD, NIfTI and MHA."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base import DicomError, PathLike, Progress, VolumeError, as_paths, files_under, unheard
from ..dicom import read_dicom
from ..volumes import CTVolume
from .nifti import complete_nifti
from .suffixes import volume_suffix

if TYPE_CHECKING:
    from SimpleITK import Image


def read_volume(
    path: PathLike | Sequence[PathLike], *, series: str | None = None, progress: Progress = unheard
) -> CTVolume:
    """One CT volume from a DICOM folder (with its subfolders), one file, or a list of DICOM files.

    Args:
        path: folder, DICOM file, list of DICOM files, .nrrd .nhdr .nii .nii.gz .mha .mhd.
        series: SeriesInstanceUID, where DICOM files of several series lie together.
        progress: hears of every DICOM file.

    Raises:
        VolumeError: a volume file that is missing, damaged, coloured or not three-dimensional.
        DicomError: see `dicom.read_dicom`.

    Warns:
        GeometryWarning: tilted gantry, uneven spacing, missing slices.
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
    """Slices, rows and columns of a volume file, and their distances along i, j and k, mm, from its header alone.

    Raises:
        VolumeError: a header that is damaged, or of no CT volume.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged(path, error) from error
    _require_scalar(reader, path)
    columns, rows, *slices = reader.GetSize()
    i, j, *k = reader.GetSpacing()
    return (slices[0] if slices else 1, rows, columns), (i, j, k[0] if k else 1.0)


def _read_image(path: Path) -> CTVolume:
    import SimpleITK as sitk

    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            with complete_nifti(path) as complete:
                image = sitk.ReadImage(str(complete))
        else:
            image = sitk.ReadImage(str(path))
    except (OSError, RuntimeError) as error:
        raise _damaged(path, error) from error
    _require_scalar(image, path)
    hu = sitk.GetArrayFromImage(image)
    return CTVolume(hu.reshape((-1, *hu.shape[-2:])), _affine(image), str(path))


def _damaged(path: Path, error: Exception) -> VolumeError:
    reason = " ".join(str(error).splitlines()[-1:])
    return VolumeError(
        "the file is damaged or not what its name says",
        where=path,
        hint=f"Copy or export it again ({reason}).",
    )


def _require_scalar(image: Any, path: Path) -> None:
    """Of an image, or of a reader that has read its header."""
    count = getattr(image, "GetNumberOfComponentsPerPixel", None) or image.GetNumberOfComponents
    components, dimension = count(), image.GetDimension()
    if components != 1:
        raise VolumeError(
            f"a colour or vector image with {components} values per voxel, not CT",
            where=path,
            hint="Choose a volume with one HU per voxel.",
        )
    if dimension not in (2, 3):
        raise VolumeError(
            f"{dimension} dimensions instead of 3",
            where=path,
            hint="Save one volume of the sequence by itself.",
        )


def _affine(image: Image) -> NDArray[np.float64]:
    """SimpleITK reports every format in LPS; a 2-D image lies in the plane z = 0, 1 mm thick."""
    n = image.GetDimension()
    affine = np.eye(4)
    affine[:n, :n] = np.array(image.GetDirection()).reshape(n, n) * image.GetSpacing()
    affine[:n, 3] = image.GetOrigin()
    return affine


def _common(paths: Sequence[Path]) -> str:
    return f"{len(paths)} files from {paths[0]}" if paths else "an empty list"
