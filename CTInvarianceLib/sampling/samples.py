"""Images that a layer cannot tell apart up to a tolerance, and the numbers that prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..base import Progress, VolumeError, part, unheard
from ..config import Question
from ..denoisers import layers
from ..flow import ImageFlow
from ..tensors import STD, batch_size, denormalize, normalize
from ..tolerance import LocalLayer, Metric, Noise, measure_gain, move_within, one_rescan
from ..trust import Evidence, consistency_of, gather_evidence
from ..volumes import Region
from .drawing import TrainedLayer, draw
from .image_drawing import Whole, draw_images

DRAWING_SHARE = 0.15  # of the time, the rest is correcting and measuring
_CORRECTING_SHARE = 0.7  # of that rest


@dataclass(frozen=True)
class Samples:
    """N images that the layer cannot tell from the patch, up to the tolerance; all arrays numpy float32.

    Attributes:
        patch: (H, W), HU, the image that was asked about.
        denoised: (H, W), HU, f of it.
        target: (H, W), HU, what the samples look like: the patch; in the full-dose domain the full-dose
            patch where there is one, else the denoised.
        embedded: (H, W), HU, what the embedding makes of the target: D(E(·)).
        images: (n, H, W), HU, the samples x̄; as the flow proposes them until they are `corrected`.
        invariances: (n, d), or (n, c, h, w) of a grid: the v that were drawn.
        latents: z̄ = E(x̄) of a complete embedding, else what was decoded; (n, d) or (n, c, h, w).
        tolerance: τ, rescans.
        tolerance_hu: what τ rescans change in the denoised image, rms HU.
        epsilon: τ in the units of z per pixel.
        noise_hu: standard deviation of the low-dose noise that the rescans were made from.
        noise_from: where that noise is known from: "partner", "simulation" or "image".
        closed_form: the spread that stationary noise would have within the tolerance, HU: S ε² / (G² S + ε²) with this
            patch's S and G. Samples that differ by much less hide what there is.
        moved: (n,), rms HU that the correction moved each sample; 0 in the full-dose domain.
        proposed_spread: rms HU of the samples' differences before the correction.
        proposed_misfit: (n,), `misfit` before the correction; NaN in the full-dose domain.
        evidence: what the layer lets through, see `trust.Evidence`; None until it is gathered.
        consistency: (n,), R, for comparison with older runs; NaN until the evidence is there.
        floor: of R, a distance in the units of z.
        ceiling: likewise.
        corrected: whether the samples were brought within the tolerance.
        layer: where the denoiser was cut.
        domain: "low" or "full".
        seed: of the draw.
    """

    patch: np.ndarray
    denoised: np.ndarray
    target: np.ndarray
    embedded: np.ndarray
    images: np.ndarray
    invariances: np.ndarray
    latents: np.ndarray
    tolerance: float
    tolerance_hu: float
    epsilon: float
    noise_hu: float
    noise_from: str
    closed_form: float
    moved: np.ndarray
    proposed_spread: float
    proposed_misfit: np.ndarray
    evidence: Evidence | None
    consistency: np.ndarray
    floor: float
    ceiling: float
    corrected: bool
    layer: str
    domain: str
    seed: int

    @cached_property
    def mean(self) -> np.ndarray:
        """(H, W), HU."""
        return np.asarray(self.images.mean(axis=0))

    @cached_property
    def std(self) -> np.ndarray:
        """(H, W), HU: how far the samples differ, pixel by pixel."""
        return np.asarray(self.images.std(axis=0, ddof=1 if len(self.images) > 1 else 0))

    @cached_property
    def spread(self) -> float:
        """Root of the mean over pixels of the variance, HU."""
        return float(np.sqrt(np.square(self.std, dtype=np.float64).mean()))

    @property
    def output_change(self) -> np.ndarray:
        """(n,), rms HU of f(x̄) − f(x)."""
        return self._known.output_change

    @property
    def misfit(self) -> np.ndarray:
        """(n,), ‖Φ(x̄) − z‖ / √P in units of ε."""
        return self._known.misfit

    @property
    def passes(self) -> float:
        """What the layer lets through of the samples' differences."""
        return self._known.passes

    @property
    def noise_passes(self) -> float:
        """What it lets through of noise."""
        return self._known.noise_passes

    @property
    def displaced_passes(self) -> float:
        """What it lets through of the samples' differences somewhere else."""
        return self._known.displaced_passes

    @property
    def visibility(self) -> float:
        """V = passes / passes of noise."""
        return self._known.visibility

    @property
    def _known(self) -> Evidence:
        if self.evidence is None:
            raise VolumeError("these samples are not measured yet", hint="Wait for the end of the sampling.")
        return self.evidence


