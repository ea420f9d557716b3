"""One slice and what is asked of it: the layer at a region, the noise, and with it what the tolerance is in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..base import VolumeError
from ..config import Question
from ..denoisers import layers
from ..tensors import STD, half_plane_weights, normalize, require_memory
from ..tolerance import LocalLayer, Metric, Noise, measure_gain, one_rescan
from ..volumes import Region
from .drawing import TrainedLayer

MOST_SEED = 2**62  # generators take 64 bits, and slices count up from it
_BYTES = 80  # for every pixel of every sample when they are measured; measured: 67 and 83


@dataclass(frozen=True)
class Asked:
    """One slice and what is asked of it."""

    layer: LocalLayer
    noise: Noise
    noise_from: str
    denoised: Tensor
    target: Tensor
    quiet: Tensor
    metric: Metric
    epsilon: float
    tolerance_hu: float

    @property
    def closed_form(self) -> float:
        """HU."""
        epsilon = self.target.new_tensor(self.epsilon).reshape(1, 1, 1, 1)
        variance = self.metric.posterior(epsilon)[0, 0]
        rows, columns = self.target.shape[-2:]
        total = (variance * half_plane_weights(columns, variance)).sum()
        return float((total / (rows * columns)).sqrt()) * STD


def ask(
    trained: TrainedLayer,
    image: Tensor,
    question: Question,
    region: Region,
    full: Tensor | None,
    noise: Tensor | None,
) -> Asked:
    """What the tolerance means at a region of one slice (1, 1, H, W), with its partner or its noise if known."""
    layer = trained.at(image, region)
    found, source = _noise(trained, layer, region, full, noise)
    layer.linearize(layer.view.region)
    last = layers(trained.denoiser)[-1]
    output = layer if trained.layer == last else LocalLayer(trained.denoiser, last, layer.view)
    if output is not layer:
        output.linearize(layer.view.region)
    metric = Metric(
        found.spectrum.on(region.height, region.width), measure_gain(layer, region.height, region.width)
    )
    denoised = layer.view.denoised(trained.denoiser)
    quiet = denoised if full is None else region.of(full)
    return Asked(
        layer,
        found,
        source,
        denoised,
        layer.view.region if trained.domain == "low" else quiet,
        quiet,
        metric,
        question.tolerance * one_rescan(layer, found),
        question.tolerance * one_rescan(output, found) * STD,
    )


def _noise(
    trained: TrainedLayer, layer: LocalLayer, region: Region, full: Tensor | None, noise: Tensor | None
) -> tuple[Noise, str]:
    if full is not None:
        return Noise.between(layer.view.region, region.of(full), trained.dose), "partner"
    if noise is not None:
        return Noise.of_scan(region.of(noise), trained.dose), "simulation"
    return Noise.within(layer.view.window, trained.dose), "image"


def check_question(trained: TrainedLayer, question: Question) -> None:
    """Raise VolumeError for a number of samples, a seed, a tile or a tolerance that is not possible."""
    if question.n < 1:
        raise VolumeError(f"{question.n} samples cannot be drawn", hint="Ask for one or more.")
    if not 0 <= question.seed <= MOST_SEED:
        raise VolumeError(f"a seed of {question.seed} is not possible", hint=f"Give 0 to {MOST_SEED}.")
    if question.tile is not None and question.tile < 1:
        raise VolumeError(f"tiles of {question.tile} pixels cannot be made", hint="Give 64 or more.")
    if trained.flow is None and trained.domain != "low":
        raise VolumeError(
            "samples of the full-dose domain need a flow", hint="Train one, or ask for the low-dose domain."
        )
    least, most = trained.tolerances or (0.0, float("inf"))
    if not question.tolerance > 0 or not least <= question.tolerance <= most:
        raise VolumeError(
            f"a tolerance of {question.tolerance:g} rescans is outside of what the flow was trained for",
            hint=f"Ask for {least:g} to {most:g}." if trained.tolerances else "Ask for more than 0.",
        )


def check_memory(trained: TrainedLayer, question: Question, region: Region, slices: int) -> None:
    """Raise VolumeError where all samples of a slab are more than the memory holds."""
    size = _BYTES * question.n * slices * region.height * region.width
    require_memory(
        size,
        trained.unrelated.device,
        what=f"{question.n} samples of {slices} slices, {region.height}×{region.width} pixels each,",
        hint="Ask for fewer samples (n), fewer slices, or a smaller region.",
    )


def as_images(images_hu: np.ndarray, trained: TrainedLayer) -> Tensor:
    """(S, H, W) HU -> (S, 1, H, W) normalised on the networks' device, checked."""
    images = np.array(images_hu, np.float32)  # a copy: torch warns of arrays that may not be written
    if images.ndim != 3 or not images.size:
        raise VolumeError(f"an image has rows and columns, not shape {images.shape[1:]}")
    if not np.isfinite(images).all():
        raise VolumeError(f"{np.count_nonzero(~np.isfinite(images))} pixels of the patch are not finite")
    return normalize(torch.from_numpy(images)[:, None]).to(trained.unrelated)


def check_size(trained: TrainedLayer, region: Region, images: Tensor) -> None:
    """Raise VolumeError where the embedding does not take a region of that size."""
    region.check(*images.shape[-2:])
    size = trained.embedding.patch_size
    if trained.embedding.fixed_size and (region.height, region.width) != (size, size):
        raise VolumeError(
            f"the patch has shape {(region.height, region.width)}, these models were trained on {size}×{size} pixels",
            hint="Choose a patch of that size, or models with another embedding, which take any.",
        )
