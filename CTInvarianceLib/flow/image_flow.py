"""The flow of one layer for the complete embedding: what the Gaussian posterior does not know yet."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tensors import (
    RINGS,
    Spectrum,
    fade,
    filtered,
    half_plane_weights,
    on_plane,
    piece_power,
    ring_counts,
    ring_means,
)
from .convolutional_flow import ConvolutionalFlow
from .missing_power import log_bias

_KNOTS = 6  # precisions at which variances are kept
_NOTHING = 1e-4  # of the power of the images
_AROUND = 3  # cells, sides of the neighbourhood that an energy is averaged over
_FAINTEST = 1e-7  # normalised units squared: energies below are nothing


@dataclass(frozen=True)
class Seen:
    """What z ± ε says about the image; sides multiples of the flow's `period`.

    Attributes:
        estimate: x̂, (N, 1, H, W), the most probable image for Gaussian noise around `start`.
        start: Ψ(z), (N, 1, H, W), or a constant where z alone does not determine it.
        epsilon: ε, (N,), in the units of z per pixel.
        noise: (N, RINGS), the power of the image's own noise: every scanner, kernel and dose has another.
    """

    estimate: Tensor
    start: Tensor
    epsilon: Tensor
    noise: Tensor

    def of(self, rows: Tensor | slice) -> Seen:
        """What is said about some of the images."""
        return Seen(self.estimate[rows], self.start[rows], self.epsilon[rows], self.noise[rows])


class ImageFlow(nn.Module):
    """v = t(x′ given z ± ε) for images x′ of any size.

    Where images around a known mean are Gaussian and stationary and Φ is linear, p_ε(x′ given z) is Gaussian with
    the mean x̂ and, per frequency, the variance C = S ε² / (G² S + ε²). So the image is first whitened,
    u = F* C^-½ F (x′ − x̂), and a convolutional flow on cells of f×f pixels of u has only to learn what is not so:
    where noise is stronger, where the layer lets less through, edges. The mean is A Ψ(z) + B (x̂ − Ψ(z)) and C
    that closed form times a factor, with A and B (about 1) and the factor fitted for every frequency and tolerance. In
    the full-dose domain there is no closed form: B, which leaves out the noise that only the low dose has, and C are
    measured.

    S is what Ψ(z) lacks: for every frequency a share of the power of the image's own noise, and some anatomy whatever
    the noise is (`explained`).

    x̂ is all that z says, to first order: a sufficient statistic of z ± ε for linear Φ and Gaussian noise, an image
    whatever the layer's channels are. So scaling Φ or copying it into more channels changes nothing.

    Args:
        flow: on cells, (N, f², h, w), conditioned on `maps(f)` maps.
        factor: f.
        posterior: whether x′ is the image that was seen, so that C has its closed form: the low-dose domain.
    """

    share: Tensor
    extra: Tensor
    gain: Tensor
    knots: Tensor
    follow: Tensor
    log_factors: Tensor
    basis: Tensor

    def __init__(self, flow: ConvolutionalFlow, *, factor: int = 4, posterior: bool = True) -> None:
        super().__init__()
        self.flow, self.factor, self.posterior = flow, factor, posterior
        self.register_buffer("share", torch.ones(RINGS))
        self.register_buffer("extra", torch.zeros(RINGS))
        self.register_buffer("gain", torch.ones(RINGS))
        self.register_buffer("knots", torch.linspace(-1, 1, _KNOTS))
        self.register_buffer("follow", torch.ones(_KNOTS, RINGS, 2))
        self.register_buffer("log_factors", torch.zeros(_KNOTS, RINGS))
        self.register_buffer("basis", _cosines(factor), persistent=False)

    @property
    def period(self) -> int:
        """Pixels by which images may be shifted without moving a cell of the coarsest scale; sides are multiples."""
        return self.factor * self.flow.multiple

    @staticmethod
    def maps(factor: int) -> int:
        """Number of condition maps for cells of factor × factor pixels."""
        return 2 * factor**2 + 1

    def planes(self, noise: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """S (N, 1, rows, columns // 2 + 1) of images with that noise (N, RINGS), and G², at `rfft2`'s frequencies."""
        own = Spectrum(noise * self.share + self.extra).on(rows, columns)[:, None]
        return own, Spectrum(self.gain).on(rows, columns)

    def condition(self, seen: Seen) -> Tensor:
        """(N, 2 f² + 1, h, w): what decides how far x′ may lie from its mean.

        The logarithms of the energies of x̂ − Ψ(z), which is noise for the most part, and of Ψ(z), which is anatomy,
        at every frequency of a cell and averaged over its neighbours; the mean of Ψ(z), which tells the tissue; and
        the precision. Energies have no sign: of single images a flow can learn little by heart from them.
        """
        anatomy = self.cells(seen.start)
        tissue = anatomy[:, :1]
        precision = self.precision(seen)[:, None, None, None].expand(-1, 1, *tissue.shape[2:])
        noise = self._log_energy(self.cells(seen.estimate - seen.start))
        return torch.cat((noise, self._log_energy(anatomy[:, 1:]), tissue, precision), dim=1)

    def _log_energy(self, cells: Tensor) -> Tensor:
        around = F.avg_pool2d(cells.square(), _AROUND, 1, _AROUND // 2, count_include_pad=False)
        return around.clamp_min(_FAINTEST).log()

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
        """What x′ is looked at as a difference from: A Ψ(z) + B (x̂ − Ψ(z)), (N, 1, H, W)."""
        own, change = (
            on_plane(self._at(self.follow[..., k], seen), *seen.start.shape[2:])[:, None] for k in range(2)
        )
        return filtered(seen.start, own) + filtered(seen.estimate - seen.start, change)

    def variance(self, seen: Seen) -> Tensor:
        """C, (N, 1, H, W // 2 + 1)."""
        factor = on_plane(self._at(self.log_factors, seen), *seen.start.shape[2:]).exp()
        return self._closed_form(seen) * factor[:, None]

    def whitened(self, images: Tensor, seen: Seen) -> Tensor:
        """u, (N, 1, H, W)."""
        return filtered(images - self.base(seen), self.variance(seen).rsqrt())

    def forward(self, images: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
        """v (N, f², h, w) and log|det ∂v/∂x′| (N,) in nats."""
        variance = self.variance(seen)
        cells = self.cells(filtered(images - self.base(seen), variance.rsqrt()))
        v, log_det = self.flow(cells, self.condition(seen))
        return v, log_det - 0.5 * _log_determinant(variance, images.shape[-1])

    def inverse(self, v: Tensor, seen: Seen) -> Tensor:
        """x′ (N, 1, H, W) with forward(x′, seen)[0] = v; one thing seen may stand for all."""
        return self.unwhitened(self.flow.inverse(v, self.condition(seen)), seen)

    def unwhitened(self, cells: Tensor, seen: Seen) -> Tensor:
        """x′ of the cells of u."""
        return self.base(seen) + filtered(self.images(cells), self.variance(seen).sqrt())

    def log_prob(self, images: Tensor, seen: Seen) -> Tensor:
        """log p_ε(x′ given z), (N,), nats."""
        v, log_det = self(images, seen)
        v = v.flatten(1)
        return log_det - 0.5 * (v.square().sum(1) + v.shape[1] * math.log(2 * math.pi))

    @torch.no_grad()
    def fit_linear(self, images: Tensor, seen: Seen) -> None:
        """Fit A and B, by least squares, and C, to what they leave, for every ring at some precisions."""
        precision, columns, window = self.precision(seen), images.shape[-1], fade(images)
        bins = precision.sort().indices.tensor_split(min(_KNOTS, len(precision)))
        knots = torch.stack([precision[rows].mean() for rows in bins])
        begun = torch.fft.rfft2(seen.start * window)
        change = torch.fft.rfft2((seen.estimate - seen.start) * window)
        wanted = torch.fft.rfft2(images * window) - begun - change

        def products(a: Tensor, b: Tensor) -> Tensor:
            rings = ring_means((a.conj() * b).real[:, 0], columns).double()
            return torch.stack([rings[rows].sum(0) for rows in bins])

        gram = torch.stack(
            [
                products(begun, begun),
                products(begun, change),
                products(begun, change),
                products(change, change),
            ],
            dim=-1,
        ).unflatten(-1, (2, 2))
        right = torch.stack([products(begun, wanted), products(change, wanted)], dim=-1)
        # Where x̂ is Ψ(z) there is nothing to tell B from: it stays 1.
        images_power = products(begun + change + wanted, begun + change + wanted)
        ridge = (_NOTHING * images_power + 1e-30)[..., None] * torch.eye(2).to(gram).diagonal()
        solution = torch.linalg.solve(gram + torch.diag_embed(ridge), right[..., None])[..., 0]
        follow = (1 + solution).to(self.follow)
        self._set(knots, follow, torch.zeros_like(follow[..., 0]))
        left = piece_power(images - self.base(seen), over=self._closed_form(seen))[:, 0]
        log_left = left.clamp_min(1e-6).log() - log_bias(ring_counts(columns, left))
        self._set(knots, follow, torch.stack([log_left[rows].mean(0) for rows in bins]))

    def _set(self, knots: Tensor, follow: Tensor, log_factors: Tensor) -> None:
        """Of fewer bins than knots, the last one stands for the rest."""
        for buffer, values in ((self.knots, knots), (self.follow, follow), (self.log_factors, log_factors)):
            buffer[: len(values)] = values
            buffer[len(values) :] = values[-1]

    def _at(self, values: Tensor, seen: Seen) -> Tensor:
        """(N, RINGS): values (knots, RINGS) at the precisions of what is seen; beyond the knots, the outermost."""
        precision = self.precision(seen)
        above = torch.searchsorted(self.knots, precision).clamp(1, len(self.knots) - 1)
        low, high = self.knots[above - 1], self.knots[above]
        share = ((precision - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)[:, None]
        return values[above - 1] * (1 - share) + values[above] * share

    def _closed_form(self, seen: Seen) -> Tensor:
        noise, gain = self.planes(seen.noise, *seen.start.shape[2:])
        if not self.posterior:
            return noise
        return 1 / (gain / seen.epsilon.square()[:, None, None, None] + 1 / noise)


def _log_determinant(variance: Tensor, columns: int) -> Tensor:
    """Σ log C over all frequencies, (N,)."""
    return (variance.log() * half_plane_weights(columns, variance)).flatten(1).sum(1)


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine transform of size × size pixels, (size², size²), a row a frequency."""
    k, n = torch.arange(size)[:, None], torch.arange(size)[None]
    line = torch.cos(math.pi * (n + 0.5) * k / size) * math.sqrt(2 / size)
    line[0] /= math.sqrt(2)
    return torch.einsum("ai,bj->abij", line, line).reshape(size**2, size**2)
