"""Whether two series lie at the same place, as far as their headers tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from .series import CTSeries

SAME_PLACE_MM = 1e-3
"""Largest distance between the same voxel of a low-dose and a full-dose volume."""


def difference(low: CTSeries, full: CTSeries) -> str:
    """Why two series are not two images of one place, in words; "" where they are, or it cannot be known."""
    if low.headers and full.headers:
        if grids := _grids_differ(low, full):
            return f"do not match: {grids}"
        one_place = low.headers[0].position == full.headers[0].position  # as nearly always
        return "" if one_place or common_slices(low, full)[0] else "share no slice"
    if low.affine and full.affine:
        if low.shape != full.shape:
            return "do not match: {}×{}×{} and {}×{}×{} voxels".format(*low.shape[::-1], *full.shape[::-1])
        apart = corner_distance(full.shape, low.affine, full.affine)
        return f"do not match: voxels up to {apart:.3f} mm apart" if apart > SAME_PLACE_MM else ""
    if all((*low.shape, *full.shape)) and low.shape != full.shape:
        return "do not match: {}×{}×{} and {}×{}×{} voxels".format(*low.shape[::-1], *full.shape[::-1])
    return ""


def common_slices(low: CTSeries, full: CTSeries) -> tuple[list[int], list[int]]:
    """Indices of the DICOM slices that both have, in their order along the normal."""
    one, other = (np.array([header.position for header in series.headers]) for series in (low, full))
    along, across = np.reshape(full.headers[0].orientation, (2, 3))
    normal = np.cross(along, across)
    depth = other @ normal  # ascending, as the slices are
    behind = np.searchsorted(depth, one @ normal).clip(0, len(depth) - 1)
    before = (behind - 1).clip(0)
    nearest = np.where(
        np.abs(depth[before] - one @ normal) < np.abs(depth[behind] - one @ normal), before, behind
    )
    near = np.linalg.norm(one - other[nearest], axis=1) <= SAME_PLACE_MM
    return np.flatnonzero(near).tolist(), nearest[near].tolist()


def at_one_place(found: Iterable[CTSeries]) -> list[tuple[CTSeries, CTSeries]]:
    """All couples of series of which one has at least half of its slices where the other has some.

    Series of unknown place are in no couple.
    """
    grids: dict[tuple[object, ...], list[CTSeries]] = defaultdict(list)
    for series in found:
        if series.headers or series.affine:
            grids[_grid(series)].append(series)
    return [couple for several in grids.values() for couple in combinations(several, 2) if _shared(*couple)]


def _grid(series: CTSeries) -> tuple[object, ...]:
    """Equal for two images of one place, and cheap."""
    directions = np.round(series.headers[0].orientation, 3).tolist() if series.headers else [series.shape[0]]
    return (bool(series.headers), series.shape[1:], *np.round(series.spacing[:2], 3).tolist(), *directions)


def _shared(one: CTSeries, other: CTSeries) -> bool:
    if not one.headers:
        return corner_distance(one.shape, one.affine, other.affine) <= SAME_PLACE_MM
    ends = np.array([(each.headers[0].position, each.headers[-1].position) for each in (one, other)])
    if (ends[0].max(0) < ends[1].min(0) - SAME_PLACE_MM).any() or (
        ends[1].max(0) < ends[0].min(0) - SAME_PLACE_MM
    ).any():
        return False
    return 2 * len(common_slices(one, other)[0]) >= min(len(one.headers), len(other.headers))


def _grids_differ(low: CTSeries, full: CTSeries) -> str:
    """How the grids of the slices differ; "" where they do not."""
    if low.shape[1:] != full.shape[1:]:
        return "slices of {}×{} and {}×{} pixels".format(*low.shape[1:], *full.shape[1:])
    if np.abs(np.subtract(low.spacing, full.spacing)[:2]).max() > SAME_PLACE_MM:
        return "pixels of {:.4g}×{:.4g} and {:.4g}×{:.4g} mm".format(*low.spacing[:2], *full.spacing[:2])
    if np.abs(np.subtract(low.headers[0].orientation, full.headers[0].orientation)).max() > SAME_PLACE_MM:
        return "other orientations"
    return ""


def corner_distance(shape: tuple[int, int, int], one: ArrayLike, other: ArrayLike) -> float:
    """Largest distance, mm, of corresponding corners of two volumes of (slices, rows, columns) with these affines."""
    slices, rows, columns = shape
    corners = np.array(
        [(i, j, k, 1) for i in (0, columns - 1) for j in (0, rows - 1) for k in (0, slices - 1)]
    )
    return float(np.linalg.norm(corners @ np.subtract(one, other).T, axis=-1).max())