@torch.inference_mode()
def sample_invariances(
    trained: TrainedLayer,
    images_hu: np.ndarray,
    question: Question,
    *,
    region: Region | None = None,
    full_dose_hu: np.ndarray | None = None,
    noise_hu: np.ndarray | None = None,
    proposals_for: np.ndarray | None = None,
    progress: Progress = unheard,
    on_drawn: Callable[[Sequence[Samples]], object] = lambda slab: None,
) -> list[Samples]:
    """Sample n images for every slice of a slab, bring them within the tolerance, and measure what proves it.

    Args:
        trained: denoiser, layer, embedding and flow.
        images_hu: (S, H, W), HU, low dose.
        question: how many samples of each slice, the seed of v, the tolerance; denoiser, layer and domain are those
            of `trained`.
        region: the part of the slices that is sampled; the rest is what the denoiser sees around it. None: all.
        full_dose_hu: (S, H, W), HU, the full-dose partner, where there is one: tells the noise, and is the target
            in the full-dose domain.
        noise_hu: (S, H, W), HU, low-dose noise of these slices as a simulation makes it, where there is no partner.
            Without either, the noise is read from the images.
        proposals_for: (S, H, W), HU: other images that the flow proposes samples for, as if it had learned nothing. A
            control: the correction then has to move them far.
        progress: called after every batch.
        on_drawn: gets the samples as soon as they are drawn, before they are corrected and measured.

    Raises:
        VolumeError: a size that the embedding does not take, values that are not finite, a region outside, or a
            tolerance that the flow does not know.
    """
    check_question(trained, question)
    x = as_images(images_hu, trained)
    region = region or Region.whole(x)
    check_size(trained, region, x)
    full = None if full_dose_hu is None else as_images(full_dose_hu, trained)
    noise = None if noise_hu is None else as_images(noise_hu, trained) - normalize(x.new_zeros(()))
    asked = [
        _ask(
            trained,
            x[k : k + 1],
            question,
            region,
            None if full is None else full[k : k + 1],
            None if noise is None else noise[k : k + 1],
        )
        for k in range(len(x))
    ]
    drawn = part(progress, 0, DRAWING_SHARE)
    seen = x if proposals_for is None else as_images(proposals_for, trained)
    slab = list(_drawn(trained, seen, asked, question, region, drawn))
    on_drawn([samples for samples, _ in slab])
    proved = part(progress, DRAWING_SHARE, 1)
    return [
        _proved(trained, each, samples, images, part(proved, k / len(x), (k + 1) / len(x)))
        for k, (each, (samples, images)) in enumerate(zip(asked, slab, strict=True))
    ]


