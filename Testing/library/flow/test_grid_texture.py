"""The convolutional flow against a closed form: what is left of a stationary Gaussian texture, given a blurred one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from CTInvarianceLib.flow import ConvolutionalFlow, GridRegression
from CTInvarianceLib.models import for_convolutions

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

# Bounds are about twice the worst of several seeds and processors, which take training elsewhere.
SIDE, PATCH, BORDER = 128, 64, 16
FIELDS, STEPS = 600, 500
CONDITIONS, SAMPLES = 32, 8
NOISE = 0.1


def frequency(side: int) -> Tensor:
    """Radial frequency of every component of a discrete Fourier transform, in cycles per cell."""
    axis = torch.fft.fftfreq(side, dtype=torch.float64)
    return torch.hypot(axis[:, None], axis)


SPECTRUM = 1 / (1 + (frequency(SIDE) / 0.12) ** 2) ** 2 + 0.02
SPECTRUM = SPECTRUM / SPECTRUM.mean()
"""S, of the texture x; variance 1."""
BLUR = torch.exp(-((frequency(SIDE) / 0.15) ** 2))
"""H: z = H∗x + white noise of variance N."""
LEFT = SPECTRUM * NOISE / (BLUR**2 * SPECTRUM + NOISE)
"""C = S N / (H² S + N), of x − E(x given z)."""
WIENER = BLUR * SPECTRUM / (BLUR**2 * SPECTRUM + NOISE)
ENTROPY = 0.5 * math.log(2 * math.pi * math.e) + 0.5 * float(LEFT.log().mean())
"""h(x given z), nats per cell."""


def filtered(images: Tensor, transfer: Tensor) -> Tensor:
    return torch.fft.ifft2(torch.fft.fft2(images.double()) * transfer).real.float()


def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """n textures x and what is seen of them, z; (n, 1, 128, 128) on a torus, each."""
    x = filtered(torch.randn(n, 1, SIDE, SIDE, generator=generator), SPECTRUM.sqrt())
    return x, filtered(x, BLUR) + NOISE**0.5 * torch.randn(x.shape, generator=generator)


def patches(images: Tensor) -> Tensor:
    parts = images.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    return parts.permute(0, 2, 3, 1, 4, 5).reshape(-1, 1, PATCH, PATCH)


@dataclass(frozen=True)
class Trained:
    regression: GridRegression
    flow: ConvolutionalFlow

    def sample(self, z: Tensor, generator: torch.Generator) -> Tensor:
        return self.flow.inverse(torch.randn(z.shape, generator=generator), z) + self.regression(z)


def fit_to_textures(*, fields: int, steps: int, shuffled: bool = False) -> Trained:
    """A flow of pairs, or of textures with what is seen of others."""
    x, z = (patches(part) for part in draw(fields, torch.Generator().manual_seed(0)))
    z = z.roll(len(z) // fields, 0) if shuffled else z
    pairs = list(zip(z.split(64), x.split(64), strict=True))
    regression = GridRegression(1, 1, 7)
    regression.fit(pairs)
    rest = torch.cat([part - regression(seen) for seen, part in pairs])
    flow = for_convolutions(ConvolutionalFlow(1, 1, levels=2, steps=4, hidden=16, condition_width=16))
    flow.fit(rest, z, steps=steps, batch_size=4, learning_rate=6e-3, max_norm=1000.0)
    return Trained(regression, flow)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return fit_to_textures(fields=FIELDS, steps=STEPS)


@pytest.fixture(scope="module")
def wrong() -> Trained:
    return fit_to_textures(fields=64, steps=50, shuffled=True)


@torch.no_grad()
def divergence(trained: Trained) -> tuple[float, float]:
    """What −log p(x given z) has more than the entropy, and more than the truth has of the same draws; nats per cell.

    The second is an unbiased estimate of the Kullback-Leibler divergence, whatever was drawn.
    """
    above_entropy, above_truth = [], []
    for seed in range(8):
        x, z = draw(8, torch.Generator().manual_seed(1000 + seed))
        nll = -trained.flow.log_prob(x - trained.regression(z), z).double() / SIDE**2
        missed = torch.fft.fft2((x - filtered(z, WIENER)).double()).abs().square() / SIDE**2
        truth = 0.5 * math.log(2 * math.pi) + 0.5 * (LEFT.log() + missed / LEFT).mean((1, 2, 3))
        above_entropy.append(nll - ENTROPY)
        above_truth.append(nll - truth)
    return float(torch.cat(above_entropy).mean()), float(torch.cat(above_truth).mean())


def test_likelihood_reaches_the_entropy_and_never_beats_it(trained):
    above_entropy, above_truth = divergence(trained)
    assert -0.002 < above_entropy < 0.015
    assert 0 < above_truth < 0.012


def test_the_likelihood_of_a_flow_that_saw_the_conditions_of_others_is_told_by_far(wrong):
    assert min(divergence(wrong)) > 0.1


WINDOW = torch.hann_window(SIDE - 2 * BORDER, dtype=torch.float64)
WINDOW = WINDOW[:, None] * WINDOW


def windowed_spectrum(images: Tensor) -> Tensor:
    """Mean power of images (n, 1, 128, 128), away from the borders and under a Hann window."""
    inner = images[..., BORDER:-BORDER, BORDER:-BORDER].double()
    return torch.fft.fft2(inner * WINDOW).abs().square().mean((0, 1)) / WINDOW.square().sum()


def expected_spectrum(spectrum: Tensor) -> Tensor:
    """What `windowed_spectrum` has as expectation: the autocovariance times that of the window, transformed."""
    side = len(WINDOW)
    lags = torch.arange(2 * side).add(side).remainder(2 * side).sub(side)  # 0 … side − 1, −side … −1
    covariance = torch.fft.ifft2(spectrum).real[lags.remainder(SIDE)][:, lags.remainder(SIDE)]
    window = torch.fft.ifft2(torch.fft.fft2(WINDOW, (2 * side, 2 * side)).abs().square()).real
    return torch.fft.fft2(covariance * window).real[::2, ::2] / WINDOW.square().sum()


EDGES = (0.0, 0.05, 0.08, 0.11, 0.14, 0.17, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.72)


def in_bins(spectrum: Tensor) -> Tensor:
    f = frequency(len(WINDOW))
    pairs = pairwise(EDGES)
    return torch.stack([spectrum[(f >= low) & (f < high)].mean() for low, high in pairs])


@torch.no_grad()
def test_the_truth_as_drawn_has_the_expected_spectrum():
    x, z = draw(300, torch.Generator().manual_seed(5))
    ratio = in_bins(windowed_spectrum(x - filtered(z, WIENER))) / in_bins(expected_spectrum(LEFT))
    assert (ratio - 1).abs().max() < 0.05


@torch.no_grad()
def spectra(trained: Trained, conditions: int) -> tuple[Tensor, Tensor]:
    """Of samples about the conditional mean and of their mean's error, in bins, over the closed form's; (n, bins)."""
    generator = torch.Generator().manual_seed(1)
    left, missed = [], []
    for _ in range(conditions):
        _, z = draw(1, generator)
        known = filtered(z, WIENER)
        samples = trained.sample(z.expand(SAMPLES, -1, -1, -1), generator)
        mean = samples.mean(0, keepdim=True)
        left.append(in_bins(windowed_spectrum(samples - known)))
        # The mean of so many samples has that share of their own variance besides.
        own = in_bins(windowed_spectrum(samples - mean)) / (SAMPLES - 1)
        missed.append(in_bins(windowed_spectrum(mean - known)) - own)
    expected = in_bins(expected_spectrum(LEFT))
    return torch.stack(left) / expected, torch.stack(missed) / expected


def test_samples_have_the_conditional_mean_and_spectrum(trained):
    """What is left at the lowest frequencies takes a flow longest to learn."""
    ratio, bias = spectra(trained, CONDITIONS)
    standard_error = ratio.std(0) / CONDITIONS**0.5
    assert standard_error.max() < 0.04, "enough samples for the bounds"
    assert (ratio.mean(0) - 1).abs().max() < 0.3
    assert bias.mean(0).max() < 0.05


def test_the_spectrum_of_a_flow_that_saw_the_conditions_of_others_is_told_by_far(wrong):
    ratio, bias = spectra(wrong, 4)
    assert (ratio.mean(0) - 1).abs().max() > 1
    assert bias.mean(0).max() > 0.5
