"""Training of the flows: one for every denoiser, layer and domain, on latents and conditions computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import DOMAINS
from ..denoisers import reach, representations
from ..embedding import Embedding, Posterior
from ..flow import BlockPCA, GridRegression, LatentRegression, LayerFlow, Ridge
from ..models import build_flow
from ..tensors import batch_size
from ..volumes import Region
from .run import Run, stage_seed

_ENCODED_AT_ONCE = 64
_STEM_PATCHES = 96  # enough blocks (256 each of 8×8 pixels at 128×128) for the stem's principal components
_REGRESSED_AT_ONCE = 16
_MAX_NORM = 10.0  # of the gradient, for every cell of a latent


@dataclass(frozen=True)
class LatentPool:
    """Patches drawn once, and their latents.

    Attributes:
        low_dose: (P, 1, H, W), normalised: what the denoiser sees, with a margin.
        inner: the patches without the margin.
        posteriors: domain -> posterior of all patches' latents.
    """

    low_dose: Tensor
    inner: Region
    posteriors: dict[str, Posterior]


@torch.no_grad()
def make_pool(
    run: Run, embeddings: Mapping[str, Embedding], denoisers: Mapping[str, nn.Module]
) -> LatentPool:
    """Draw the patches and encode them in both domains, with the same weighting of patients as everywhere.

    Embeddings of any size see patches with a margin as wide as what a denoiser reaches, which is cut off again:
    latents and representations are then those of a patch inside an image.
    """
    size = run.config.embedding.patch_size
    margin = _margin(run, next(iter(embeddings.values())), denoisers)
    seed = stage_seed(run.config.seed, "flow patches")
    # Not on the device: all of them at once, with their margins, may be more than it holds.
    low, full = (
        each.cpu() for each in run.patches.draw(run.config.flow.patches, size + 2 * margin, seed=seed)
    )
    images: dict[str, Tensor] = dict(zip(DOMAINS, (low, full), strict=True))
    inner = Region(margin, margin, size, size)
    posteriors = {}
    for domain, embedding in embeddings.items():
        cells = _cells(inner, embedding)
        parts = [embedding.encode(run.fabric.to_device(p)) for p in images[domain].split(_ENCODED_AT_ONCE)]
        mean, std = (
            torch.cat([cells.of(getattr(p, name)) if cells else getattr(p, name) for p in parts])
            for name in ("mean", "std")
        )
        posteriors[domain] = Posterior(mean, std)
    return LatentPool(low, inner, posteriors)


def _margin(run: Run, embedding: Embedding, denoisers: Mapping[str, nn.Module]) -> int:
    """Pixels, a multiple of the embedding's factor; 0 for an embedding of one size, or where slices have no room."""
    if embedding.fixed_size:
        return 0
    reached = [reach(d, la) or 0 for name, d in denoisers.items() for la in run.config.denoisers[name].layers]
    wanted = -(-max(reached, default=0) // embedding.factor) * embedding.factor
    room = run.patches.margin(run.config.embedding.patch_size, wanted)
    return room // embedding.factor * embedding.factor


def _cells(inner: Region, embedding: Embedding) -> Region | None:
    """The cells of a region; None: the latent is no grid."""
    if embedding.fixed_size:
        return None
    return Region(*(side // embedding.factor for side in (inner.top, inner.left, inner.height, inner.width)))


@dataclass(frozen=True)
class LayerConditions:
    """What all flows of one layer share.

    Attributes:
        stem: fitted.
        features: its output for all patches, (P, k, h, w).
        ridge: regression of vector latents on these features.
    """

    stem: BlockPCA
    features: Tensor
    ridge: Ridge | None


@torch.no_grad()
def make_conditions(
    run: Run, pool: LatentPool, name: str, denoiser: nn.Module, layers: Sequence[str], stage: str
) -> dict[str, LayerConditions]:
    """Conditions of all patches at several layers, with one pass through the denoiser."""
    size = batch_size(pool.low_dose.shape[-2] * pool.low_dose.shape[-1], run.fabric.device)
    untrained = {layer: _untrained(run, denoiser, layer).to(run.fabric.device) for layer in layers}

    def inner(part: Tensor) -> dict[str, Tensor]:
        found = representations(denoiser, run.fabric.to_device(part), layers)
        return {layer: pool.inner.scaled(part.shape[-1] // z.shape[-1]).of(z) for layer, z in found.items()}

    first = [inner(part) for part in pool.low_dose[:_STEM_PATCHES].split(size)]
    for layer in layers:
        explained = untrained[layer].stem.fit([z[layer] for z in first], seed=run.config.seed)
        run.report.metric(stage, 0, **{f"explained variance, {name} layer {layer}": explained})
    del first
    outputs: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for number, part in enumerate(parts := pool.low_dose.split(size)):
        for layer, z in inner(part).items():
            outputs[layer].append(untrained[layer].condition(z))
        run.report.progress(stage, (number + 1) / len(parts))
    conditions = {}
    for layer, flow in untrained.items():
        features, ridge = torch.cat(outputs.pop(layer)), None
        if isinstance(flow.regression, LatentRegression):
            flow.regression.importance.copy_(flow.stem.importance[: flow.regression.features])
            ridge = Ridge(flow.regression.rows(features))
        conditions[layer] = LayerConditions(flow.stem, features, ridge)
    return conditions


def train_flow(
    run: Run, denoiser: nn.Module, layer: str, conditions: LayerConditions, latents: Posterior, stage: str
) -> LayerFlow:
    """The linear part in closed form, then maximum likelihood of what it leaves: NLL under N(0, 1), nats.

    Latents are drawn from their posterior.
    """
    config = run.config.flow
    trained = _untrained(run, denoiser, layer).to(conditions.features.device)
    trained.stem.load_state_dict(conditions.stem.state_dict())
    predicted = _regress(trained, conditions, latents.mean)
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
        max_norm=_MAX_NORM * latents.mean[0, 0].numel(),
        seed=run.config.seed,
        progress=lambda step, loss: run.report.progress(stage, step / config.steps),
    )
    run.report.metric(stage, config.steps, nll=history[-1])
    return trained.eval().requires_grad_(False)


def _untrained(run: Run, denoiser: nn.Module, layer: str) -> LayerFlow:
    """The same for both domains."""
    flow = build_flow(run.config, denoiser, layer, "low")
    assert isinstance(flow, LayerFlow)  # what the embeddings that leave something out have
    return flow


@torch.no_grad()
def _regress(trained: LayerFlow, conditions: LayerConditions, latents: Tensor) -> Tensor:
    """Set the linear part and return what it predicts, as it would for patches that it has not seen.

    For vectors, every patch is predicted by a regression that it took no part in: on its own residuals, which are
    far smaller, the flow would learn to be far too sure. Grids have so many cells that this makes no difference.
    """
    regression = trained.regression
    if isinstance(regression, GridRegression):
        pairs = list(
            zip(conditions.features.split(_REGRESSED_AT_ONCE), latents.split(_REGRESSED_AT_ONCE), strict=True)
        )
        regression.fit(pairs)
        return torch.cat([regression(h) for h, _ in pairs])
    assert isinstance(regression, LatentRegression)  # there are two kinds
    assert conditions.ridge is not None  # made for this kind
    weight, bias, predicted = conditions.ridge.solve(latents)
    regression.importance.copy_(conditions.stem.importance[: regression.features])
    regression.weight.copy_(weight)
    regression.bias.copy_(bias)
    return predicted
