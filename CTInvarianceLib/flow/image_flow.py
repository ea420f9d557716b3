"""The flow of one layer for the complete embedding: what the Gaussian posterior does not know yet."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import ConfigError
from ..tensors import RINGS, Spectrum, filtered, on_plane, power_of, ring_means
from .convolutional_flow import ConvolutionalFlow
from .grid_regression import GridRegression

_SCORING_STEPS = 12


@dataclass(frozen=True)
class Seen:
    """What z ± ε says about the image; sides multiples of the flow's `period`.

    Attributes:
        estimate: x̂, (N, 1, H, W), the most probable image for Gaussian noise around `start`.
        start: Ψ(z), (N, 1, H, W), or a constant where z alone does not determine it.
        epsilon: ε, (N,), in the units of z per pixel.
    """

    estimate: Tensor
    start: Tensor
    epsilon: Tensor

    def split(self, count: int) -> list[Seen]:
        """Parts of `count` images."""
        parts = (tensor.split(count) for tensor in (self.estimate, self.start, self.epsilon))
        return [Seen(*each) for each in zip(*parts, strict=True)]


class ImageFlow(nn.Module):
    """v = t(x′ given z ± ε) for images x′ of any size.

    Where images around a known mean are Gaussian and stationary and Φ is linear, p_ε(x′ given z) is Gaussian with
    the mean x̂ and, per frequency, the variance C = S ε² / (G² S + ε²). So the image is first whitened,
    u = F* C^-½ F (x′ − x̂), and a convolutional flow on cells of f×f pixels of u has only to learn what is not so:
    where noise is stronger, where the layer lets less through, edges. C is that closed form times a factor that is
    measured for every frequency and tolerance. In the full-dose domain x′ follows Ψ(z) instead, and C is measured.

    x̂ is all that z says, to first order: a sufficient statistic of z ± ε for linear Φ and Gaussian noise, an image
    whatever the layer's channels are. So scaling Φ or copying it into more channels changes nothing.

    Args:
        flow: on cells, (N, f², h, w), conditioned on 2 f² + 1 maps.
        regression: what is left of the cells' mean, from the same maps.
        factor: f.
        follows: "estimate" or "start": what x′ is looked at as a difference from.
    """

    noise: Tensor
    gain: Tensor
    factors: Tensor
    basis: Tensor

    def __init__(
        self,
        flow: ConvolutionalFlow,
        regression: GridRegression,
        *,
        factor: int = 4,
        follows: str = "estimate",
    ) -> None:
        super().__init__()
        if follows not in {"estimate", "start"}:
            raise ConfigError("an image flow follows the estimate or the start", where=follows)
        self.flow, self.regression, self.factor, self.follows = flow, regression, factor, follows
        self.register_buffer("noise", torch.ones(RINGS))
        self.register_buffer("gain", torch.ones(RINGS))
        self.register_buffer("factors", torch.zeros(3, RINGS))
        self.register_buffer("basis", _cosines(factor), persistent=False)

    @property
    def period(self) -> int:
        """Pixels by which images may be shifted without moving a cell of the coarsest scale; sides are multiples."""
        return self.factor * self.flow.multiple

    @property
    def maps(self) -> int:
        """Condition maps."""
        return 2 * self.factor**2 + 1

    def planes(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """S and G² at the frequencies of `rfft2`."""
        return Spectrum(self.noise).on(rows, columns), Spectrum(self.gain).on(rows, columns)

    def condition(self, seen: Seen) -> Tensor:
        """(N, 2 f² + 1, h, w): the cells of x̂ and Ψ(z), and how exactly z is known."""
        cells = self.cells(seen.estimate)
        precision = self.precision(seen)[:, None, None, None].expand(-1, 1, *cells.shape[2:])
        return torch.cat((cells, self.cells(seen.start), precision), dim=1)

    def precision(self, seen: Seen) -> Tensor:
        """Log of ε over the layer's mean gain, (N,): about the log of the difference in the image that ε stands for."""
        mean = Spectrum(self.gain).on(64, 64).mean().sqrt()
        return torch.log(seen.epsilon / mean)

    def cells(self, images: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, f², H/f, W/f): the cosine transform of every cell."""
        return F.conv2d(F.pixel_unshuffle(images, self.factor), self.basis[:, :, None, None])

    def images(self, cells: Tensor) -> Tensor:
        """The inverse of `cells`."""
        return F.pixel_shuffle(F.conv2d(cells, self.basis.T[:, :, None, None]), self.factor)

    def base(self, seen: Seen) -> Tensor:
        """What x′ is looked at as a difference from."""
        return seen.estimate if self.follows == "estimate" else seen.start

    def variance(self, seen: Seen) -> Tensor:
        """C, (N, 1, H, W // 2 + 1)."""
        return (
            self._closed_form(seen) * on_plane(self._log_factors(seen), *seen.start.shape[2:]).exp()[:, None]
        )

    def whitened(self, images: Tensor, seen: Seen) -> Tensor:
        """u, (N, 1, H, W)."""
        return filtered(images - self.base(seen), self.variance(seen).rsqrt())

    def forward(self, images: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
        """v (N, f², h, w) and log|det ∂v/∂x′| (N,) in nats."""
        h, variance = self.condition(seen), self.variance(seen)
        cells = self.cells(filtered(images - self.base(seen), variance.rsqrt()))
        v, log_det = self.flow(cells - self.regression(h), h)
        return v, log_det - 0.5 * _log_determinant(variance, images.shape[-1])

    def inverse(self, v: Tensor, seen: Seen) -> Tensor:
        """x′ (N, 1, H, W) with forward(x′, seen)[0] = v; one thing seen may stand for all."""
        h = self.condition(seen)
        return self.unwhitened(self.flow.inverse(v, h) + self.regression(h), seen)

    def unwhitened(self, cells: Tensor, seen: Seen) -> Tensor:
        """x′ of the cells of u."""
        return self.base(seen) + filtered(self.images(cells), self.variance(seen).sqrt())

    def log_prob(self, images: Tensor, seen: Seen) -> Tensor:
        """log p_ε(x′ given z), (N,), nats."""
        v, log_det = self(images, seen)
        v = v.flatten(1)
        return log_det - 0.5 * (v.square().sum(1) + v.shape[1] * math.log(2 * math.pi))

    @torch.no_grad()
    def fit_variance(self, images: Tensor, seen: Seen) -> None:
        """Measure the factors of C: quadratic in log ε for every ring, by Fisher scoring of the periodograms."""
        self.factors.zero_()
        closed = self._closed_form(seen)
        found = ring_means(power_of(images - self.base(seen)) / closed, images.shape[-1])[:, 0]
        design = self._design(seen)
        logs = torch.linalg.lstsq(design, found.clamp_min(1e-12).log()).solution
        for _ in range(_SCORING_STEPS):
            expected = (design @ logs).exp()
            logs = logs + torch.linalg.lstsq(design, found / expected - 1).solution.clamp(-1, 1)
        self.factors.copy_(logs)

    def _closed_form(self, seen: Seen) -> Tensor:
        noise, gain = self.planes(*seen.start.shape[2:])
        if self.follows == "start":
            return noise.expand(len(seen.epsilon), 1, -1, -1)
        return 1 / (gain / seen.epsilon.square()[:, None, None, None] + 1 / noise)

    def _log_factors(self, seen: Seen) -> Tensor:
        return self._design(seen) @ self.factors

    def _design(self, seen: Seen) -> Tensor:
        precision = self.precision(seen)
        return torch.stack((torch.ones_like(precision), precision, precision.square()), dim=1)


def _log_determinant(variance: Tensor, columns: int) -> Tensor:
    """Σ log C over all frequencies, (N,), of which the half plane holds some for two."""
    twice = variance.new_full((variance.shape[-1],), 2.0)
    twice[0] = 1
    if columns % 2 == 0:
        twice[-1] = 1
    return (variance.log() * twice).flatten(1).sum(1)


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine transform of size × size pixels, (size², size²), a row a frequency."""
    k, n = torch.arange(size)[:, None], torch.arange(size)[None]
    line = torch.cos(math.pi * (n + 0.5) * k / size) * math.sqrt(2 / size)
    line[0] /= math.sqrt(2)
    return torch.einsum("ai,bj->abij", line, line).reshape(size**2, size**2)
