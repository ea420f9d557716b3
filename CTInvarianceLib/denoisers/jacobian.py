"""The derivative of a layer at an image, exact: J v and Jᵀ u, for any torch module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cut import layer_chain, representation

_PROBE, _TOLERANCE = 40, 1e-5


class Jacobian(ABC):
    """J = ∂Φ/∂x at images x (N, 1, H, W): the linear map from changes of the images to changes of z.

    Attributes:
        value: z = Φ(x), (N, C, h, w).
    """

    value: Tensor

    @abstractmethod
    def forward(self, v: Tensor) -> Tensor:
        """J v, (M, C, h, w), for v (M, 1, H, W); M = N, or any number where N = 1."""

    @abstractmethod
    def transpose(self, u: Tensor) -> Tensor:
        """Jᵀ u, (M, 1, H, W), for u (M, C, h, w)."""


class Linearizer:
    """Makes the Jacobians of one layer.

    A plain chain of convolutions of stride 1 and ReLUs is worked off by hand, as fast forwards as backwards; that
    it is one is tried out. Any other module is differentiated: Jᵀ u by automatic differentiation, J v as the
    derivative of Jᵀ u with respect to u, which it is linear in.

    Args:
        denoiser: f = Ψ∘Φ, frozen.
        layer: where it is cut.

    Raises:
        LayerError: no such layer.
    """

    def __init__(self, denoiser: nn.Module, layer: str) -> None:
        self.denoiser, self.layer = denoiser, layer
        self.chain = _plain_chain(denoiser, layer)

    def at(self, x: Tensor) -> Jacobian:
        """J at images (N, 1, H, W)."""
        if self.chain is not None:
            return _ChainJacobian(self.chain, x)
        return _ModuleJacobian(self.denoiser, self.layer, x)

    def value(self, x: Tensor) -> Tensor:
        """Φ(x) alone."""
        return representation(self.denoiser, x, self.layer)


class _Convolution:
    """A convolution that keeps the size, and its transpose as a convolution."""

    def __init__(self, module: nn.Conv2d) -> None:
        weight = module.weight.detach()
        self.weight = weight
        self.bias = None if module.bias is None else module.bias.detach()
        self.flipped = weight.transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)
        self.padding = tuple(k // 2 for k in weight.shape[2:])

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)

    def forward(self, v: Tensor) -> Tensor:
        return F.conv2d(v, self.weight, padding=self.padding)

    def transpose(self, u: Tensor) -> Tensor:
        return F.conv2d(u, self.flipped, padding=self.padding)


class _ChainJacobian(Jacobian):
    def __init__(self, chain: list[_Convolution | None], x: Tensor) -> None:
        self.steps: list[_Convolution | Tensor] = []
        for step in chain:
            if step is not None:
                x = step(x)
                self.steps.append(step)
            else:
                self.steps.append(x > 0)
                x = x.clamp_min(0)
        self.value = x

    def forward(self, v: Tensor) -> Tensor:
        for step in self.steps:
            v = v * step if isinstance(step, Tensor) else step.forward(v)
        return v

    def transpose(self, u: Tensor) -> Tensor:
        for step in reversed(self.steps):
            u = u * step if isinstance(step, Tensor) else step.transpose(u)
        return u


class _ModuleJacobian(Jacobian):
    def __init__(self, denoiser: nn.Module, layer: str, x: Tensor) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            self.x = x.detach().clone().requires_grad_()
            self.z = representation(denoiser, self.x, layer)
            self.value = self.z.detach()
            self.u = torch.zeros_like(self.z, requires_grad=True)
            # A constant layer hangs on no image: its derivative is zero.
            self.pulled = (
                torch.autograd.grad(self.z, self.x, self.u, create_graph=True, allow_unused=True)[0]
                if self.z.requires_grad
                else None
            )

    def forward(self, v: Tensor) -> Tensor:
        if self.pulled is None or not self.pulled.requires_grad:
            return self.value.new_zeros(len(v), *self.value.shape[1:])
        return _one_by_one(len(self.x), v, lambda part: self._grad(self.pulled, self.u, part))

    def transpose(self, u: Tensor) -> Tensor:
        if self.pulled is None:
            return self.x.new_zeros(len(u), *self.x.shape[1:])
        return _one_by_one(len(self.x), u, lambda part: self._grad(self.z, self.x, part))

    @staticmethod
    def _grad(of: Tensor | None, to: Tensor, along: Tensor) -> Tensor:
        assert of is not None
        with torch.inference_mode(False), torch.enable_grad():
            return torch.autograd.grad(of, to, along.clone(), retain_graph=True)[0]


def _one_by_one(count: int, many: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """Products of as many as there are images, or of any number with a single image's derivative."""
    return product(many) if len(many) == count else torch.cat([product(one) for one in many.split(1)])


@torch.no_grad()
def _plain_chain(denoiser: nn.Module, layer: str) -> list[_Convolution | None] | None:
    """Convolutions, and None for each ReLU, if these are all that Φ does; else None."""
    chain: list[_Convolution | None] = []
    for module in layer_chain(denoiser, layer):
        if isinstance(module, nn.Conv2d) and _keeps_size(module):
            chain.append(_Convolution(module))
        elif isinstance(module, nn.ReLU):
            chain.append(None)
        elif not isinstance(module, nn.Identity):
            return None
    like = next(denoiser.parameters(), torch.empty(0))
    x = torch.randn(2, 1, _PROBE, _PROBE, generator=torch.Generator().manual_seed(0)).to(like)
    z = representation(denoiser, x, layer)
    found = _ChainJacobian(chain, x).value
    if found.shape != z.shape or (found - z).abs().max() > _TOLERANCE * z.abs().max():
        return None
    return chain


def _keeps_size(module: nn.Conv2d) -> bool:
    same = module.padding in ("same", tuple(k // 2 for k in module.kernel_size))
    odd = all(k % 2 for k in module.kernel_size)
    plain = module.stride == module.dilation == (1, 1) and module.groups == 1
    return same and odd and plain and module.padding_mode == "zeros"
