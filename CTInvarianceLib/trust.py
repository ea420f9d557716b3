"""Numbers that say how far a sample is an invariance, and how far an error of the method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .denoisers import representation
from .embedding import Embedding

# Feature maps of one batch, in bytes: on CPUs what stays in the caches (measured: 1.8 times as fast as 32 at
# once), on GPUs what keeps the device busy and still fits a small one.
_BATCH_BYTES = {"cpu": 1 << 24, "other": 1 << 29}
_CHANNELS = 64  # the widest maps of a denoiser, at full resolution
_DECODER_CHANNELS = 8  # a decoder's, which lie at a quarter of the resolution


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
    denoiser: nn.Module, layer: str, *, z: Tensor, images: Tensor, embedded: Tensor, unrelated: Tensor
) -> Consistency:
    """R of images at a layer.

    Args:
        denoiser: f = Ψ∘Φ.
        layer: where it is cut.
        z: Φ(x), (1, C, h, w).
        images: x̄, (n, 1, H, W), normalised.
        embedded: D(E(x)), (1, 1, H, W), normalised.
        unrelated: x′, (m, 1, H, W), normalised.
    """
    distances = _distances(denoiser, layer, z, images)
    floor = float(_distances(denoiser, layer, z, embedded)[0])
    ceiling = float(_distances(denoiser, layer, z, unrelated).mean())
    span = ceiling - floor if ceiling > floor else float("nan")
    return Consistency((distances - floor) / span, distances, floor, ceiling)


def decode(embedding: Embedding, latents: Tensor) -> Tensor:
    """x̄ = D(z̄), in batches that fit memory: (n, …) -> (n, 1, H, W)."""
    size = batch_size(embedding.patch_size**2, latents.device, channels=_DECODER_CHANNELS)
    return torch.cat([embedding.decode(part) for part in latents.split(size)])


def batch_size(pixels: int, device: torch.device, *, channels: int = _CHANNELS) -> int:
    """How many images of so many pixels go through a network at once."""
    budget = _BATCH_BYTES["cpu" if device.type == "cpu" else "other"]
    return max(1, budget // (pixels * channels * 4))


def _distances(denoiser: nn.Module, layer: str, z: Tensor, images: Tensor) -> np.ndarray:
    def parts() -> Iterator[Tensor]:
        for part in images.split(batch_size(images.shape[-2] * images.shape[-1], images.device)):
            yield (representation(denoiser, part, layer) - z).flatten(1).norm(dim=1)

    return torch.cat(list(parts())).cpu().numpy().astype(np.float64)
