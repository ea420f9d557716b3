"""Numbers that say how far a sample is an invariance, and how far an error of the method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..base import Progress, unheard
from ..denoisers import View
from ..tensors import batch_size
from ..tolerance import LocalLayer
from ..volumes import Region


@dataclass(frozen=True)
class Consistency:
    """R = (‖Φ(x̄) − z‖ − floor) / (ceiling − floor), see docs/method.md.

    Attributes:
        values: (n,), R of every sample. 0 or less: as faithful to z as the embedding allows. 1: no better
            than an unrelated image. NaN where even an unrelated image is closer to z than the embedding's own.
        distances: (n,), ‖Φ(x̄) − z‖.
        floor: ‖Φ(D(E(x))) − z‖, what the embedding alone loses.
        ceiling: mean over unrelated images x′ of ‖Φ(x′) − z‖.
    """

    values: np.ndarray
    distances: np.ndarray
    floor: float
    ceiling: float


def consistency(
    denoiser: nn.Module,
    layer: str,
    *,
    z: Tensor,
    images: Tensor,
    embedded: Tensor,
    unrelated: Tensor,
    view: View | None = None,
    progress: Progress = unheard,
) -> Consistency:
    """R of images at a layer.

    Args:
        denoiser: f = Ψ∘Φ.
        layer: where it is cut.
        z: Φ(x), (1, C, h, w).
        images: x̄, (n, 1, H, W), normalised.
        embedded: D(E(x)), (1, 1, H, W), normalised.
        unrelated: x′, (m, 1, …, …), normalised patches; laid side by side where the images are larger.
        view: x and what surrounds it; all images are looked at in its place. None: they are whole images.
        progress: called after every batch.
    """
    view = view or View.of(images[:1], Region.whole(images), None)
    batch = batch_size(view.window.shape[-2] * view.window.shape[-1], images.device)
    local = LocalLayer(denoiser, layer, view)
    distances = _distances(local, z, images, batch, progress)
    return consistency_of(local, distances, embedded, unrelated, batch, z=z)


def consistency_of(
    layer: LocalLayer,
    distances: np.ndarray,
    embedded: Tensor,
    unrelated: Tensor,
    batch: int,
    *,
    z: Tensor | None = None,
) -> Consistency:
    """R of images whose ‖Φ(x̄) − z‖ (n,) is known already; arguments as for `consistency`."""
    z = layer.value(layer.view.region) if z is None else z
    floor = float(_distances(layer, z, embedded, batch)[0])
    others = mosaics(unrelated, layer.view.inner.height, layer.view.inner.width)
    ceiling = float(_distances(layer, z, others, batch).mean())
    span = ceiling - floor if ceiling > floor else float("nan")
    return Consistency((distances - floor) / span, distances, floor, ceiling)


def mosaics(patches: Tensor, rows: int, columns: int) -> Tensor:
    """Images (k, 1, rows, columns) of patches (m, 1, h, w) side by side, cut to size.

    Every patch takes part once, or the first ones again to fill the last image; of small images there are m.
    """
    height, width = patches.shape[-2:]
    down, across = -(-rows // height), -(-columns // width)
    count = -(-len(patches) // (down * across))
    order = torch.arange(count * down * across, device=patches.device) % len(patches)
    tiles = patches[order].reshape(count, down, across, height, width)
    whole = tiles.permute(0, 1, 3, 2, 4).reshape(count, 1, down * height, across * width)
    return whole[..., :rows, :columns]


def _distances(
    layer: LocalLayer, z: Tensor, images: Tensor, batch: int, progress: Progress = unheard
) -> np.ndarray:
    found: list[Tensor] = []
    for some in images.split(batch):
        found.append((layer.value(some) - z).flatten(1).norm(dim=1))
        progress(min(1.0, len(found) * batch / len(images)))
    return torch.cat(found).cpu().numpy().astype(np.float64)
