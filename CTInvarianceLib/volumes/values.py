"""What values of a CT can be, and when they are hardly Hounsfield units."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import HounsfieldWarning
from .ct_volume import CTVolume

PADDING_HU = -1024
"""What padding outside the scanned circle becomes, HU: the air of a scale that starts at -1024."""

EMPTY_BELOW_HU = -2000
"""At and below this nothing was measured, HU. Scanners write -2000, -2048 or -3024 outside the circle, often without
saying so; noisy air below -1024 stays above it."""

_BODY_MM = 100.0  # no cut of that size through a person is without fat and air
_SPAN_HU = 16.0  # noise alone spans more
_NO_AIR_HU = -900.0
_NO_FAT_HU = -200.0
_BONE_HU = 700.0
_MOST_BONE = 0.1  # of all voxels; water that was shifted by 1024 is more
_LEAST_TISSUE = 0.02  # of all voxels
_SHIFTED_BY_1024 = 5000.0  # metal ends below
_MANY = 0.01


def padded(hu: NDArray[Any]) -> NDArray[Any]:
    """The same array, in which nothing that was not measured is left: padding is `PADDING_HU`."""
    if hu.dtype.kind != "u" and hu.size and hu.min() <= EMPTY_BELOW_HU:
        hu[hu <= EMPTY_BELOW_HU] = PADDING_HU
    return hu


def hardly_hu(volume: CTVolume) -> str:
    """Why the values are hardly HU, as part of a sentence; "" where they may be, or where too little is seen to tell.

    Air is -1000 HU, and every slice of some size has some of it or of fat. Values that begin at about 0 were shifted or
    scaled, many equal ones at the lower end were clipped, and next to none as dense as tissue were shifted downwards.
    """
    column_mm, row_mm, _ = np.multiply(volume.spacing, volume.shape[::-1])
    low, high = float(volume.hu.min()), float(volume.hu.max())
    if min(column_mm, row_mm) < _BODY_MM or low == high:
        return ""
    span = f"values from {low:.4g} to {high:.4g}"
    if high - low < _SPAN_HU:
        return f"{span} are hardly HU; they seem to be scaled"
    if low >= 0 or (low > _NO_FAT_HU and _share_up_to(volume, _BONE_HU) < 1 - _MOST_BONE):
        shifted = f"shifted, by {1024 if high < _SHIFTED_BY_1024 else 'some'} HU perhaps"
        guess = "scaled to 0 to 255" if high <= 255 else shifted
        return f"{span} are hardly HU, as air is -1000; they seem to be {guess}"
    if low > _NO_AIR_HU and _share_up_to(volume, low) > _MANY:
        return f"{span} are clipped at {low:.4g}, as for a window; air is -1000 HU"
    if _share_up_to(volume, _NO_FAT_HU) > 1 - _LEAST_TISSUE:
        return f"{span}, next to none above {_NO_FAT_HU:g} HU as tissue is, are hardly HU; they seem to be shifted"
    return ""


def warn_of_values(volume: CTVolume) -> None:
    """Say where values are hardly HU.

    Warns:
        HounsfieldWarning: see `hardly_hu`.
    """
    if why := hardly_hu(volume):
        hint = "Noise, networks and displays take them for HU: correct them first."
        warnings.warn(HounsfieldWarning(f"{why}: {volume.source or 'volume'}. {hint}"), stacklevel=3)


def _share_up_to(volume: CTVolume, hu: float) -> float:
    """Fraction of the voxels that are not above `hu`; slice by slice, which needs no memory."""
    return sum(int(np.count_nonzero(image <= hu)) for image in volume.hu) / volume.hu.size
