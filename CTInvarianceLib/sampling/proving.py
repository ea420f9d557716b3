"""Samples proposed, brought within the tolerance, and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..base import Progress, part, unheard
from ..config import Question
from ..flow import LayerFlow
from ..tensors import STD, batch_size, normalize
from ..tolerance import move_within
from ..trust import consistency_of, gather_evidence
from ..volumes import Region
from .asked import Asked, as_images, ask, check_memory, check_question, check_size
from .drawing import TrainedLayer, draw
from .gaussian_drawing import draw_without_flow
from .image_drawing import draw_images
from .samples import Samples, to_hu

_DRAWING_SHARE, _GAUSSIAN_SHARE = 0.15, 0.9  # of the time, the rest is correcting and measuring
_CORRECTING_SHARE = 0.7  # of that rest


def drawing_share(*, flow: bool) -> float:
    """Of the time, until the samples are drawn, by a flow or without one."""
    return _DRAWING_SHARE if flow else _GAUSSIAN_SHARE


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
    check_memory(trained, question, region, len(x))
    full = None if full_dose_hu is None else as_images(full_dose_hu, trained)
    noise = None if noise_hu is None else as_images(noise_hu, trained) - normalize(x.new_zeros(()))
    asked = [
        ask(
            trained,
            x[k : k + 1],
            question,
            region,
            None if full is None else full[k : k + 1],
            None if noise is None else noise[k : k + 1],
        )
        for k in range(len(x))
    ]
    share = drawing_share(flow=trained.flow is not None)
    drawn = part(progress, 0, share)
    seen = x if proposals_for is None else as_images(proposals_for, trained)
    slab = list(_drawn(trained, seen, asked, question, region, drawn))
    on_drawn([samples for samples, _ in slab])
    proved = part(progress, share, 1)
    return [
        _proved(trained, each, samples, images, part(proved, k / len(x), (k + 1) / len(x)))
        for k, (each, (samples, images)) in enumerate(zip(asked, slab, strict=True))
    ]


def _drawn(
    trained: TrainedLayer,
    seen: Tensor,
    asked: Sequence[Asked],
    question: Question,
    region: Region,
    progress: Progress,
) -> Iterator[tuple[Samples, Tensor]]:
    """The samples as the flow proposes them, and their images (n, 1, H, W), normalised."""
    n, seed, count = question.n, question.seed, len(asked)
    at_once = None
    if isinstance(trained.flow, LayerFlow):
        seeds = range(seed, seed + count)
        view = trained.view(seen, region)
        at_once = draw(trained, view, n=n, seeds=seeds, tile=question.tile, progress=progress)
    for k, each in enumerate(asked):
        heard = part(progress, k / count, (k + 1) / count)
        if at_once is not None:
            images, v, latents = at_once.images[k][:, None], at_once.invariances[k], at_once.latents[k]
        else:
            if trained.flow is None:
                images, v = draw_without_flow(each, n=n, seed=seed + k, progress=heard)
            else:
                images, v = draw_images(
                    trained,
                    seen[k : k + 1],
                    region,
                    each.epsilon,
                    each.noise,
                    n=n,
                    seed=seed + k,
                    tile=question.tile,
                    progress=heard,
                )
            latents = trained.embedding.encode(images).mean
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
                from_flow=trained.flow is not None,
                layer=trained.layer,
                domain=trained.domain,
                seed=seed + k,
            ),
            images,
        )


def _proved(
    trained: TrainedLayer, asked: Asked, samples: Samples, images: Tensor, progress: Progress
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
        if not isinstance(trained.flow, LayerFlow):
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


def _corrected(asked: Asked, images: Tensor, batch: int, progress: Progress) -> tuple[Tensor, Tensor]:
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
