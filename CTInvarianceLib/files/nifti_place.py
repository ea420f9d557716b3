"""Where an image of a NIfTI file lies: sform, qform and pixdim, by the rules of the standard, and where they disagree.

Source: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h, "3D image (volume) orientation".
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .stored import damaged

_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # of unknown, metre, millimetre, micrometre
_SCANNER = 1
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_ROUNDED = 1e-7  # what single precision leaves of 0 in half a turn
_SHEAR = 1e-2  # cosine between axes that is no rounding
_UNIT = 1e-3  # by which the square of a rounded quaternion may exceed 1
_APART = 0.1  # voxels by which sform and qform may place a corner differently
_UNEQUAL = 0.01  # relative difference of the spacings of sform and pixdim


def nifti_place(
    path: Path, header: np.void, size: tuple[int, int, int]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The affine in LPS, and where the header contradicts itself.

    sform and qform may both be there, for different spaces. The one of the scanner is taken; where both claim it, or
    none, the qform, as ITK and 3D Slicer do, but for a sheared sform, which no qform can hold.

    Args:
        path: of the file, for messages.
        header: its fields, by the names of the standard.
        size: voxels along i, j and k.

    Raises:
        VolumeError: a place that is none.
    """
    unit = _MM.get(int(header["xyzt_units"]) & 7)
    if unit is None:
        raise damaged(path, f"its header says xyzt_units {header['xyzt_units']}")
    spacing = [float(value) for value in header["pixdim"][1:4]]
    spacing = [1.0 if n == 1 and not mm else mm for n, mm in zip(size, spacing, strict=True)]
    usable = all(0 < mm < math.inf for mm in spacing)
    if not usable and (header["qform_code"] > 0 or header["sform_code"] <= 0):
        raise damaged(
            path, f"its header says that voxels are {' x '.join(f'{mm:g}' for mm in spacing)} mm apart"
        )
    forms = {}
    if header["qform_code"] > 0:
        forms["qform"] = _quaternion(path, header, spacing)
    if header["sform_code"] > 0:
        forms["sform"] = np.vstack([header["srow"].astype(np.float64), (0, 0, 0, 1)])
    if not forms:
        affine = np.diag([*np.multiply(spacing, unit), 1.0])
        return affine, (
            "sform and qform are unset: which way the patient's left, front and head are is not known",
        )
    if not all(np.isfinite(form).all() and np.linalg.det(form) for form in forms.values()):
        raise damaged(path, f"its header holds no place: {' and '.join(forms)} are not invertible")
    claims = [name for name in forms if header[f"{name}_code"] == _SCANNER] or list(forms)
    name = "sform" if "sform" in claims and _sheared(forms["sform"]) else claims[0]
    findings = _contradictions(forms, name, spacing if usable else None, size)
    if not findings and "sform" in forms:  # the same place with fewer roundings
        name = "sform"
    return _TO_LPS @ np.diag([unit, unit, unit, 1.0]) @ forms[name], findings


def _sheared(form: NDArray[np.float64]) -> bool:
    directions = form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR)


def _quaternion(path: Path, header: np.void, spacing: list[float]) -> NDArray[np.float64]:
    """The qform, method 2 of the standard: a rotation, distances and a shift, in RAS."""
    b, c, d = header["quatern"].astype(np.float64)
    rest = 1 - (b * b + c * c + d * d)
    if not (rest > -_UNIT and np.isfinite(header["qoffset"]).all()):
        raise damaged(path, f"its header holds no rotation: quaternion {b:g}, {c:g}, {d:g}")
    a = 0.0 if rest < _ROUNDED else math.sqrt(rest)
    a, b, c, d = np.divide((a, b, c, d), math.hypot(a, b, c, d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    turned = -1.0 if header["pixdim"][0] < 0 else 1.0
    form = np.eye(4)
    form[:3, :3], form[:3, 3] = rotation * (spacing[0], spacing[1], turned * spacing[2]), header["qoffset"]
    return form


def _contradictions(
    forms: dict[str, NDArray[np.float64]], taken: str, spacing: list[float] | None, size: tuple[int, int, int]
) -> tuple[str, ...]:
    """Where sform, qform and pixdim do not say the same."""
    own = np.linalg.norm(forms[taken][:3, :3], axis=0)
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in size))]).T
    findings = []
    for other, form in forms.items():
        apart = np.abs((form - forms[taken]) @ corners).max()
        if apart > _APART * own.min():
            findings.append(
                f"{taken} and {other} contradict each other by up to {apart:.2f} mm; {taken} is taken"
            )
    if spacing and np.abs(np.divide(spacing, own) - 1).max() > _UNEQUAL:
        says, is_so = (" x ".join(f"{mm:.4g}" for mm in each) for each in (spacing, own))
        findings.append(f"pixdim says voxels of {says} mm, {taken} {is_so} mm; {taken} is taken")
    return tuple(findings)
