"""A region of an image, seen by a denoiser together with its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from ..volumes import Region
from .cut import representation

_LEAST_WINDOW = 64  # pixels; on smaller ones oneDNN may take another kernel, which sums in another order


@dataclass(frozen=True)
class View:
    """A region in its window: as much of the image around it as the denoiser needs.

    What is computed of the window and cut to the region is what the whole image would give there, but for rounding:
    the window ends where the image ends, so a convolution sees zeros where it would see them, and nowhere else. The
    last bits may differ, as libraries choose by size and processor in which order they sum.

    Attributes:
        window: (N, 1, H, W), normalised.
        inner: the region inside the window.
    """

    window: Tensor
    inner: Region

    @classmethod
    def of(cls, images: Tensor, region: Region, reach: int | None) -> Self:
        """The region of images (N, 1, H, W) with a window of `reach` pixels more; None: all of the image."""
        rows, columns = images.shape[-2:]
        around = region.grown(reach, rows, columns)
        while min(around.height, around.width) < _LEAST_WINDOW and (around.height, around.width) != (
            rows,
            columns,
        ):
            around = around.grown(8, rows, columns)
        inner = Region(region.top - around.top, region.left - around.left, region.height, region.width)
        return cls(around.of(images), inner)

    @property
    def region(self) -> Tensor:
        """The region of the images, (N, 1, h, w)."""
        return self.inner.of(self.window)

    def with_region(self, images: Tensor) -> Tensor:
        """Windows with other images (n, 1, h, w) in place of the region: (n, 1, H, W)."""
        if images.shape[-2:] == self.window.shape[-2:]:
            return images
        windows = self.window.expand(len(images), -1, -1, -1).clone()
        self.inner.of(windows).copy_(images)
        return windows

    def representation(self, denoiser: nn.Module, layer: str, images: Tensor | None = None) -> Tensor:
        """Φ at the region, (n, C, h, w): of the window as it is, or with other images in place of the region."""
        return self._at_region(images, lambda windows: representation(denoiser, windows, layer))

    def denoised(self, denoiser: nn.Module) -> Tensor:
        """f at the region, (N, 1, h, w)."""
        return self._at_region(None, denoiser)

    def _at_region(self, images: Tensor | None, network: Callable[[Tensor], Tensor]) -> Tensor:
        windows = self.window if images is None else self.with_region(images)
        maps = network(windows)
        return self.cut(maps)

    def cut(self, maps: Tensor) -> Tensor:
        """The region's part of maps of the window, (n, C, h, w)."""
        return self.inner.scaled(round(self.window.shape[-1] / maps.shape[-1])).of(maps)
