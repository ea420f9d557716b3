"""Where in a volume: consecutive slices, and a region of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray

from ..base import VolumeError
from .ct_volume import CTVolume
from .region import Region


@dataclass(frozen=True)
class Place:
    """`count` slices of a volume from `first` on, and the region of them that is asked about."""

    first: int
    count: int
    region: Region

    @classmethod
    def choose(
        cls,
        volume: CTVolume,
        sides: tuple[int, int] | None,
        *,
        first: int | None = None,
        count: int = 1,
        centre: tuple[int, int] | None = None,
    ) -> Self:
        """The region of `sides` (rows, columns) around a pixel, in `count` slices; what is None lies in the middle.

        Args:
            volume: that the place is in.
            sides: pixels; None: whole slices.
            first: slice.
            count: of slices.
            centre: row and column.

        Raises:
            VolumeError: the slices do not exist, or the region is empty or reaches out of the image.
        """
        slices, rows, columns = volume.shape
        if count < 1:
            raise VolumeError(f"{count} slices cannot be sampled", hint="Ask for one or more.")
        first = (slices - count + 1) // 2 if first is None else first
        if not 0 <= first <= slices - count:
            where = f"slice {first}" if count == 1 else f"slices {first} to {first + count - 1}"
            raise VolumeError(f"there are slices 0 to {slices - 1}", where=where)
        if sides is None:
            return cls(first, count, Region(0, 0, rows, columns))
        row, column = centre or (rows // 2, columns // 2)
        region = Region(row - sides[0] // 2, column - sides[1] // 2, *sides)
        _check(region, volume, where=f"slice {first}, row {row}, column {column}")
        return cls(first, count, region)

    @property
    def slices(self) -> slice:
        """Of the volume."""
        return slice(self.first, self.first + self.count)

    @property
    def rows(self) -> slice:
        """Of every slice."""
        return slice(self.region.top, self.region.top + self.region.height)

    @property
    def columns(self) -> slice:
        """Of every slice."""
        return slice(self.region.left, self.region.left + self.region.width)

    def cut(self, volume: CTVolume) -> CTVolume:
        """The place as a volume whose voxels stay where they were."""
        return volume.crop(self.slices, self.rows, self.columns)

    def seen(self, volume: CTVolume, *, alone: bool) -> tuple[NDArray[Any], Region | None]:
        """What a denoiser is to see of this place, (S, H, W) in HU, and the region of it.

        Args:
            volume: that the place is in.
            alone: only the region itself, for embeddings that take patches of one size; else the slices around it.
        """
        return (self.cut(volume).hu, None) if alone else (volume.hu[self.slices], self.region)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; slices, rows and columns are [first, one past the last], as Python counts them."""
        region = self.region
        spans = {"slices": self.slices, "rows": self.rows, "columns": self.columns}
        return {
            "slice": self.first,
            "center": [region.top + region.height // 2, region.left + region.width // 2],
            "region": {axis: [span.start, span.stop] for axis, span in spans.items()},
        }


def _check(region: Region, volume: CTVolume, *, where: str) -> None:
    _, rows, columns = volume.shape
    height, width = region.height, region.width
    if min(height, width) < 1:
        raise VolumeError(f"a patch of {height}×{width} pixels is empty", hint="Give sides of 1 or more.")
    if height > rows or width > columns:
        raise VolumeError(
            f"slices of {rows}×{columns} pixels are smaller than the patch of {height}×{width}",
            where=volume.source,
            hint="Choose a smaller patch, or the whole slice; spatial embeddings take both.",
        )
    if not (0 <= region.top <= rows - height and 0 <= region.left <= columns - width):
        allowed = [
            (side // 2, whole - side + side // 2) for side, whole in ((height, rows), (width, columns))
        ]
        (row, last_row), (column, last_column) = allowed
        raise VolumeError(
            f"the patch of {height}×{width} pixels reaches out of the image",
            where=where,
            hint=f"Choose a row from {row} to {last_row} and a column from {column} to {last_column}.",
        )
