"""Where DICOM slices lie: one plane per slice, one affine for the stack."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base import DicomError, GeometryWarning
from .header import DicomHeader
from .slice_order import order_slices

ALIKE = 1e-4
"""Largest difference of direction cosines, and of pixel spacings in mm, within one stack."""

TILT_DEGREES = 0.1
"""Smallest gantry tilt that is reported. Rounded positions of thin slices imitate less than that."""

_AGAIN = "Copy or export the series again."


@dataclass(frozen=True, eq=False)
class SlicePlane:
    """The grid of one slice.

    Args:
        path: the file.
        position: centre of its first voxel, mm, LPS.
        axes: unit vectors along its columns index i and its rows index j, (2, 3).
        pixel: distance of neighbours along i and along j, mm.
        thickness: extent along the normal, mm.
        shape: (rows, columns).
    """

    path: Path
    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    pixel: NDArray[np.float64]
    thickness: float
    shape: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slice, i × j."""
        normal = np.cross(*self.axes)
        return np.asarray(normal / np.linalg.norm(normal))


def slice_plane(header: DicomHeader) -> SlicePlane:
    """The plane of one slice. Source: DICOM PS3.3, C.7.6.2.1.1.

    Raises:
        DicomError: a tag that is missing, damaged, or that describes no plane.
    """
    path = header.path
    position = _numbers(header.position, "ImagePositionPatient", 3, path)
    axes = _numbers(header.orientation, "ImageOrientationPatient", 6, path).reshape(2, 3)
    between_rows, between_columns = _numbers(header.spacing, "PixelSpacing", 2, path)
    rows, columns = _numbers(header.size, "Rows and Columns", 2, path)
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    if np.abs(lengths - 1).max() > 1e-2 or abs(axes[0] @ axes[1]) > 1e-3:
        raise DicomError(
            "ImageOrientationPatient holds no two perpendicular unit vectors", where=path, hint=_AGAIN
        )
    if min(between_rows, between_columns, rows, columns) <= 0:
        raise DicomError("Rows, Columns and PixelSpacing must be positive", where=path, hint=_AGAIN)
    pixel = np.array([between_columns, between_rows])
    return SlicePlane(path, position, axes / lengths, pixel, header.thickness, (int(rows), int(columns)))


def stack(planes: Sequence[SlicePlane], where: object) -> tuple[list[SlicePlane], NDArray[np.float64]]:
    """Planes in ascending order along their normal, and the affine of the stack.

    The third column of the affine is the mean step between slices, so that the first and the last slice are
    exactly in place; with a tilted gantry it is not parallel to the normal (the affine is sheared).

    Raises:
        DicomError: planes that differ in size, spacing or orientation, or two at one position.

    Warns:
        GeometryWarning: tilt, uneven spacing, missing slices, slices shifted sideways.
    """
    _require_alike(planes, where)
    positions = np.array([plane.position for plane in planes])
    order, findings = order_slices(positions, planes[0].normal, [plane.path for plane in planes])
    ordered = [planes[index] for index in order]
    first, last = ordered[0], ordered[-1]
    step = first.normal * first.thickness
    if len(ordered) > 1:
        step = (last.position - first.position) / (len(ordered) - 1)
        _warn_unusual(step, first.normal, findings, where)
    affine = np.eye(4)
    affine[:3] = np.stack([*(first.axes * first.pixel[:, None]), step, first.position], axis=1)
    return ordered, affine


def _require_alike(planes: Sequence[SlicePlane], where: object) -> None:
    first = planes[0]
    for other in planes[1:]:
        differences = {
            "sizes": other.shape != first.shape,
            "orientations": np.abs(other.axes - first.axes).max() > ALIKE,
            "pixel spacings": np.abs(other.pixel - first.pixel).max() > ALIKE,
        }
        for what, differ in differences.items():
            if differ:
                raise DicomError(
                    f"slices of different {what} in one series, {first.path.name} and {other.path.name}",
                    where=where,
                    hint="Give the files of one stack as a list.",
                )


def _warn_unusual(
    step: NDArray[np.float64], normal: NDArray[np.float64], findings: list[str], where: object
) -> None:
    tilt = np.degrees(np.arctan2(np.linalg.norm(step - (step @ normal) * normal), step @ normal))
    if tilt > TILT_DEGREES:
        findings = [f"the gantry is tilted by {tilt:.1f} degrees; the volume is sheared to match", *findings]
    for finding in findings:
        warnings.warn(GeometryWarning(f"{finding}: {where}"), stacklevel=3)


def _numbers(values: tuple[float, ...], tag: str, count: int, path: Path) -> NDArray[np.float64]:
    """The `count` finite numbers of a tag."""
    if not values:
        raise DicomError(f"{tag} is missing or damaged", where=path, hint=_AGAIN)
    if len(values) != count or not np.isfinite(values).all():
        raise DicomError(f"{tag} holds {list(values)}, not {count} numbers", where=path, hint=_AGAIN)
    return np.array(values, dtype=np.float64)
