"""The order of the slices of one series, and what is unusual about their places, for all slices at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dicom_geometry import SAME_PLACE_MM, SIDEWAYS_MM, SlicePlane, _gaps
from .errors import DicomError


def order_slices(
    positions: NDArray[np.float64], plane: SlicePlane, paths: Sequence[Path]
) -> tuple[NDArray[np.intp], float, list[str]]:
    """Which slice comes first along the normal, as `dicom_geometry.stack` orders planes, without a plane for each.

    Args:
        positions: of the slices, mm, LPS, (slices, 3).
        plane: of the first slice; the others differ from it in their position alone.
        paths: of the slices.

    Returns:
        Indices in ascending order; the distance of neighbours in mm, the mean one; and what is unusual: uneven
        spacing, missing slices, slices shifted sideways. A tilted gantry is not.

    Raises:
        DicomError: two slices at one position.
    """
    normal = plane.normal
    order = np.argsort(positions @ normal, kind="stable")
    offsets = positions[order] - positions[order[0]]
    depth = offsets @ normal
    if len(order) == 1:
        return order, plane.thickness, []
    if (close := np.flatnonzero(np.diff(depth) < SAME_PLACE_MM)).size:
        first, second = paths[order[close[0]]], paths[order[close[0] + 1]]
        raise DicomError(
            f"two slices at one position, {first.name} and {second.name}",
            where=first.parent,
            hint="Remove copies, or give the files of one phase or reconstruction as a list.",
        )
    findings = _gaps(depth, start=float(positions[order[0]] @ normal))
    sideways = np.linalg.norm(offsets - np.outer(depth / depth[-1], offsets[-1]), axis=1).max()
    if sideways > SIDEWAYS_MM:
        findings.append(f"slices are shifted sideways by up to {sideways:.2f} mm")
    return order, float(np.linalg.norm(offsets[-1])) / (len(order) - 1), findings
