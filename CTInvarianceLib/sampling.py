"""v ~ N(0, 1) → z̄ = t⁻¹(v given z) → x̄ = D(z̄): images that a layer cannot tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .denoisers import representation
from .embedding import Embedding
from .errors import VolumeError
from .flow import LayerFlow
from .normalization import denormalize, normalize
from .trust import consistency, decode


@dataclass(frozen=True)
class TrainedLayer:
    """All that sampling at one layer of one denoiser in one domain needs.

    Attributes:
        denoiser: f, frozen.
        layer: where it is cut.
        domain: "low" or "full": which images the embedding represents.
        embedding: E and D of the domain.
        flow: t(· given z), trained for this denoiser, layer and domain.
        unrelated: (m, 1, H, W) normalised patches of the domain, for the ceiling of R.
    """

    denoiser: nn.Module
    layer: str
    domain: str
    embedding: Embedding
    flow: LayerFlow
    unrelated: Tensor


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
        invariances: (n, d), the v that were drawn.
        latents: (n, d), z̄.
        consistency: (n,), R; see docs/method.md and `trust.Consistency`.
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

    @property
    def mean(self) -> np.ndarray:
        """(H, W), HU."""
        return np.asarray(self.images.mean(axis=0))

    @property
    def std(self) -> np.ndarray:
        """(H, W), HU: how far the samples differ, pixel by pixel."""
        return np.asarray(self.images.std(axis=0, ddof=1 if len(self.images) > 1 else 0))


@torch.inference_mode()
def draw_images(
    trained: TrainedLayer, patch_hu: np.ndarray, *, n: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The bare draw, without a check: images (n, 1, H, W) normalised, latents and invariances (n, d)."""
    x = as_image(patch_hu, trained)
    z = representation(trained.denoiser, x, trained.layer)
    return _draw(trained, z, n=n, seed=seed)


@torch.inference_mode()
def sample_invariances(
    trained: TrainedLayer,
    patch_hu: np.ndarray,
    *,
    n: int = 250,
    seed: int = 0,
    full_dose_hu: np.ndarray | None = None,
) -> Samples:
    """Sample n images and say how faithful they are.

    Args:
        trained: denoiser, layer, embedding and flow.
        patch_hu: (H, W), HU, low dose; as large as the embedding's patches.
        n: number of samples.
        seed: of v; the same seed on the same device gives the same images.
        full_dose_hu: (H, W), HU, the full-dose partner, where there is one; sets the floor in that domain.

    Raises:
        VolumeError: the patch has another size or holds values that are not finite.
    """
    if n < 1:
        raise VolumeError(f"{n} samples cannot be drawn", hint="Ask for one or more.")
    x = as_image(patch_hu, trained)
    z = representation(trained.denoiser, x, trained.layer)
    images, latents, invariances = _draw(trained, z, n=n, seed=seed)
    denoised = trained.denoiser(x)
    target = x if trained.domain == "low" else denoised
    if trained.domain == "full" and full_dose_hu is not None:
        target = as_image(full_dose_hu, trained)
    embedded = trained.embedding.decode(trained.embedding.encode(target).mean)
    checked = consistency(
        trained.denoiser, trained.layer, z=z, images=images, embedded=embedded, unrelated=trained.unrelated
    )
    return Samples(
        patch=np.asarray(patch_hu, np.float32),
        denoised=to_hu(denoised)[0],
        target=to_hu(target)[0],
        embedded=to_hu(embedded)[0],
        images=to_hu(images),
        invariances=invariances.cpu().numpy(),
        latents=latents.cpu().numpy(),
        consistency=checked.values,
        floor=checked.floor,
        ceiling=checked.ceiling,
        layer=trained.layer,
        domain=trained.domain,
        seed=seed,
    )


def _draw(trained: TrainedLayer, z: Tensor, *, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(n, *trained.embedding.latent_shape, generator=generator).to(z)
    latents = trained.flow.inverse(v, z)
    return decode(trained.embedding, latents), latents, v


def as_image(patch_hu: np.ndarray, trained: TrainedLayer) -> Tensor:
    """(H, W) HU -> (1, 1, H, W) normalised on the networks' device, checked."""
    patch, size = np.asarray(patch_hu, np.float32), trained.embedding.patch_size
    if patch.shape != (size, size):
        raise VolumeError(
            f"the patch has shape {patch.shape}, these models were trained on {size}×{size} pixels"
        )
    if not np.isfinite(patch).all():
        raise VolumeError(f"{np.count_nonzero(~np.isfinite(patch))} pixels of the patch are not finite")
    return normalize(torch.from_numpy(patch)[None, None]).to(trained.unrelated)


def to_hu(images: Tensor) -> np.ndarray:
    """(n, 1, H, W) normalised -> (n, H, W) float32 HU."""
    return denormalize(images[:, 0]).float().cpu().numpy()
