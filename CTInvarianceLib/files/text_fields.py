"""What the headers of NRRD and MetaImage have in common: names, numbers and a place, as text.

Numbers are read by Python, which knows no locale: where a program has set a decimal comma, C's own functions stop at
the point.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import VolumeError
from .stored import damaged


def numbers(path: Path, name: str, text: str, count: int | None = None) -> list[float]:
    """The finite numbers of a field; VolumeError where they are others, or not so many."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = [math.nan]
    if not values or not all(map(math.isfinite, values)) or count not in (None, len(values)):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise damaged(path, f"its header says {name}: {text!r}, not {wanted}")
    return values


def whole_numbers(path: Path, name: str, text: str, count: int | None = None) -> list[int]:
    """The same where they must be whole."""
    values = numbers(path, name, text, count)
    if any(value != round(value) for value in values):
        raise damaged(path, f"its header says {name}: {text!r}, not whole numbers")
    return [round(value) for value in values]


def three_sizes(path: Path, sizes: Sequence[int]) -> tuple[int, int, int]:
    """Voxels along i, j and k of an image of two dimensions or three; further ones may be 1 long."""
    if min(sizes) < 1:
        raise damaged(path, f"its header says that its sides are {' x '.join(map(str, sizes))}")
    if len(sizes) < 2 or any(size > 1 for size in sizes[3:]):
        raise VolumeError(
            f"{len(sizes)} dimensions instead of 3",
            where=path,
            hint="Save one volume of the sequence by itself.",
        )
    i, j, k = [*sizes, 1][:3]
    return i, j, k


def require_scalar(path: Path, components: int) -> None:
    """Raise VolumeError where a voxel has several values."""
    if components != 1:
        raise VolumeError(
            f"a colour or vector image with {components} values per voxel, not CT",
            where=path,
            hint="Choose a volume with one HU per voxel.",
        )


def placed(axes: NDArray[np.float64], origin: ArrayLike) -> NDArray[np.float64]:
    """The affine of an image; one of two dimensions lies in the plane z = 0, 1 mm thick.

    Args:
        axes: column n is the step from voxel to voxel along axis n, mm, LPS.
        origin: of the first voxel.
    """
    n, affine = len(axes), np.eye(4)
    affine[:n, :n], affine[:n, 3] = axes, origin
    return affine


def require_spelled(path: Path, name: str, known: Collection[str]) -> None:
    """Raise VolumeError for a name that differs from a known one by one character: no name, but damage."""
    for other in known:
        if len(other) == len(name) and sum(a != b for a, b in zip(name, other, strict=True)) == 1:
            raise damaged(path, f"its header says {name}, where {other} is meant")
