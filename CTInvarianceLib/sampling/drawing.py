"""v ~ N(0, 1) → z̄ = t⁻¹(v given z) → x̄ = D(z̄), in batches, and in tiles where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor, nn

from ..base import Progress, VolumeError, part, unheard
from ..denoisers import Linearizer, View, reach
from ..embedding import Embedding
from ..flow import ConvolutionalFlow, ImageFlow, LayerFlow
from ..tensors import batch_size, pad_to, round_up
from ..tolerance import LocalLayer, Start, start_of
from ..volumes import Region
from .tiling import by_tiles, tiles

_FLOW_CHANNELS, _DECODER_CHANNELS = 16, 8  # feature maps of flows and decoders, for every pixel of the image
_FLOW_SHARE = 0.75  # of a draw's time, the rest is decoding; measured: 0.67 to 0.9


@dataclass(frozen=True)
class TrainedLayer:
    """All that sampling at one layer of one denoiser in one domain needs.

    Attributes:
        denoiser: f, frozen.
        layer: where it is cut.
        domain: "low" or "full": which images the embedding represents.
        embedding: E and D of the domain.
        flow: t(· given z), trained for this denoiser, layer and domain; None: there is none.
        unrelated: (m, 1, H, W) normalised patches of the domain, for the ceiling of R.
        dose: of the low-dose images, a fraction of the full one.
        tolerances: the least and the most that the flow is trained for, rescans; None: it knows of no tolerance.
    """

    denoiser: nn.Module
    layer: str
    domain: str
    embedding: Embedding
    flow: LayerFlow | ImageFlow | None
    unrelated: Tensor
    dose: float = 0.25
    tolerances: tuple[float, float] | None = None

    @cached_property
    def reach(self) -> int | None:
        """Pixels around a region that its z depends on; None: perhaps all."""
        return reach(self.denoiser, self.layer)

    @cached_property
    def linearizer(self) -> Linearizer:
        """Makes Φ's derivatives; finding out how costs some passes."""
        return Linearizer(self.denoiser, self.layer)

    @cached_property
    def start(self) -> Start:
        """Ψ, or what stands for it."""
        return start_of(self.denoiser, self.layer)

    def at(self, image: Tensor, region: Region) -> LocalLayer:
        """The layer at a region of an image (1, 1, H, W)."""
        return LocalLayer(self.denoiser, self.layer, self.view(image, region), self.linearizer)

    def view(self, images: Tensor, region: Region) -> View:
        """A region of images (S, 1, H, W) with what the layer needs of its surroundings."""
        return View.of(images, region, self.reach)

    def embed(self, images: Tensor, view: View) -> Tensor:
        """D(E(·)) of images (S, 1, H, W), which lie at the view's region."""
        guides = (view.denoised(self.denoiser),) if self.embedding.guided else ()
        decoded = self.embedding.decode(self.embedding.encode(images).mean, *guides)
        return decoded[..., : images.shape[-2], : images.shape[-1]]


@dataclass(frozen=True)
class Draw:
    """Samples of one or several images.

    Attributes:
        images: x̄, (S, n, H, W), normalised.
        latents: z̄, (S, n, …).
        invariances: v, like z̄.
    """

    images: Tensor
    latents: Tensor
    invariances: Tensor


