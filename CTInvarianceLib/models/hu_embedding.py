"""An embedding that takes and gives HU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base import ModelsError, VolumeError
from ..embedding import Embedding, Posterior
from ..tensors import denormalize, normalize


class HUEmbedding:
    """An embedding that takes and gives HU; numpy in, numpy out, tensors in, tensors out."""

    def __init__(self, embedding: Embedding, device: torch.device) -> None:
        self.module, self._device = embedding, device

    @torch.inference_mode()
    def encode(self, image_hu: Any) -> Posterior:
        """(H, W) or (N, H, W) HU -> posterior whose mean and std are (d,) or (c, h, w), or N of them.

        Of an image whose sides do not divide by the grid's cells, the last cells lie partly outside: the image is
        continued there.

        Raises:
            VolumeError: a size that the embedding does not take, or values that are not finite.
        """
        images = self._tensor(image_hu)
        if not images.numel() or not images.isfinite().all():
            raise VolumeError("the image is empty or holds values that are not finite")
        size = self.module.patch_size
        if self.module.fixed_size and images.shape[-2:] != (size, size):
            raise VolumeError(
                f"an image of {tuple(images.shape[-2:])} pixels, this embedding takes {size}×{size}",
                hint="Cut the image to that size.",
            )
        posterior = self.module.encode(normalize(images.reshape(-1, 1, *images.shape[-2:])))
        parts: list[Any] = [p if images.ndim == 3 else p[0] for p in (posterior.mean, posterior.std)]
        return Posterior(*(p if isinstance(image_hu, Tensor) else p.cpu().numpy() for p in parts))

    @torch.inference_mode()
    def decode(self, latent: Any, denoised_hu: Any = None) -> Any:
        """One latent or N -> (H, W) or (N, H, W) HU, as many pixels as all cells have.

        Args:
            latent: (d,) or (c, h, w), or N of them.
            denoised_hu: (H, W), HU, the denoised image, for a guided decoder only.

        Raises:
            ModelsError: a guided decoder without the denoised image, or the other way round.
        """
        if self.module.guided != (denoised_hu is not None):
            needs = "needs the denoised image" if self.module.guided else "takes no denoised image"
            raise ModelsError(f"the decoder of these models {needs}")
        latents = self._tensor(latent)
        single = latents.ndim == len(self.module.latent_shape)
        guides: tuple[Tensor, ...] = ()
        if denoised_hu is not None:
            guides = (normalize(self._tensor(denoised_hu))[None, None],)
        images = denormalize(self.module.decode(latents[None] if single else latents, *guides))[:, 0]
        images = images[0] if single else images
        return images if isinstance(latent, Tensor) else images.cpu().numpy()

    def _tensor(self, values: Any) -> Tensor:
        if not isinstance(values, Tensor):
            values = np.array(values, np.float32)  # a copy: torch warns of arrays that may not be written
        return torch.as_tensor(values, dtype=torch.float32, device=self._device)
