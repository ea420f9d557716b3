"""Headers of NIfTI-1 to write. Source: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..volumes import CTVolume
from .nifti import NIFTI_HEADER

FIRST_VOXEL = 352  # the header and four bytes that say that nothing is added to it
_TYPES = {np.dtype(np.int16): 4, np.dtype(np.float32): 16}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SCANNER, _MM = 1, 2


def nifti_header(geometry: CTVolume, kind: np.dtype[np.generic]) -> bytes:
    """The header, little endian, up to where the voxels begin; the place is both sform and qform.

    Args:
        geometry: shape, and a place without shear.
        kind: of the values.
    """
    form = _LPS_TO_RAS @ geometry.affine
    rotation, turned = _rotation(form[:3, :3])
    header = np.zeros((), NIFTI_HEADER.newbyteorder("<"))
    header["sizeof_hdr"], header["magic"] = NIFTI_HEADER.itemsize, b"n+1"
    header["dim"] = (3, *geometry.shape[::-1], 1, 1, 1, 1)
    header["datatype"], header["bitpix"] = _TYPES[kind], kind.itemsize * 8
    header["pixdim"] = (turned, *geometry.spacing, 0, 0, 0, 0)
    header["vox_offset"], header["scl_slope"], header["xyzt_units"] = FIRST_VOXEL, 1, _MM
    header["qform_code"] = header["sform_code"] = _SCANNER
    header["quatern"], header["qoffset"], header["srow"] = _quaternion(rotation), form[:3, 3], form[:3]
    return header.tobytes().ljust(FIRST_VOXEL, b"\0")


def _rotation(axes: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The rotation nearest to the directions of the axes, the third turned round (-1) where they are mirrored."""
    left, _, right = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    rotation = left @ right
    turned = 1.0 if np.linalg.det(rotation) > 0 else -1.0
    return rotation * (1, 1, turned), turned


def _quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """b, c, d of the quaternion a + bi + cj + dk, a >= 0, of a rotation.

    The eigenvector of the largest eigenvalue, accurate near half turns too; Bar-Itzhack, J Guid Control Dyn 23(6):
    1085-1087 (2000), doi:10.2514/2.4654.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    a, *rest = np.linalg.eigh(symmetric)[1][:, -1]
    return np.asarray(rest) * (1.0 if a >= 0 else -1.0)
