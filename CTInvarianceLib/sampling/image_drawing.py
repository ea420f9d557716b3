"""Drawing with the complete embedding: an image's samples within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import Progress, part, unheard
from ..denoisers import Linearizer, View
from ..flow import ImageFlow, Seen
from ..tensors import batch_size, round_up
from ..tolerance import LocalLayer, Metric, Start, most_probable, start_of
from ..volumes import Region
from .tiling import by_tiles

_FLOW_CHANNELS = 16  # feature maps of the flow for every pixel of the image
_ESTIMATE_SHARE = 0.3  # of a draw's time


@dataclass(frozen=True)
class Whole:
    """A slice, and a layer that it is seen through.

    Attributes:
        image: (1, 1, H, W), normalised.
        denoiser: frozen.
        layer: of it.
        reach: pixels around a region that its z depends on; None: perhaps all.
        linearizer: of the layer.
        start: of the layer.
    """

    image: Tensor
    denoiser: nn.Module
    layer: str
    reach: int | None
    linearizer: Linearizer
    start: Start

    @classmethod
    def of(cls, image: Tensor, denoiser: nn.Module, layer: str, reach: int | None) -> Whole:
        """With what is found out about the layer once."""
        return cls(image, denoiser, layer, reach, Linearizer(denoiser, layer), start_of(denoiser, layer))

    def at(self, region: Region) -> LocalLayer:
        """The layer at a region."""
        return LocalLayer(self.denoiser, self.layer, View.of(self.image, region, self.reach), self.linearizer)


@torch.inference_mode()
def draw_images(
    whole: Whole,
    flow: ImageFlow,
    region: Region,
    epsilon: float,
    *,
    n: int,
    seed: int,
    tile: int | None = None,
    progress: Progress = unheard,
) -> tuple[Tensor, Tensor]:
    """n images x′ of a region that the layer cannot tell from it within ε, as the flow has learned them, and their v.

    Sample number i depends on the seed and on i, not on n. The cells of every sample lie on a grid of their own, one
    of f² that are shifted by whole pixels against each other, so that no pixel is always at the edge of a cell.

    Args:
        whole: the slice.
        flow: of the layer.
        region: in the slice.
        epsilon: in the units of z per pixel.
        n: number of samples.
        seed: of v.
        tile: sides of tiles, pixels, that the flow is worked off in; None: all at once, with the same result.
        progress: called now and then.

    Returns:
        (n, 1, H, W), and v (n, f², h, w).
    """
    seen = _look(whole, flow, region, epsilon, part(progress, 0, _ESTIMATE_SHARE))
    period, rows, columns = flow.period, region.height, region.width
    height, width = round_up(rows, period) + period, round_up(columns, period) + period
    cells = (flow.factor**2, height // flow.factor, width // flow.factor)
    generator = torch.Generator().manual_seed(seed)
    v = torch.stack([torch.randn(cells, generator=generator) for _ in range(n)]).to(whole.image)
    images = v.new_empty(n, 1, rows, columns)
    shifts, done = _shifts(flow), 0
    at_once = batch_size(height * width, v.device, channels=_FLOW_CHANNELS)
    drawn = part(progress, _ESTIMATE_SHARE, 1)
    for number, (down, right) in enumerate(shifts):
        of_shift = torch.arange(n, device=v.device)[(number - seed) % len(shifts) :: len(shifts)]
        if not len(of_shift):
            continue
        window, inner = (
            Region(down, right, height, width),
            Region(period - down, period - right, rows, columns),
        )
        here = Seen(window.of(seen.estimate), window.of(seen.start), seen.epsilon)
        for these in of_shift.split(at_once):
            images[these] = inner.of(_inverse(flow, v[these], here, tile))
            done += len(these)
            drawn(done / n)
    return images, v


def _look(whole: Whole, flow: ImageFlow, region: Region, epsilon: float, progress: Progress) -> Seen:
    """What z says about the region and a margin for the shifts; beyond the slice, its last pixels go on."""
    period, rows, columns = flow.period, *whole.image.shape[-2:]
    below = round_up(region.height, period) - region.height + period
    beside = round_up(region.width, period) - region.width + period
    top, left = max(0, region.top - period), max(0, region.left - period)
    bottom = min(rows, region.top + region.height + below)
    right = min(columns, region.left + region.width + beside)
    grown = Region(top, left, bottom - top, right - left)
    layer = whole.at(grown)
    start = layer.view.inner.of(whole.start(whole.linearizer.value(layer.view.window)))
    eps = start.new_tensor(epsilon).reshape(1, 1, 1, 1)
    estimate = most_probable(
        layer,
        Metric(*flow.planes(grown.height, grown.width)),
        start=start,
        prior=start,
        wanted=layer.value(layer.view.region),
        epsilon=eps,
        progress=progress,
    )
    outside = (
        period - (region.left - left),
        region.left + region.width + beside - right,
        period - (region.top - top),
        region.top + region.height + below - bottom,
    )
    estimate, start = (F.pad(maps, outside, mode="replicate") for maps in (estimate, start))
    return Seen(estimate, start, eps.flatten())


def _inverse(flow: ImageFlow, v: Tensor, seen: Seen, tile: int | None) -> Tensor:
    if tile is None:
        return flow.inverse(v, seen)
    h, multiple = flow.condition(seen), flow.flow.multiple
    side = round_up(-(-tile // flow.factor), multiple)
    cells = by_tiles(flow.flow.inverse, (v, h.expand(len(v), -1, -1, -1)), side=side, halo=flow.flow.radius)
    return flow.unwhitened(cells, seen)


def _shifts(flow: ImageFlow) -> list[tuple[int, int]]:
    """f² shifts, pixels: every one of the f² places within a cell once, and many within the coarsest cells."""
    f, multiple = flow.factor, flow.flow.multiple
    return [
        (k // f + f * (5 * k % multiple), k % f + f * ((3 * k + k // f) % multiple)) for k in range(f * f)
    ]
