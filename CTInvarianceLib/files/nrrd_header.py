"""Headers of NRRD to write. Numbers are written by Python, which knows no locale with a decimal comma."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .stored import Encoding


def nrrd_header(
    kind: str, sizes: Sequence[int], affine: NDArray[np.float64], *more: str, encoding: Encoding
) -> bytes:
    """The header of an image in LPS whose first three axes are i, j, k, up to where the voxels begin; little endian.

    Args:
        kind: what NRRD calls the type of the values.
        sizes: fastest axis first; a fourth axis is a list of images.
        affine: voxel to mm, LPS.
        more: further lines.
        encoding: of the voxels.
    """
    i, j, k, origin = (f"({x!r},{y!r},{z!r})" for x, y, z in affine[:3].T.tolist())
    others = len(sizes) - 3
    lines = (
        "NRRD0004",
        f"type: {kind}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {i} {j} {k}{' none' * others}",
        f"kinds: domain domain domain{' list' * others}",
        "endian: little",
        f"encoding: {encoding}",
        f"space origin: {origin}",
        *more,
    )
    return ("\n".join(lines) + "\n\n").encode()
