"""Volumes on disk: DICOM, NRRD, NIfTI and MHA in, NRRD, NIfTI and MHA out, and Slicer's sequences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .atomic import writing
from .dicom import files_under, read_dicom
from .errors import DicomError, VolumeError
from .nifti import complete_nifti
from .protocol import Progress, unheard
from .volume import CTVolume

if TYPE_CHECKING:
    from SimpleITK import Image

PathLike = str | os.PathLike[str]

WRITABLE = (".nrrd", ".nii.gz", ".nii", ".mha")
READABLE = (*WRITABLE, ".nhdr", ".mhd")

# Slicer splits index values at spaces and decodes these six characters, no others.
_ESCAPES = {ord(character): f"%{ord(character):X}" for character in "\"%'<> "}


def volume_suffix(path: Path) -> str | None:
    """The suffix that makes `path` a volume file, in lower case; None for anything else."""
    return next((suffix for suffix in READABLE if path.name.lower().endswith(suffix)), None)


def as_paths(source: PathLike | Sequence[PathLike]) -> list[Path]:
    """One path or several, as a list."""
    return [Path(source)] if isinstance(source, str | os.PathLike) else [Path(each) for each in source]


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


def writable_suffix(path: PathLike) -> str:
    """The suffix of a volume file to write; VolumeError where it is of no format that can be written."""
    suffix = volume_suffix(Path(path))
    if suffix is None or suffix not in WRITABLE:
        raise VolumeError("not a format to write", where=path, hint=f"Use one of {' '.join(WRITABLE)}.")
    return suffix


def write_volume(volume: CTVolume, path: PathLike) -> None:
    """Writes .nrrd, .nii, .nii.gz or .mha; values keep their type, a missing folder is made.

    NRRD and MHA keep the affine to 1e-12 mm. NIfTI stores it in float32 (about 1e-4 mm) and without shear.

    Raises:
        VolumeError: another suffix, a sheared volume as NIfTI, or a place that cannot be written to.
    """
    import SimpleITK as sitk

    path = Path(path)
    suffix = writable_suffix(path)
    direction = volume.affine[:3, :3] / volume.spacing
    if suffix.startswith(".nii") and np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise VolumeError("NIfTI cannot hold a sheared volume", where=path, hint="Use .nrrd.")
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetDirection(direction.ravel().tolist())
    with whole_file(path) as unfinished:
        sitk.WriteImage(image, str(unfinished), useCompression=True, compressionLevel=1)


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


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """`atomic.writing` for volumes: what fails becomes one error that names the file.

    Raises:
        VolumeError: the folder cannot be made or written to.
    """
    try:
        with writing(path) as unfinished:
            yield unfinished
    except (OSError, RuntimeError) as error:  # SimpleITK raises RuntimeError
        raise VolumeError("cannot be written", where=path, hint=f"{error}") from error


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
