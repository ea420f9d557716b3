"""A CT volume: Hounsfield units on a grid that knows its place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import VolumeError


@dataclass(frozen=True, eq=False)
class CTVolume:
    """Hounsfield units and their place: p = A (i, j, k, 1)ᵀ, mm, LPS.

    Args:
        hu: HU, shape (slices, rows, columns); float32 or int16. Other integers become int16 where they fit,
            everything else float32. Not copied where nothing has to change.
        affine: A, float64 4x4: voxel (i = column, j = row, k = slice) to patient millimetres; x grows to the
            patient's left, y to the back, z to the head (LPS, as in DICOM). Kept as a read-only copy.
        source: where the volume came from, for messages.

    Raises:
        VolumeError: not three dimensions, an empty axis, values that are no numbers, NaN or infinite values,
            an affine that is not finite, not 4x4 or singular.
    """

    hu: NDArray[Any]
    affine: NDArray[np.float64]
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hu", _hounsfield(self.hu, self.source))
        object.__setattr__(self, "affine", _geometry(self.affine, self.source))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        slices, rows, columns = self.hu.shape
        return slices, rows, columns

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbours along i (columns), j (rows) and k (slices), mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    def position(self, i: ArrayLike, j: ArrayLike, k: ArrayLike) -> NDArray[np.float64]:
        """Patient position, mm LPS, of column i, row j, slice k; arrays broadcast to shape (..., 3)."""
        index = np.stack(np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (i, j, k))), axis=-1)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def with_hu(self, hu: NDArray[Any]) -> CTVolume:
        """Other values at the same place.

        Raises:
            VolumeError: another shape than this volume's.
        """
        if np.shape(hu) != self.shape:
            raise VolumeError(
                f"values of shape {np.shape(hu)} do not fit a volume of {self.shape}",
                where=self.source or None,
            )
        return replace(self, hu=hu)

    def crop(self, slices: int | slice, rows: slice, columns: slice) -> CTVolume:
        """A part of one slice, or of several, as a volume whose voxels stay where they were.

        Raises:
            VolumeError: a slice that does not exist, or a part that reaches out of the volume.
        """
        depth, height, width = self.shape
        if not isinstance(slices, slice):
            if not 0 <= slices < depth:
                raise VolumeError(
                    f"there is no slice {slices}, only 0 to {depth - 1}", where=self.source or None
                )
            slices = slice(slices, slices + 1)
        k, k_step = _start_and_step(slices, depth, "slices", self.source)
        j, j_step = _start_and_step(rows, height, "rows", self.source)
        i, i_step = _start_and_step(columns, width, "columns", self.source)
        affine = self.affine * (i_step, j_step, k_step, 1)
        affine[:3, 3] = self.position(i, j, k)
        return CTVolume(self.hu[slices, rows, columns].copy(), affine, self.source)


def _start_and_step(part: slice, size: int, axis: str, source: str) -> tuple[int, int]:
    """First index and step of `part`, which must lie inside 0..size (Python itself would clip it)."""
    start, stop, step = part.indices(size)
    bounds = [bound for bound in (part.start, part.stop) if bound is not None]
    if any(not -size <= bound <= size for bound in bounds) or not range(start, stop, step):
        raise VolumeError(
            f"{axis} {part.start} to {part.stop} are not inside an image with {size} {axis}",
            where=source or None,
            hint="Choose a part that lies inside the image.",
        )
    return start, step


def _hounsfield(values: ArrayLike, source: str) -> NDArray[Any]:
    """`values` as float32 or int16, after the checks that CTVolume promises."""
    where = source or None
    hu = np.asarray(values)
    if hu.ndim != 3 or not hu.size:
        raise VolumeError(f"a volume needs slices, rows and columns, not shape {hu.shape}", where=where)
    if hu.dtype.kind not in "iuf":
        raise VolumeError(f"HU are numbers, not {hu.dtype}", where=where)
    if hu.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
        limits = np.iinfo(np.int16)
        fits = hu.dtype.kind in "iu" and limits.min <= hu.min() and hu.max() <= limits.max
        with np.errstate(over="ignore"):  # what overflows float32 is reported as infinite just below
            hu = hu.astype(np.int16 if fits else np.float32)
    if hu.dtype == np.float32 and not (finite := np.isfinite(hu)).all():
        first = int(np.flatnonzero(~finite.all(axis=(1, 2)))[0])
        raise VolumeError(
            f"{np.count_nonzero(~finite)} values are NaN or infinite, the first in slice {first}",
            where=where,
            hint="Replace them by HU, for instance -1024 outside the scanned circle.",
        )
    return hu


def _geometry(affine: ArrayLike, source: str) -> NDArray[np.float64]:
    """`affine` as a read-only float64 copy, after the checks that CTVolume promises."""
    where = source or None
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or tuple(matrix[3]) != (0, 0, 0, 1):
        raise VolumeError("the affine is not a finite 4x4 matrix with last row 0 0 0 1", where=where)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    # Relative to the spacing: thin slices of tiny pixels are no reason to call a grid flat.
    if not spacing.all() or abs(np.linalg.det(matrix[:3, :3] / spacing)) < 1e-6:
        raise VolumeError("the affine is singular: voxels of different index share a place", where=where)
    matrix.flags.writeable = False
    return matrix
