"""The part of a volume that is asked about: a rectangle of voxels in one slice, or in several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from slicer.i18n import tr as _

from CTInvarianceLib.base import VolumeError

from .space import ijkToWorld, worldToIJK


@dataclass(frozen=True)
class Patch:
    """Slices slice … slice + count − 1, rows top …, columns left … of a volume.

    Attributes:
        shifted: moved inside the image, because it would have reached out of it.
    """

    slice: int
    top: int
    left: int
    rows: int
    columns: int
    count: int = 1
    shifted: bool = field(default=False, compare=False)

    @classmethod
    def around(
        cls,
        volumeNode: Any,
        centerRAS: Sequence[float] | None,
        rows: int,
        columns: int,
        count: int = 1,
        *,
        flexible: bool = False,
    ) -> Self:
        """The patch around the voxel at a point, moved inside the image where it would reach out.

        Args:
            volumeNode: a scalar volume.
            centerRAS: in the world, mm; None: the middle of the volume.
            rows: voxels.
            columns: voxels.
            count: of slices.
            flexible: cut the size to the volume's, rather than raise, where the volume is smaller.

        Raises:
            VolumeError: the point lies outside the volume, or the volume is smaller than the patch.
        """
        shape = _shapeOf(volumeNode)
        size = (count, rows, columns)
        if min(size) < 1:
            raise VolumeError(
                _("a patch of {}×{} voxels is empty").format(rows, columns),
                hint=_("Choose sides of 1 or more."),
            )
        if flexible:
            size = tuple(min(pair) for pair in zip(size, shape, strict=True))
        if centerRAS is None:
            voxel = [side // 2 for side in shape]
        else:
            voxel = [round(float(x)) for x in worldToIJK(volumeNode, centerRAS)[::-1]]
        if not all(0 <= x < side for x, side in zip(voxel, shape, strict=True)):
            raise VolumeError(
                _("the point lies outside the volume"),
                where=volumeNode.GetName(),
                hint=_("Choose a point inside the image, for instance with the crosshair in a slice view."),
            )
        return cls.at(volumeNode, [x - side // 2 for x, side in zip(voxel, size, strict=True)], size)

    @classmethod
    def at(cls, volumeNode: Any, corner: Sequence[int], size: Sequence[int]) -> Self:
        """The patch with its first voxel (slice, row, column) there, moved inside the image where need be.

        Raises:
            VolumeError: the volume is smaller than the patch.
        """
        shape = _shapeOf(volumeNode)
        if any(side > whole for side, whole in zip(size, shape, strict=True)):
            raise VolumeError(
                _tooSmall(shape, size),
                where=volumeNode.GetName(),
                hint=_("Choose a smaller patch or another volume."),
            )
        inside = [min(max(0, x), whole - side) for x, side, whole in zip(corner, size, shape, strict=True)]
        return cls(*inside, size[1], size[2], size[0], shifted=inside != list(corner))

    @classmethod
    def wholeSlice(cls, volumeNode: Any, slice: int, count: int = 1) -> Self:
        """Whole slices.

        Raises:
            VolumeError: they do not exist.
        """
        slices, rows, columns = _shapeOf(volumeNode)
        if not (count >= 1 and 0 <= slice <= slices - count):
            raise VolumeError(
                _("there are slices 0 to {}, not {} from {} on").format(slices - 1, count, slice),
                where=volumeNode.GetName(),
            )
        return cls(slice, 0, 0, rows, columns, count)

    @classmethod
    def fromFacts(cls, facts: Mapping[str, str]) -> Self | None:
        """The patch that `facts` describe; None where they do not."""
        text = facts.get("patch")
        return cls(**json.loads(text)) if text else None

    @property
    def facts(self) -> dict[str, Any]:
        """For `annotate`: rows and columns are [first, one past the last], as in the library's tables."""
        names = ("slice", "top", "left", "rows", "columns", "count")
        return {
            "slice": self.slice,
            "region": {
                "slices": [self.slice, self.slice + self.count],
                "rows": [self.top, self.top + self.rows],
                "columns": [self.left, self.left + self.columns],
            },
            "patch": {name: getattr(self, name) for name in names},
        }

    @property
    def shape(self) -> tuple[int, int, int]:
        """(count, rows, columns)."""
        return self.count, self.rows, self.columns

    def center(self, volumeNode: Any) -> np.ndarray:
        """World RAS of the middle voxel, mm: `Patch.around` it gives the same patch."""
        voxel = (
            self.left + self.columns // 2,
            self.top + self.rows // 2,
            self.slice + self.count // 2,
        )
        return ijkToWorld(volumeNode, voxel)

    def corners(self, volumeNode: Any) -> np.ndarray:
        """World RAS, mm, (4, 3), of the middle slice: outer edges of the voxels, first row first column,
        first row last column, last last, last first.
        """
        left, top = self.left - 0.5, self.top - 0.5
        right, bottom = left + self.columns, top + self.rows
        k = self.slice + (self.count - 1) / 2
        edge = [(left, top, k), (right, top, k), (right, bottom, k), (left, bottom, k)]
        return np.array([ijkToWorld(volumeNode, point) for point in edge])


def _tooSmall(shape: Sequence[int], size: Sequence[int]) -> str:
    if size[0] == 1:  # of one slice there is always enough
        return _("the slices of {}×{} voxels are smaller than the patch of {}×{}").format(
            *shape[1:], *size[1:]
        )
    return _("the volume of {}×{} voxels in {} slices is smaller than the patch of {}×{} in {}").format(
        *shape[1:], shape[0], *size[1:], size[0]
    )


def _shapeOf(volumeNode: Any) -> tuple[int, int, int]:
    i, j, k = volumeNode.GetImageData().GetDimensions()
    return k, j, i
