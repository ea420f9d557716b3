"""What flows of coded latents learn from: latents of both domains, and what every layer's stem makes of z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..base import Progress, part, unheard
from ..config import DOMAINS
from ..data import Patches
from ..denoisers import reach, representations
from ..embedding import Embedding, Posterior
from ..flow import FlowBatch, GridRegression, LatentRegression, LayerFlow, Ridge
from ..tensors import batch_size
from ..volumes import Region
from .run import Run, stage_seed

_ENCODED_AT_ONCE = 64
_STEM_PATCHES = 96  # enough blocks (256 each of 8×8 pixels at 128×128) for the stem's principal components
_REGRESSED_AT_ONCE = 16
_ENCODING = 0.3  # of the time for a pool


@dataclass(frozen=True)
class CodedPatches:
    """Patches and their latents.

    Attributes:
        low_dose: (P, 1, H, W), normalised: what the denoiser sees, with a margin.
        inner: the patches without the margin.
        posteriors: domain -> posterior of all patches' latents.
    """

    low_dose: Tensor
    inner: Region
    posteriors: dict[str, Posterior]


class LatentPool:
    """What the linear parts leave of the latents, and the conditions; see `flow.FlowPool`.

    Args:
        rests: of every flow's latents, their means without what is predicted, (P, …).
        stds: domain -> of the latents' posterior, from which they are drawn.
        features: of every layer, (P, k, h, w).
    """

    def __init__(
        self, rests: Sequence[Tensor], stds: Mapping[str, Tensor], features: Sequence[Tensor]
    ) -> None:
        self._rests, self._stds, self._features = list(rests), dict(stds), list(features)

    def __len__(self) -> int:
        return len(self._rests[0])

    def drawn(self, count: int, generator: torch.Generator, own: slice = slice(None)) -> FlowBatch:
        """Latents drawn from their posteriors, and conditions, of patches drawn by chance."""
        rows = torch.randint(len(self), (count,), generator=generator)
        own_rows = rows[own].to(self._rests[0].device)
        noises = {}
        for domain, stds in self._stds.items():
            noise = torch.randn(count, *stds.shape[1:], generator=generator)[own]
            noises[domain] = stds[own_rows] * noise.to(stds)
        latents, conditions = [], []
        for number, rest in enumerate(self._rests):
            latents.append(rest[own_rows] + noises[DOMAINS[number % len(DOMAINS)]])
            conditions.append(self._features[number // len(DOMAINS)][own_rows])
        return latents, conditions


class LatentSource:
    """Pools of latents and conditions for all flows of some layers, made when they are needed; see `flow.FlowSource`.

    Args:
        run: the run.
        name: of the denoiser.
        denoisers: all of them: patches have a margin for each.
        embeddings: domain -> embedding.
        layers: of the denoiser.
        flows: of every layer, low dose before full dose.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        denoisers: Mapping[str, nn.Module],
        embeddings: Mapping[str, Embedding],
        layers: Sequence[str],
        flows: Sequence[LayerFlow],
    ) -> None:
        self._run, self._name, self._denoisers, self._embeddings = run, name, denoisers, embeddings
        self._layers, self._flows = list(layers), list(flows)

    @torch.no_grad()
    def begin(self, numbers: range, progress: Progress = unheard) -> LatentPool:
        """The first pool; stems and linear parts are set from it."""
        coded = self._coded(self._run.patches, numbers, "flow patches", part(progress, 0, _ENCODING))
        self._fit_stems(coded)
        features = self._features(coded, part(progress, _ENCODING, 1))
        rests = []
        for number, layer in enumerate(self._layers):
            ridge = self._ridge(number, features[number])
            for domain, flow in zip(DOMAINS, self._of(number), strict=True):
                latents = coded.posteriors[domain].mean
                predicted = _regress(flow, features[number], ridge, latents)
                left = float((latents - predicted).square().mean() / latents.var())
                found = {f"linearly unexplained, layer {layer} {domain}": left}
                self._run.report.metric(f"conditions {self._name}", 0, **found)
                rests.append(latents - predicted)
        return _pool(coded, rests, features)

    def pool(self, numbers: range, progress: Progress = unheard) -> LatentPool:
        """A later one."""
        return self._rest(self._coded(self._run.patches, numbers, "flow patches", progress))

    def kept(self, count: int, progress: Progress = unheard) -> LatentPool:
        """Patches of validation patients, always the same."""
        return self._rest(self._coded(self._run.validation, range(count), "flow validation", progress))

    @torch.no_grad()
    def _rest(self, coded: CodedPatches) -> LatentPool:
        features, rests = self._features(coded, unheard), []
        for number in range(len(self._layers)):
            for domain, flow in zip(DOMAINS, self._of(number), strict=True):
                predicted = [flow.regression(h) for h in features[number].split(_REGRESSED_AT_ONCE)]
                rests.append(coded.posteriors[domain].mean - torch.cat(predicted))
        return _pool(coded, rests, features)

    def _of(self, number: int) -> list[LayerFlow]:
        """The flows of one layer."""
        return self._flows[number * len(DOMAINS) : (number + 1) * len(DOMAINS)]

    @torch.no_grad()
    def _coded(self, patches: Patches, numbers: range, purpose: str, progress: Progress) -> CodedPatches:
        """Patches of these numbers, encoded in both domains.

        Embeddings of any size see patches with a margin as wide as what a denoiser reaches, which is cut off again:
        latents and representations are then those of a patch inside an image.
        """
        run, size, count = self._run, self._run.config.embedding.patch_size, len(numbers)
        margin = self._margin(patches)
        seed = stage_seed(run.config.seed, purpose)
        drawn = patches.draw(count, size + 2 * margin, seed=seed, first=numbers.start)
        # Not on the device: all of them at once, with their margins, may be more than it holds.
        images: dict[str, Tensor] = dict(zip(DOMAINS, (each.cpu() for each in drawn), strict=True))
        inner = Region(margin, margin, size, size)
        posteriors = {}
        for number, (domain, embedding) in enumerate(self._embeddings.items()):
            cells = _cells(inner, embedding)
            means, stds = [], []
            for rows in (parts := run.share.rows(count).split(_ENCODED_AT_ONCE)):
                found = embedding.encode(run.fabric.to_device(images[domain][rows]))
                means.append(cells.of(found.mean) if cells else found.mean)
                stds.append(cells.of(found.std) if cells else found.std)
                progress((number + len(means) / len(parts)) / len(self._embeddings))
            posteriors[domain] = Posterior(*(run.share.whole(torch.cat(own), count) for own in (means, stds)))
        return CodedPatches(images["low"], inner, posteriors)

    def _margin(self, patches: Patches) -> int:
        """Pixels, a multiple of the embedding's factor; 0 for one of one size, or where slices have no room."""
        embedding, config = next(iter(self._embeddings.values())), self._run.config
        if embedding.fixed_size:
            return 0
        reached = [
            reach(d, la) or 0 for name, d in self._denoisers.items() for la in config.denoisers[name].layers
        ]
        wanted = -(-max(reached, default=0) // embedding.factor) * embedding.factor
        return patches.margin(config.embedding.patch_size, wanted) // embedding.factor * embedding.factor

    def _representations(self, coded: CodedPatches, rows: Tensor | slice) -> dict[str, Tensor]:
        """z of every layer, without the margin, of some patches."""
        low = self._run.fabric.to_device(coded.low_dose[rows])
        found = representations(self._denoisers[self._name], low, self._layers)
        return {la: coded.inner.scaled(low.shape[-1] // z.shape[-1]).of(z) for la, z in found.items()}

    def _at_once(self, coded: CodedPatches) -> int:
        return batch_size(coded.low_dose.shape[-2] * coded.low_dose.shape[-1], self._run.fabric.device)

    def _fit_stems(self, coded: CodedPatches) -> None:
        """A layer's stem is the same for both domains."""
        first = torch.arange(min(_STEM_PATCHES, len(coded.low_dose))).split(self._at_once(coded))
        seen = [self._representations(coded, rows) for rows in first]
        for number, layer in enumerate(self._layers):
            low, *others = self._of(number)
            explained = low.stem.fit([z[layer] for z in seen], seed=self._run.config.seed)
            for other in others:
                other.stem.load_state_dict(low.stem.state_dict())
            found = {f"explained variance, layer {layer}": explained}
            self._run.report.metric(f"conditions {self._name}", 0, **found)

    def _features(self, coded: CodedPatches, progress: Progress) -> list[Tensor]:
        """What the stem makes of z, for every layer, (P, k, h, w), with one pass through the denoiser."""
        outputs: dict[str, list[Tensor]] = {layer: [] for layer in self._layers}
        count, share = len(coded.low_dose), self._run.share
        for number, rows in enumerate(parts := share.rows(count).split(self._at_once(coded))):
            for layer, z in self._representations(coded, rows).items():
                outputs[layer].append(self._of(self._layers.index(layer))[0].condition(z))
            progress((number + 1) / len(parts))
        return [share.whole(torch.cat(outputs.pop(layer)), count) for layer in self._layers]

    def _ridge(self, number: int, features: Tensor) -> Ridge | None:
        """Of vector latents on a layer's features, for both domains; None for grids."""
        flow = self._of(number)[0]
        if not isinstance(flow.regression, LatentRegression):
            return None
        for each in self._of(number):
            assert isinstance(each.regression, LatentRegression)  # as the first one is
            each.regression.importance.copy_(each.stem.importance[: each.regression.features])
        return Ridge(flow.regression.rows(features))


def _pool(coded: CodedPatches, rests: Sequence[Tensor], features: Sequence[Tensor]) -> LatentPool:
    return LatentPool(rests, {domain: each.std for domain, each in coded.posteriors.items()}, features)


def _cells(inner: Region, embedding: Embedding) -> Region | None:
    """The cells of a region; None: the latent is no grid."""
    if embedding.fixed_size:
        return None
    return Region(*(side // embedding.factor for side in (inner.top, inner.left, inner.height, inner.width)))


@torch.no_grad()
def _regress(flow: LayerFlow, features: Tensor, ridge: Ridge | None, latents: Tensor) -> Tensor:
    """Set the linear part and return what it predicts, as it would for patches that it has not seen.

    For vectors, every patch is predicted by a regression that it took no part in: on its own residuals, which are
    far smaller, the flow would learn to be far too sure. Grids have so many cells that this makes no difference.
    """
    regression = flow.regression
    if isinstance(regression, GridRegression):
        pairs = list(zip(features.split(_REGRESSED_AT_ONCE), latents.split(_REGRESSED_AT_ONCE), strict=True))
        regression.fit(pairs)
        return torch.cat([regression(h) for h, _ in pairs])
    assert isinstance(regression, LatentRegression)  # there are two kinds
    assert ridge is not None  # made for this kind
    weight, bias, predicted = ridge.solve(latents)
    regression.weight.copy_(weight)
    regression.bias.copy_(bias)
    return predicted
