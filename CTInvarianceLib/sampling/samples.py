"""Images that a layer cannot tell apart, and how faithful they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..base import Progress, VolumeError, part, unheard
from ..config import Question
from ..denoisers import View
from ..tensors import denormalize, normalize
from ..trust import consistency
from ..volumes import Region
from .drawing import TrainedLayer, draw

DRAWING_SHARE = 0.5  # of the time, the rest is measuring R; measured: 0.3 at late layers to 0.9 at early ones


@dataclass(frozen=True)
class Samples:
    """N images that have, as far as the method knows, the same z as the patch; all arrays numpy float32.

    Attributes:
        patch: (H, W), HU, the image that was asked about.
        denoised: (H, W), HU, f of it.
        target: (H, W), HU, what the embedding represents: the patch; in the full-dose domain the full-dose
            patch where there is one, else the denoised.
        embedded: (H, W), HU, what the embedding makes of the target: D(E(·)).
        images: (n, H, W), HU, the samples x̄.
        invariances: (n, d), or (n, c, h, w) of a grid: the v that were drawn.
        latents: z̄, the same shape; a grid that reaches beyond the patch where its sides do not divide.
        consistency: (n,), R; see docs/method.md and `trust.faithfulness.Consistency`.
        floor: of R, a distance in the units of z.
        ceiling: likewise.
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
    consistency: np.ndarray
    floor: float
    ceiling: float
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


@torch.inference_mode()
def sample_invariances(
    trained: TrainedLayer,
    images_hu: np.ndarray,
    question: Question,
    *,
    region: Region | None = None,
    full_dose_hu: np.ndarray | None = None,
    progress: Progress = unheard,
    on_drawn: Callable[[Sequence[Samples]], object] = lambda slab: None,
) -> list[Samples]:
    """Sample n images for every slice of a slab and say how faithful they are.

    Args:
        trained: denoiser, layer, embedding and flow.
        images_hu: (S, H, W), HU, low dose.
        question: how many samples of each slice, and the seed of v; denoiser, layer and domain are those of `trained`.
        region: the part of the slices that is sampled; the rest is what the denoiser sees around it. None: all.
        full_dose_hu: (S, H, W), HU, the full-dose partner, where there is one; sets the floor in that domain.
        progress: called after every batch.
        on_drawn: gets the samples as soon as they are drawn, before R is measured: it is NaN in them.

    Raises:
        VolumeError: a size that the embedding does not take, values that are not finite, or a region outside.
    """
    n, seed = question.n, question.seed
    if n < 1:
        raise VolumeError(f"{n} samples cannot be drawn", hint="Ask for one or more.")
    x = as_images(images_hu, trained)
    region = region or Region.whole(x)
    check_size(trained, region, x)
    view = trained.view(x, region)
    drawn = draw(
        trained,
        view,
        n=n,
        seeds=range(seed, seed + len(x)),
        tile=question.tile,
        progress=part(progress, 0, DRAWING_SHARE),
    )
    denoised = view.denoised(trained.denoiser)
    target = view.region if trained.domain == "low" else denoised
    if trained.domain == "full" and full_dose_hu is not None:
        target = region.of(as_images(full_dose_hu, trained))
    embedded = trained.embed(target, view)
    slab = [
        Samples(
            patch=region.of(torch.as_tensor(np.asarray(images_hu[k], np.float32))).numpy(),
            denoised=to_hu(denoised[k, 0]),
            target=to_hu(target[k, 0]),
            embedded=to_hu(embedded[k, 0]),
            images=to_hu(drawn.images[k]),
            invariances=drawn.invariances[k].cpu().numpy(),
            latents=drawn.latents[k].cpu().numpy(),
            consistency=np.full(n, np.nan),
            floor=np.nan,
            ceiling=np.nan,
            layer=trained.layer,
            domain=trained.domain,
            seed=seed + k,
        )
        for k in range(len(x))
    ]
    on_drawn(slab)
    checked = part(progress, DRAWING_SHARE, 1)
    return [
        _with_consistency(
            slab[k],
            trained,
            View(view.window[k : k + 1], view.inner),
            drawn.images[k],
            embedded[k : k + 1],
            part(checked, k / len(x), (k + 1) / len(x)),
        )
        for k in range(len(x))
    ]


def _with_consistency(
    samples: Samples, trained: TrainedLayer, view: View, images: Tensor, embedded: Tensor, progress: Progress
) -> Samples:
    """The samples of one slice, and R of them; images (n, H, W) and embedded (1, 1, H, W) normalised."""
    checked = consistency(
        trained.denoiser,
        trained.layer,
        z=view.representation(trained.denoiser, trained.layer),
        images=images[:, None],
        embedded=embedded,
        unrelated=trained.unrelated,
        view=view,
        progress=progress,
    )
    return replace(samples, consistency=checked.values, floor=checked.floor, ceiling=checked.ceiling)


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
            hint="Choose a patch of that size, or models with a spatial embedding, which take any.",
        )


def to_hu(images: Tensor) -> np.ndarray:
    """Normalised tensor -> float32 HU, of the same shape."""
    return denormalize(images).float().cpu().numpy()
