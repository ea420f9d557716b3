"""A rectangle of pixels: of an image, or of a grid of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ..base import VolumeError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Region:
    """Rows top … top + height − 1 and columns left … left + width − 1 of an image, pixels."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def whole(cls, image: Tensor) -> Self:
        """All of an image (…, H, W)."""
        return cls(0, 0, *image.shape[-2:])

    def check(self, rows: int, columns: int) -> None:
        """Raise VolumeError where the region is empty or reaches out of an image of that size."""
        inside = 0 <= self.top <= rows - self.height and 0 <= self.left <= columns - self.width
        if min(self.height, self.width) < 1 or not inside:
            raise VolumeError(
                f"the region of {self.height}×{self.width} pixels at row {self.top}, column {self.left} is not "
                f"inside an image of {rows}×{columns}",
                hint="Choose a region that lies inside the image.",
            )

    def grown(self, pixels: int | None, rows: int, columns: int) -> Region:
        """The region and so many pixels around it, as far as an image of that size goes; None: all of it."""
        if pixels is None:
            return Region(0, 0, rows, columns)
        top, left = max(0, self.top - pixels), max(0, self.left - pixels)
        bottom = min(rows, self.top + self.height + pixels)
        right = min(columns, self.left + self.width + pixels)
        return Region(top, left, bottom - top, right - left)

    def enlarged(self, factor: int) -> Region:
        """The region on a grid that is `factor` times as fine."""
        return Region(*(factor * length for length in (self.top, self.left, self.height, self.width)))

    def scaled(self, stride: int) -> Region:
        """The region on a grid whose cells have `stride` pixels; cells that lie in it partly count."""
        top, left = self.top // stride, self.left // stride
        bottom, right = -(-(self.top + self.height) // stride), -(-(self.left + self.width) // stride)
        return Region(top, left, bottom - top, right - left)

    def of(self, maps: Tensor) -> Tensor:
        """The region's part of images (…, H, W)."""
        return maps[..., self.top : self.top + self.height, self.left : self.left + self.width]