@dataclass(frozen=True)
class _Asked:
    """One slice and what is asked of it."""

    whole: Whole
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
        # The half plane of the Fourier transform holds most columns for two.
        whole = torch.cat((variance, variance[:, 1 : (self.target.shape[-1] + 1) // 2]), dim=1)
        return float(whole.mean().sqrt()) * STD


def _ask(
    trained: TrainedLayer,
    image: Tensor,
    question: Question,
    region: Region,
    full: Tensor | None,
    noise: Tensor | None,
) -> _Asked:
    whole = Whole.of(image, trained.denoiser, trained.layer, trained.reach)
    layer = whole.at(region)
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
    return _Asked(
        whole,
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


def _drawn(
    trained: TrainedLayer,
    seen: Tensor,
    asked: Sequence[_Asked],
    question: Question,
    region: Region,
    progress: Progress,
) -> Iterator[tuple[Samples, Tensor]]:
    """The samples as the flow proposes them, and their images (n, 1, H, W), normalised."""
    n, seed, count = question.n, question.seed, len(asked)
    at_once = None
    if not isinstance(trained.flow, ImageFlow):
        seeds = range(seed, seed + count)
        view = trained.view(seen, region)
        at_once = draw(trained, view, n=n, seeds=seeds, tile=question.tile, progress=progress)
    for k, each in enumerate(asked):
        if at_once is None:
            assert isinstance(trained.flow, ImageFlow)  # the other kind was drawn at once
            images, v = draw_images(
                replace(each.whole, image=seen[k : k + 1]),
                trained.flow,
                region,
                each.epsilon,
                each.noise,
                n=n,
                seed=seed + k,
                tile=question.tile,
                progress=part(progress, k / count, (k + 1) / count),
            )
            latents = trained.embedding.encode(images).mean
        else:
            images, v, latents = (
                at_once.images[k][:, None],
                at_once.invariances[k],
                at_once.latents[k],
            )
        yield (
            Samples(
                patch=to_hu(each.layer.view.region[0, 0]),
                denoised=to_hu(each.denoised[0, 0]),
                target=to_hu(each.target[0, 0]),
                embedded=to_hu(trained.embed(each.target, each.layer.view)[0, 0]),
                images=to_hu(images[:, 0]),
                invariances=v.cpu().numpy(),
                latents=latents.cpu().numpy(),
                tolerance=question.tolerance,
                tolerance_hu=each.tolerance_hu,
                epsilon=each.epsilon,
                noise_hu=each.noise.deviation() * STD,
                noise_from=each.noise_from,
                closed_form=each.closed_form,
                moved=np.zeros(n),
                proposed_spread=_spread(images),
                proposed_misfit=np.full(n, np.nan),
                evidence=None,
                consistency=np.full(n, np.nan),
                floor=np.nan,
                ceiling=np.nan,
                corrected=False,
                layer=trained.layer,
                domain=trained.domain,
                seed=seed + k,
            ),
            images,
        )


def _proved(
    trained: TrainedLayer, asked: _Asked, samples: Samples, images: Tensor, progress: Progress
) -> Samples:
    """The samples of one slice within the tolerance, where that has a meaning, and the evidence."""
    layer, corrects = asked.layer, trained.domain == "low"
    window = layer.view.window.shape[-2] * layer.view.window.shape[-1]
    batch = batch_size(window, images.device)
    if corrects:
        moved, before = _corrected(asked, images, batch, part(progress, 0, _CORRECTING_SHARE))
        samples = replace(
            samples,
            images=to_hu(moved[:, 0]),
            moved=((moved - images) * STD).square().mean((1, 2, 3)).sqrt().cpu().numpy().astype(np.float64),
            proposed_misfit=before.cpu().numpy().astype(np.float64),
            corrected=True,
        )
        if isinstance(trained.flow, ImageFlow):
            samples = replace(samples, latents=trained.embedding.encode(moved).mean.cpu().numpy())
        images = moved
    evidence = gather_evidence(
        layer,
        images,
        noise=asked.noise,
        quiet=asked.quiet,
        epsilon=asked.epsilon if corrects else None,
        batch=batch,
        progress=part(progress, _CORRECTING_SHARE if corrects else 0, 1),
    )
    compared = consistency_of(
        layer, evidence.distances, trained.embed(asked.target, layer.view), trained.unrelated, batch
    )
    return replace(
        samples,
        evidence=evidence,
        consistency=compared.values,
        floor=compared.floor,
        ceiling=compared.ceiling,
    )


def _corrected(asked: _Asked, images: Tensor, batch: int, progress: Progress) -> tuple[Tensor, Tensor]:
    """The images within the tolerance, and their misfit before, in units of ε."""
    layer = asked.layer
    z = layer.value(layer.view.region)
    found, parts = [], images.split(batch)
    for k, some in enumerate(parts):
        heard = part(progress, k / len(parts), (k + 1) / len(parts))
        found.append(move_within(layer, asked.metric, some, z, asked.epsilon, progress=heard))
    moved, before = zip(*found, strict=True)
    return torch.cat(moved), torch.cat(before)


def _spread(images: Tensor) -> float:
    """Rms over pixels of the standard deviation, HU, of (n, 1, H, W)."""
    if len(images) < 2:
        return 0.0
    return float(images.var(0).mean().sqrt()) * STD


def check_question(trained: TrainedLayer, question: Question) -> None:
    """Raise VolumeError for a number of samples or a tolerance that is not possible."""
    if question.n < 1:
        raise VolumeError(f"{question.n} samples cannot be drawn", hint="Ask for one or more.")
    least, most = trained.tolerances or (0.0, float("inf"))
    if not question.tolerance > 0 or not least <= question.tolerance <= most:
        raise VolumeError(
            f"a tolerance of {question.tolerance:g} rescans is outside of what the flow was trained for",
            hint=f"Ask for {least:g} to {most:g}." if trained.tolerances else "Ask for more than 0.",
        )


def as_images(images_hu: np.ndarray, trained: TrainedLayer) -> Tensor:
    """(S, H, W) HU -> (S, 1, H, W) normalised on the networks' device, checked."""
    images = np.asarray(images_hu, np.float32)
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


def to_hu(images: Tensor) -> np.ndarray:
    """Normalised tensor -> float32 HU, of the same shape."""
    return denormalize(images).float().cpu().numpy()
