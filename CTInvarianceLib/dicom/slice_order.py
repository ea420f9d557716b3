"""The order of the slices of one series, and what is unusual about their places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base import DicomError

SAME_PLACE_MM = 1e-3
"""Slices closer than this lie at one position."""

UNEVEN = 0.01
"""Largest deviation of a gap between slices from the usual one, as a fraction of it."""

SIDEWAYS_MM = 0.1
"""Largest deviation of a slice from the straight line through the stack."""


def order_slices(
    positions: NDArray[np.float64], normal: NDArray[np.float64], paths: Sequence[Path]
) -> tuple[NDArray[np.intp], list[str]]:
    """Which slice comes first along the normal.

    Args:
        positions: of the slices, mm, LPS, (slices, 3).
        normal: unit vector across them.
        paths: of the slices.

    Returns:
        Indices in ascending order; and what is unusual: uneven spacing, missing slices, slices shifted sideways. A
        tilted gantry is not.

    Raises:
        DicomError: two slices at one position.
    """
    order = np.argsort(positions @ normal, kind="stable")
    offsets = positions[order] - positions[order[0]]
    depth = offsets @ normal
    if len(order) == 1:
        return order, []
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
    return order, findings


def _gaps(depth: NDArray[np.float64], start: float) -> list[str]:
    """What is unusual about the distances between slices; depth in mm along the normal, ascending from 0."""
    gaps = np.diff(depth)
    usual = float(np.quantile(gaps, 0.5, method="lower"))
    multiple = np.maximum(np.rint(gaps / usual), 1)
    off = np.abs(gaps / usual - multiple)
    missing = (multiple > 1) & (off < 0.1)
    findings = []
    if missing.any():
        places = ", ".join(f"{start + depth[index]:.1f}" for index in np.flatnonzero(missing)[:5])
        findings.append(f"{int((multiple[missing] - 1).sum())} slices are missing, after z = {places} mm")
    if (uneven := (off > UNEVEN) & ~missing).any():
        place = start + depth[int(np.flatnonzero(uneven)[0])]
        extremes = f"{gaps.min():.3f} to {gaps.max():.3f} mm"
        findings.append(f"the spacing of slices is uneven, {extremes}, first after z = {place:.1f} mm")
    if findings:
        error = np.abs(depth - np.linspace(0, depth[-1], len(depth))).max()
        findings[-1] += f" (slices lie up to {error:.2f} mm from where the volume puts them)"
    return findings
