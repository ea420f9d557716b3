"""A layer at a region of an image, with its derivative: what a change of the region changes in the region's z."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..denoisers import Jacobian, Linearizer, View


class LocalLayer:
    """Φ and J restricted to a region: pixels of the region in, the region's part of z out.

    What surrounds the region stays as it is in the image.

    Args:
        denoiser: f = Ψ∘Φ, frozen.
        layer: where it is cut.
        view: one image's region, or as many as there are images in every call.

    Attributes:
        passes: images that went through the network, or through J or Jᵀ, so far.
    """

    def __init__(
        self, denoiser: nn.Module, layer: str, view: View, linearizer: Linearizer | None = None
    ) -> None:
        self.view = view
        self.linearizer = linearizer or Linearizer(denoiser, layer)
        self.passes = 0
        self._jacobian: Jacobian | None = None

    @property
    def pixels(self) -> int:
        """P, of the region."""
        return self.view.inner.height * self.view.inner.width

    def value(self, images: Tensor) -> Tensor:
        """Φ at the region, (n, C, h, w), of images (n, 1, H, W) put in its place."""
        self.passes += len(images)
        return self.view.cut(self.linearizer.value(self.view.with_region(images)))

    def linearize(self, images: Tensor) -> Tensor:
        """Φ likewise; J and Jᵀ are from now on those at these images."""
        self.passes += len(images)
        self._jacobian = self.linearizer.at(self.view.with_region(images))
        return self.view.cut(self._jacobian.value)

    def forward(self, v: Tensor) -> Tensor:
        """J v, (n, C, h, w), for changes v (n, 1, H, W) of the region."""
        self.passes += len(v)
        window = v.new_zeros(len(v), 1, *self.view.window.shape[-2:])
        self.view.inner.of(window).copy_(v)
        return self.view.cut(self._at().forward(window))

    def transpose(self, u: Tensor) -> Tensor:
        """Jᵀ u, (n, 1, H, W), for u (n, C, h, w)."""
        self.passes += len(u)
        whole = u.new_zeros(len(u), *self._at().value.shape[1:])
        self.view.cut(whole).copy_(u)
        return self.view.inner.of(self._at().transpose(whole))

    def _at(self) -> Jacobian:
        assert self._jacobian is not None, "linearize comes first"
        return self._jacobian


def misfit(layer: LocalLayer, found: Tensor, z: Tensor) -> Tensor:
    """‖Φ(x′) − z‖ / √P of every image, (n,)."""
    return (found - z).flatten(1).norm(dim=1) / layer.pixels**0.5


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ of every image, (n, 1, 1, 1)."""
    return torch.as_tensor((a * b).flatten(1).sum(1)[:, None, None, None])
