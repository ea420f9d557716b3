"""Drawing with the complete embedding: an image's samples within a tolerance."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import Progress, part, unheard
from ..flow import ImageFlow, Seen
from ..tensors import batch_size, mirrored, round_up
from ..tolerance import Metric, Noise, most_probable
from ..volumes import Region
from .drawing import TrainedLayer
from .tiling import by_tiles

_FLOW_CHANNELS = 16  # feature maps of the flow for every pixel of the image
_ESTIMATE_SHARE = 0.3  # of a draw's time


@torch.inference_mode()
def draw_images(
    trained: TrainedLayer,
    image: Tensor,
    region: Region,
    epsilon: float,
    noise: Noise,
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
        trained: the layer, with an image flow.
        image: the slice, (1, 1, H, W), normalised.
        region: in the slice.
        epsilon: in the units of z per pixel.
        noise: of the image.
        n: number of samples.
        seed: of v.
        tile: sides of tiles, pixels, that the flow is worked off in; None: all at once, with the same result.
        progress: called now and then.

    Returns:
        (n, 1, H, W), and v (n, f², h, w).
    """
    flow, generator = _image_flow(trained), torch.Generator().manual_seed(seed)
    seen = _look(trained, image, region, epsilon, noise, generator, part(progress, 0, _ESTIMATE_SHARE))
    period, rows, columns = flow.period, region.height, region.width
    height, width = round_up(rows, period) + period, round_up(columns, period) + period
    cells = (flow.factor**2, height // flow.factor, width // flow.factor)
    v, images = image.new_empty(n, *cells), image.new_empty(n, 1, rows, columns)
    shifts, done = _shifts(flow), 0
    at_once = batch_size(height * width, v.device, channels=_FLOW_CHANNELS)
    drawn = part(progress, _ESTIMATE_SHARE, 1)
    for turn in torch.arange(n, device=v.device).split(at_once * len(shifts)):
        v[turn] = torch.stack([torch.randn(cells, generator=generator) for _ in turn]).to(v)
        for number, (down, right) in enumerate(shifts):
            these = turn[(number - seed) % len(shifts) :: len(shifts)]
            if not len(these):
                continue
            here, blurred = (_within(each, Region(down, right, height, width)) for each in seen)
            inner = Region(period - down, period - right, rows, columns)
            u = _inverse(flow, v[these], flow.condition(blurred), tile)
            images[these] = inner.of(flow.unwhitened(u, here))
            done += len(these)
            drawn(done / n)
    return images, v


def _look(
    trained: TrainedLayer,
    image: Tensor,
    region: Region,
    epsilon: float,
    noise: Noise,
    generator: torch.Generator,
    progress: Progress,
) -> tuple[Seen, Seen]:
    """What z says about the region and a margin for the shifts; beyond the slice, it is mirrored.

    And what z + ε η says. The mean of p_ε(x′ given z) is the former's. But the flow has learned from the latter how far
    images lie from their mean, and an estimate without η is smoother than any that it has seen.
    """
    flow = _image_flow(trained)
    period, rows, columns = flow.period, *image.shape[-2:]
    below = round_up(region.height, period) - region.height + period
    beside = round_up(region.width, period) - region.width + period
    top, left = max(0, region.top - period), max(0, region.left - period)
    bottom = min(rows, region.top + region.height + below)
    right = min(columns, region.left + region.width + beside)
    layer = trained.at(image, Region(top, left, bottom - top, right - left))
    outside = (
        period - (region.left - left),
        region.left + region.width + beside - right,
        period - (region.top - top),
        region.top + region.height + below - bottom,
    )
    z = trained.linearizer.value(layer.view.window)
    noisy = z + epsilon * torch.randn(z.shape, generator=generator).to(z)
    epsilons, power = z.new_tensor(epsilon).reshape(1), noise.spectrum.power[None]
    seen = []
    for number, each in enumerate((z, noisy)):
        start = layer.view.inner.of(trained.start(each))
        estimate = most_probable(
            layer,
            Metric(*flow.planes(power, *start.shape[2:])),
            start=start,
            prior=start,
            wanted=layer.view.cut(each),
            epsilon=epsilons.reshape(1, 1, 1, 1),
            progress=part(progress, number / 2, (number + 1) / 2),
        )
        estimate, start = (mirrored(maps, *outside) for maps in (estimate, start))
        seen.append(Seen(estimate, start, epsilons, power))
    return seen[0], seen[1]


def _within(seen: Seen, window: Region) -> Seen:
    return Seen(window.of(seen.estimate), window.of(seen.start), seen.epsilon, seen.noise)


def _image_flow(trained: TrainedLayer) -> ImageFlow:
    assert isinstance(trained.flow, ImageFlow)  # what `draw_images` is for
    return trained.flow


def _inverse(flow: ImageFlow, v: Tensor, h: Tensor, tile: int | None) -> Tensor:
    """Cells of u."""
    if tile is None:
        return flow.flow.inverse(v, h)
    side = round_up(-(-tile // flow.factor), flow.flow.multiple)
    h = h.expand(len(v), -1, -1, -1)
    return by_tiles(flow.flow.inverse, (v, h), side=side, halo=flow.flow.radius)


def _shifts(flow: ImageFlow) -> list[tuple[int, int]]:
    """f² shifts, pixels: every one of the f² places within a cell once, and many within the coarsest cells."""
    f, multiple = flow.factor, flow.flow.multiple
    return [
        (k // f + f * (5 * k % multiple), k % f + f * ((3 * k + k // f) % multiple)) for k in range(f * f)
    ]
