"""Training of the flows: one for every denoiser, layer and domain, on latents and conditions computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..builders import build_flow
from ..config import DOMAINS
from ..denoisers import representations
from ..embedding import Embedding, Posterior
from ..flow import BlockPCA, LayerFlow
from ..trust import batch_size
from .run import Run, seeded

_STEM_PATCHES = 96  # enough blocks (256 each at 128×128) for the stem's principal components


@dataclass(frozen=True)
class LatentPool:
    """Patches drawn once, and their latents.

    Attributes:
        low_dose: (P, 1, H, W), normalised, channels last: what the denoiser sees.
        posteriors: domain -> posterior of all patches' latents.
    """

    low_dose: Tensor
    posteriors: dict[str, Posterior]


@torch.no_grad()
def make_pool(run: Run, embeddings: Mapping[str, Embedding]) -> LatentPool:
    """Draw the patches and encode them in both domains, with the same weighting of patients as everywhere."""
    count, size = run.config.flow.patches, run.config.embedding.patch_size
    low, full = run.patches.draw(count, size, generator=seeded(run.config.seed, "flow patches"))
    images = dict(zip(DOMAINS, (low, full), strict=True))
    posteriors = {}
    for domain in DOMAINS:
        parts = [
            embeddings[domain].encode(run.fabric.to_device(p))
            for p in images[domain].split(batch_size(size**2))
        ]
        mean, std = (torch.cat([getattr(p, name) for p in parts]) for name in ("mean", "std"))
        posteriors[domain] = Posterior(mean, std)
    return LatentPool(low.contiguous(memory_format=torch.channels_last), posteriors)


@torch.no_grad()
def make_conditions(
    run: Run, pool: LatentPool, name: str, denoiser: nn.Module, layers: Sequence[str], stage: str
) -> dict[str, tuple[BlockPCA, Tensor]]:
    """Per layer: the fitted stem, and its output for all patches, (P, k, h, w); one pass through the denoiser."""
    size = batch_size(pool.low_dose.shape[-2] * pool.low_dose.shape[-1])
    stems = {layer: build_flow(run.config, denoiser, layer).stem.to(run.fabric.device) for layer in layers}
    first = [
        representations(denoiser, run.fabric.to_device(p), layers)
        for p in pool.low_dose[:_STEM_PATCHES].split(size)
    ]
    for layer, stem in stems.items():
        stem.fit([z[layer] for z in first], seed=run.config.seed)
        run.report.metric(
            stage, 0, **{f"explained variance, {name} layer {layer}": float(stem.explained_variance)}
        )
    outputs: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for number, part in enumerate(parts := pool.low_dose.split(size)):
        for layer, z in representations(denoiser, run.fabric.to_device(part), layers).items():
            outputs[layer].append(stems[layer](z))
        run.report.progress(stage, (number + 1) / len(parts))
    return {layer: (stems[layer], torch.cat(outputs[layer])) for layer in layers}


def train_flow(
    run: Run,
    denoiser: nn.Module,
    layer: str,
    stem: BlockPCA,
    conditions: Tensor,
    latents: Posterior,
    stage: str,
) -> LayerFlow:
    """Maximum likelihood of latents drawn from their posterior, given z: NLL under N(0, 1), nats."""
    config = run.config.flow
    trained = build_flow(run.config, denoiser, layer).to(conditions.device)
    trained.stem.load_state_dict(stem.state_dict())
    history = trained.flow.fit(
        latents.mean,
        conditions,
        stds=latents.std,
        steps=config.steps,
        batch_size=min(config.batch_size, len(conditions)),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        seed=run.config.seed,
        progress=lambda step, loss: run.report.progress(stage, step / config.steps),
    )
    run.report.metric(stage, config.steps, nll=history[-1])
    return trained.eval().requires_grad_(False)
