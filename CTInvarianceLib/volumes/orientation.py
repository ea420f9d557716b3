"""Which way the slices of a volume lie in the patient."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ..base import GeometryWarning, VolumeError
from .ct_volume import CTVolume

_TILT_DEGREES = 32.0  # gantries tilt up to 30
_OBLIQUE_DEGREES = 5.0  # less makes no difference
_CLEARLY = 1e-3  # by which an axis must be nearer to the patient's than another one
_PLANES = ("sagittal", "coronal", "axial")


def axial_order(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """The axes of a grid in the order that makes its slices axial: (0, 1, 2) where they are.

    The third one is that along the patient's z, the first that along x; nothing is turned over.
    """
    along = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    if along[2, 2] > along[2].max() - _CLEARLY:
        return 0, 1, 2
    k = int(along[2].argmax())
    i, j = sorted({0, 1, 2} - {k}, key=lambda axis: -along[0, axis])
    return i, j, k


def plane_of(affine: NDArray[np.float64]) -> str:
    """What the slices of a grid are nearest to: axial, coronal or sagittal."""
    return _PLANES[int(np.abs(_normal(affine)).argmax())]


def tilt_of(affine: NDArray[np.float64]) -> float:
    """Angle between the slices of a grid and axial ones, degrees."""
    return float(np.degrees(np.arccos(min(1.0, abs(_normal(affine)[2])))))


def require_axial(volume: CTVolume) -> None:
    """Raise where slices do not lie as they were scanned: their noise is another one, and networks see another plane.

    Raises:
        VolumeError: slices further from axial than a gantry tilts.

    Warns:
        GeometryWarning: slices that are oblique but not those of a tilted gantry, which follow each other along z.
    """
    require_axial_grid(volume.affine, len(volume.hu), where=volume.source or "volume")


def require_axial_grid(affine: NDArray[np.float64], slices: int, *, where: object) -> None:
    """The same of a grid of so many slices."""
    tilt = tilt_of(affine)
    if tilt > _TILT_DEGREES:
        raise VolumeError(
            f"its slices are {plane_of(affine)}, {tilt:.0f} degrees from axial, and a scan's are axial",
            where=where,
            hint="Give the axial series that it was made from, or save it with axial slices.",
        )
    along_z = abs(affine[2, 2]) / np.linalg.norm(affine[:3, 2])
    if tilt > _OBLIQUE_DEGREES and slices > 1 and along_z < np.cos(np.radians(_OBLIQUE_DEGREES)):
        what = f"its slices are oblique, {tilt:.0f} degrees from axial: their noise is not that of scanned slices"
        warnings.warn(GeometryWarning(f"{what}: {where}"), stacklevel=4)


def _normal(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vector across the slices."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return np.asarray(normal / np.linalg.norm(normal))
