"""A CT volume to one DICOM series: CT Image Storage, one file a slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import DicomError, PathLike, Progress, VolumeError, as_path, unheard, whole_file
from ..volumes import CTVolume
from .attributes import INTERCEPT_HU, LIMITS_HU, SeriesHeader, about, dicom_uid, pixel_format
from .geometry import ALIKE


def write_dicom_series(
    volume: CTVolume, folder: PathLike, header: SeriesHeader, *, progress: Progress = unheard
) -> list[Path]:
    """Write `1-001.dcm`, `1-002.dcm`, … in Explicit VR Little Endian, each whole or not at all.

    Stored values are 16 bit: HU are rounded to whole numbers (`read_volume` takes -2000 and less for padding, as
    scanners mean it). Nothing is compressed, and nothing depends on clock or chance, so the same volume and header
    give the same files.

    Args:
        volume: a grid with right angles.
        folder: made where it does not exist; files of these names in it are replaced, others stay.
        header: everything else.
        progress: is told the fraction done after each slice.

    Returns:
        The files in the order of the slices.

    Raises:
        VolumeError: a sheared grid, HU beyond `LIMITS_HU`, or a folder that cannot be written to.
        DicomError: a text of the header that its attribute cannot hold, such as one that is too long.
    """
    folder = as_path(folder)
    grid = _grid(volume, folder)
    _require_storable(volume, folder)
    common = {**about(header), **pixel_format(volume.shape)}
    paths = []
    for k, (hu, name) in enumerate(zip(volume.hu, slice_names(len(volume.hu)), strict=True)):
        place = _place(volume.position(0, 0, k), grid)
        names = {"SOPInstanceUID": dicom_uid(header.series, k + 1), "InstanceNumber": k + 1}
        stored = (np.rint(hu).astype(np.int32) - INTERCEPT_HU).astype("<i2")
        path = folder / name
        _write(path, {**common, **place, **names}, stored)
        paths.append(path)
        progress((k + 1) / len(volume.hu))
    return paths


def slice_names(count: int) -> list[str]:
    """Names of the files of a series, in the order of its slices."""
    return [f"1-{k + 1:03d}.dcm" for k in range(count)]


@dataclass(frozen=True, eq=False)
class _Grid:
    """Unit vectors along columns index i, rows index j, and across the slice, i × j; spacing of i, j, k in mm."""

    axes: NDArray[np.float64]
    normal: NDArray[np.float64]
    spacing: tuple[float, float, float]


def _grid(volume: CTVolume, folder: Path) -> _Grid:
    """The grid as DICOM describes it, which knows no angles but right ones within a slice."""
    axes = (volume.affine[:3, :3] / volume.spacing).T
    if np.abs(axes @ axes.T - np.eye(3)).max() > ALIKE:
        raise VolumeError(
            "A sheared volume cannot become a DICOM series",
            where=volume.source or folder,
            hint="Resample it to a grid with right angles, or write .nrrd.",
        )
    return _Grid(axes[:2], np.cross(axes[0], axes[1]), volume.spacing)


def _require_storable(volume: CTVolume, folder: Path) -> None:
    lowest, highest = float(volume.hu.min()), float(volume.hu.max())
    if np.rint(lowest) < LIMITS_HU[0] or np.rint(highest) > LIMITS_HU[1]:
        raise VolumeError(
            f"HU from {lowest:g} to {highest:g} do not fit DICOM's 16 bits, {LIMITS_HU[0]} to {LIMITS_HU[1]}",
            where=volume.source or folder,
            hint="Clip them, or write .nrrd.",
        )


def _place(position: NDArray[np.float64], grid: _Grid) -> dict[str, Any]:
    """Image plane, mm LPS: PixelSpacing is the distance of rows first. Source: PS3.3, C.7.6.2."""
    between_columns, between_rows, step = grid.spacing
    return {
        "ImagePositionPatient": position.tolist(),
        "ImageOrientationPatient": grid.axes.ravel().tolist(),
        "PixelSpacing": [between_rows, between_columns],
        "SliceThickness": step,
        "SpacingBetweenSlices": step,
        "SliceLocation": float(position @ grid.normal),
    }


def _write(path: Path, tags: dict[str, Any], stored: NDArray[Any]) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    for keyword, value in tags.items():
        dataset.add(_element(keyword, value, path))
    dataset.PixelData = stored.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with whole_file(path) as unfinished:
        dataset.save_as(unfinished, enforce_file_format=True)


def _element(keyword: str, value: Any, path: Path) -> Any:
    """One attribute, checked against what its value representation allows (PS3.5, 6.2)."""
    from pydicom.config import RAISE
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import DataElement
    from pydicom.valuerep import format_number_as_ds

    tag = tag_for_keyword(keyword)
    vr = dictionary_VR(tag)
    if vr == "DS":  # at most 16 characters a number
        numbers = [format_number_as_ds(float(x)) for x in (value if isinstance(value, list) else [value])]
        value = numbers if len(numbers) > 1 else numbers[0]
    try:
        if isinstance(value, str) and "\\" in value:
            raise ValueError("a backslash separates values")
        return DataElement(tag, vr, value, validation_mode=RAISE)
    except ValueError as error:
        raise DicomError(
            f"{keyword} cannot hold {value!r}", where=path, hint=f"Give another one ({error})."
        ) from error
