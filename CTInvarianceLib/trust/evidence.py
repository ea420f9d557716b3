"""The numbers that go with every draw: what the layer lets through of the samples' differences, and of noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..base import Progress, part, unheard
from ..denoisers import View, representation_and_output
from ..tensors import STD
from ..tolerance import LocalLayer, Noise

_NOISES, _DISPLACED = 8, 16


@dataclass(frozen=True)
class Evidence:
    """What proves, or disproves, that samples are within the tolerance and why they differ.

    Attributes:
        misfit: (n,), ‖Φ(x′) − z‖ / √P in units of ε; NaN where ε has no meaning (full-dose domain).
        distances: (n,), ‖Φ(x′) − z‖.
        output_change: (n,), rms over pixels of f(x′) − f(x), HU.
        output_change_95: (n,), 95th percentile of its absolute value, HU.
        output_change_most: (n,), the largest of it, HU.
        passes: root of the sum of squares of Φ(x′) − mean over the same of x′ − mean; at the output, HU per HU.
        noise_passes: the same for low-dose noise on this very patch.
        displaced_passes: the same for the samples' differences moved by half a patch: they know nothing of z.
        arrives: rms HU of the samples' differences that is left in the denoised image.
        noise_arrives: the share of noise on this very patch, HU per HU, that is left there.
    """

    misfit: np.ndarray
    distances: np.ndarray
    output_change: np.ndarray
    output_change_95: np.ndarray
    output_change_most: np.ndarray
    passes: float
    noise_passes: float
    displaced_passes: float
    arrives: float
    noise_arrives: float

    @property
    def visibility(self) -> float:
        """V = passes / passes of noise. Near 1 or above: the samples hide no better than noise does."""
        return self.passes / self.noise_passes if self.noise_passes > 0 else float("nan")


@torch.inference_mode()
def gather_evidence(
    layer: LocalLayer,
    images: Tensor,
    *,
    noise: Noise,
    quiet: Tensor,
    epsilon: float | None,
    batch: int,
    seed: int = 0,
    progress: Progress = unheard,
) -> Evidence:
    """Look at samples (n, 1, H, W) through the layer and the denoiser.

    Args:
        layer: Φ at the region of one image.
        images: x′, normalised.
        noise: of the image.
        quiet: (1, 1, H, W), the full dose where there is one, else the denoised image: what noise is put on.
        epsilon: in the units of z per pixel; None in the full-dose domain, where Φ(x′) is not meant to be z.
        batch: images at once.
        seed: of the noise.
        progress: called after every batch.
    """
    look = _looker(layer)
    z, denoised = look(layer.view.region)
    mean = images.mean(0, keepdim=True)
    moved = (images[:_DISPLACED] - images[:_DISPLACED].mean(0)).roll(
        (images.shape[-2] // 2, images.shape[-1] // 2), dims=(-2, -1)
    )
    generator = torch.Generator().manual_seed(seed)
    noises = noise.draw(_NOISES, images.shape[-2], images.shape[-1], generator=generator)
    count = len(images) + len(moved) + _NOISES
    changes: list[np.ndarray] = []
    distances: list[Tensor] = []

    def note(found: Tensor, output: Tensor) -> None:
        distances.append((found - z).flatten(1).norm(dim=1))
        change = ((output - denoised) * STD).flatten(1).abs()
        ninety_fifth = change.kthvalue(max(1, round(0.95 * change.shape[1])), dim=1).values
        three = torch.stack((change.square().mean(1).sqrt(), ninety_fifth, change.amax(1)))
        changes.append(three.cpu().numpy())

    share = len(images) / count
    passes, through = _passes(look, images, z, denoised, batch, note, part(progress, 0, share))
    heard = part(progress, share, share + len(moved) / count)
    displaced, _ = _passes(look, mean + moved, z, denoised, batch, progress=heard)
    heard = part(progress, share + len(moved) / count, 1)
    of_noise, noise_through = _passes(look, quiet + noises, z, denoised, batch, progress=heard)
    rms, most_of, most = np.concatenate(changes, axis=1).astype(np.float64)
    away = torch.cat(distances).cpu().numpy().astype(np.float64)
    misfit = away / layer.pixels**0.5 / epsilon if epsilon is not None else np.full(len(away), np.nan)
    spread = float(images.var(0).mean().sqrt()) * STD if len(images) > 1 else 0.0
    arrives = through * spread if spread else 0.0
    return Evidence(misfit, away, rms, most_of, most, passes, of_noise, displaced, arrives, noise_through)


Look = Callable[[Tensor], tuple[Tensor, Tensor]]


def _looker(layer: LocalLayer) -> Look:
    """Images (n, 1, H, W) of the region -> z and the denoised image there."""
    view: View = layer.view

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        windows = view.with_region(images)
        z, output = representation_and_output(layer.linearizer.denoiser, windows, layer.linearizer.layer)
        return view.cut(z), view.cut(output)

    return look


def _passes(
    look: Look,
    images: Tensor,
    z: Tensor,
    denoised: Tensor,
    batch: int,
    note: Callable[[Tensor, Tensor], None] = lambda found, output: None,
    progress: Progress = unheard,
) -> tuple[float, float]:
    """‖Φ(x′) − mean‖ / ‖x′ − mean‖ over all images, and the same at the output; NaN where they do not differ."""
    at_layer, at_output, done = _Scatter(z), _Scatter(denoised), 0
    for some in images.split(batch):
        found, output = look(some)
        note(found, output)
        at_layer.add(found)
        at_output.add(output)
        done += len(some)
        progress(done / len(images))
    spread = (images - images.mean(0)).double().square().sum().item()
    if spread <= 0:
        return float("nan"), float("nan")
    return (at_layer.squares() / spread) ** 0.5, (at_output.squares() / spread) ** 0.5


class _Scatter:
    """Sum of squares of maps around their mean, gathered batch by batch.

    Args:
        near: a map that all lie near to: their differences from it are summed, and lose nothing.
    """

    def __init__(self, near: Tensor) -> None:
        self.near, self.count, self.square = near, 0, 0.0
        self.total = torch.zeros(near.shape[1:], dtype=torch.float64, device=near.device)

    def add(self, maps: Tensor) -> None:
        """Take in maps (n, C, h, w)."""
        away = (maps - self.near).double()
        self.total += away.sum(0)
        self.square += float(away.square().sum())
        self.count += len(maps)

    def squares(self) -> float:
        """Σ ‖map − mean‖²."""
        return max(self.square - float(self.total.square().sum()) / self.count, 0.0)
