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
from ..flow import BlockPCA, LayerFlow, Ridge
from ..trust import batch_size
from .run import Run, seeded

_ENCODED_AT_ONCE = 64
_STEM_PATCHES = 96  # enough blocks (256 each at 128×128) for the stem's principal components


@dataclass(frozen=True)
class LatentPool:
    """Patches drawn once, and their latents.

    Attributes:
        low_dose: (P, 1, H, W), normalised: what the denoiser sees.
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
            embeddings[domain].encode(run.fabric.to_device(p)) for p in images[domain].split(_ENCODED_AT_ONCE)
        ]
        mean, std = (torch.cat([getattr(p, name) for p in parts]) for name in ("mean", "std"))
        posteriors[domain] = Posterior(mean, std)
    return LatentPool(low, posteriors)


@dataclass(frozen=True)
class LayerConditions:
    """What all flows of one layer share.

    Attributes:
        stem: fitted.
        features: its output for all patches, (P, k, h, w).
        ridge: regression on these features.
    """

    stem: BlockPCA
    features: Tensor
    ridge: Ridge


@torch.no_grad()
def make_conditions(
    run: Run, pool: LatentPool, name: str, denoiser: nn.Module, layers: Sequence[str], stage: str
) -> dict[str, LayerConditions]:
    """Conditions of all patches at several layers, with one pass through the denoiser."""
    size = batch_size(pool.low_dose.shape[-2] * pool.low_dose.shape[-1], run.fabric.device)
    untrained = {layer: build_flow(run.config, denoiser, layer).to(run.fabric.device) for layer in layers}
    first = [
        representations(denoiser, run.fabric.to_device(part), layers)
        for part in pool.low_dose[:_STEM_PATCHES].split(size)
    ]
    for layer in layers:
        explained = untrained[layer].stem.fit([z[layer] for z in first], seed=run.config.seed)
        run.report.metric(stage, 0, **{f"explained variance, {name} layer {layer}": explained})
    del first
    outputs: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for number, part in enumerate(parts := pool.low_dose.split(size)):
        for layer, z in representations(denoiser, run.fabric.to_device(part), layers).items():
            outputs[layer].append(untrained[layer].stem(z))
        run.report.progress(stage, (number + 1) / len(parts))
    conditions = {}
    for layer, flow in untrained.items():
        features = torch.cat(outputs.pop(layer))
        flow.regression.importance.copy_(flow.stem.importance[: flow.regression.features])
        conditions[layer] = LayerConditions(flow.stem, features, Ridge(flow.regression.rows(features)))
    return conditions


def train_flow(
    run: Run, denoiser: nn.Module, layer: str, conditions: LayerConditions, latents: Posterior, stage: str
) -> LayerFlow:
    """The linear part in closed form, then maximum likelihood of what it leaves: NLL under N(0, 1), nats.

    Latents are drawn from their posterior. The flow learns on residuals of patches that did not take part in
    their own prediction, so that it sees what it will see on patches of other patients.
    """
    config = run.config.flow
    trained = build_flow(run.config, denoiser, layer).to(conditions.features.device)
    trained.stem.load_state_dict(conditions.stem.state_dict())
    weight, bias, predicted = conditions.ridge.solve(latents.mean)
    with torch.no_grad():
        trained.regression.importance.copy_(conditions.stem.importance[: trained.regression.features])
        trained.regression.weight.copy_(weight)
        trained.regression.bias.copy_(bias)
    left = float((latents.mean - predicted).square().mean() / latents.mean.var())
    run.report.metric(stage, 0, linearly_unexplained=left)
    history = trained.flow.fit(
        latents.mean - predicted,
        conditions.features,
        stds=latents.std,
        steps=config.steps,
        batch_size=min(config.batch_size, len(conditions.features)),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        seed=run.config.seed,
        progress=lambda step, loss: run.report.progress(stage, step / config.steps),
    )
    run.report.metric(stage, config.steps, nll=history[-1])
    return trained.eval().requires_grad_(False)