@torch.inference_mode()
def draw(
    trained: TrainedLayer,
    view: View,
    *,
    n: int,
    seeds: Sequence[int],
    tile: int | None = None,
    progress: Progress = unheard,
) -> Draw:
    """n samples of the region of every image in a view.

    Args:
        trained: denoiser, layer, embedding and flow.
        view: S images.
        n: samples of each.
        seeds: one for each image; an image's sample number i depends on its seed and on i, not on n.
        tile: sides of the tiles, pixels, that a region is worked off in; None: all at once, with the same result.
        progress: called after every batch.

    Raises:
        VolumeError: tiles that cannot be made.
    """
    rows, columns = view.inner.height, view.inner.width
    invert, decode, h = _prepare(trained, view, tile)
    shape = _latent_shape(trained, rows, columns)
    v = view.window.new_empty(len(seeds) * n, *shape)
    latents, images = torch.empty_like(v), v.new_empty(len(v), 1, rows, columns)
    guide = _guide(trained, view, shape)
    everything = torch.arange(len(v), device=v.device)
    noise = _noise(shape, n, seeds)
    inverted, decoded = part(progress, 0, _FLOW_SHARE), part(progress, _FLOW_SHARE, 1)
    for these in everything.split(batch_size(rows * columns, v.device, channels=_FLOW_CHANNELS)):
        v[these] = torch.stack(list(islice(noise, len(these)))).to(v)
        own = these // n if len(seeds) > 1 else these[:1] // n  # one condition is not repeated
        latents[these] = invert(v[these], h[own])
        inverted((int(these[-1]) + 1) / len(v))
    for these in everything.split(batch_size(rows * columns, v.device, channels=_DECODER_CHANNELS)):
        guides = () if guide is None else (guide[these // n],)
        images[these] = decode(latents[these], *guides)[..., :rows, :columns]
        decoded((int(these[-1]) + 1) / len(v))
    per_image = (len(seeds), n)
    return Draw(
        images[:, 0].unflatten(0, per_image), latents.unflatten(0, per_image), v.unflatten(0, per_image)
    )


Map = Callable[..., Tensor]


def _prepare(trained: TrainedLayer, view: View, tile: int | None) -> tuple[Map, Map, Tensor]:
    """t⁻¹ of (v, h), D of (z̄, guide), both in tiles where asked for, and h for every image."""
    embedding, flow = trained.embedding, _of_latents(trained)
    if embedding.fixed_size or not isinstance(flow.flow, ConvolutionalFlow):
        if tile is not None:
            raise VolumeError(
                "this embedding cannot be worked off in tiles", hint="Leave the tile's size away."
            )
        return (
            flow.inverse_given,
            embedding.decode,
            flow.condition(view.representation(trained.denoiser, trained.layer)),
        )
    grid = _latent_shape(trained, view.inner.height, view.inner.width)[1:]
    if tile is None:
        z = view.representation(trained.denoiser, trained.layer)
        return flow.inverse_given, embedding.decode, flow.condition(z, (grid[0], grid[1]))
    multiple, halo, reached = flow.flow.multiple, flow.flow.radius, embedding.radius
    side = round_up(-(-tile // embedding.factor), multiple)

    def invert(v: Tensor, h: Tensor) -> Tensor:
        return by_tiles(flow.inverse_given, (v, h.expand(len(v), -1, -1, -1)), side=side, halo=halo)

    def decode(*inputs: Tensor) -> Tensor:
        return by_tiles(embedding.decode, inputs, side=side, halo=reached, enlarge=embedding.factor)

    return invert, decode, _tiled_condition(trained, view, (grid[0], grid[1]), side)


def _of_latents(trained: TrainedLayer) -> LayerFlow:
    assert isinstance(trained.flow, LayerFlow)  # what `draw` is for
    return trained.flow


def _tiled_condition(trained: TrainedLayer, view: View, grid: tuple[int, int], side: int) -> Tensor:
    """h on the grid; every tile's z is computed from its own window."""
    factor, inner = trained.embedding.factor, view.inner
    result = None
    for tile in tiles(*grid, side):
        pixels = tile.enlarged(factor)
        height = min(pixels.height, inner.height - pixels.top)
        width = min(pixels.width, inner.width - pixels.left)
        region = Region(inner.top + pixels.top, inner.left + pixels.left, height, width)
        z = trained.view(view.window, region).representation(trained.denoiser, trained.layer)
        h = _of_latents(trained).condition(z, (tile.height, tile.width))
        if result is None:
            result = h.new_empty(*h.shape[:2], *grid)
        tile.of(result).copy_(h)
    return torch.as_tensor(result)


def _latent_shape(trained: TrainedLayer, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of the latents of a region: of its image, continued until the flow's scales divide it."""
    flow = _of_latents(trained).flow
    if isinstance(flow, ConvolutionalFlow):
        multiple = trained.embedding.factor * flow.multiple
        rows, columns = round_up(rows, multiple), round_up(columns, multiple)
    return trained.embedding.latent_shape_of(rows, columns)


def _guide(trained: TrainedLayer, view: View, shape: tuple[int, ...]) -> Tensor | None:
    """f(x) for a guided decoder, (S, 1, …), as large as what is decoded."""
    if not trained.embedding.guided:
        return None
    guide = view.denoised(trained.denoiser)
    return (
        guide if len(shape) == 1 else pad_to(guide, *(side * trained.embedding.factor for side in shape[1:]))
    )


def _noise(shape: tuple[int, ...], n: int, seeds: Sequence[int]) -> Iterator[Tensor]:
    """v of one sample after another, n for every seed; made when it is asked for."""
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(n):
            yield torch.randn(shape, generator=generator)
