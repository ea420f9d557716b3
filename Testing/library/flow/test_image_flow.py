"""The flow of images: a bijection with the right likelihood, that starts from the closed form."""

from __future__ import annotations

import math

import pytest
import torch
from textures import spectrum, texture

from CTInvarianceLib.flow import ConvolutionalFlow, ImageFlow, Seen, explained
from CTInvarianceLib.tensors import RINGS, ring_counts

SIDE = 16


def flow_of(*, posterior: bool = True, seed: int = 0) -> ImageFlow:
    """A flow whose parts are all at work."""
    torch.manual_seed(seed)
    flow = ImageFlow(
        ConvolutionalFlow(16, ImageFlow.maps(4), 2, 1, 8, condition_width=8), posterior=posterior
    )
    for parameter in flow.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    flow.share.copy_(torch.rand(RINGS) + 0.5)
    flow.gain.copy_(torch.rand(RINGS) + 0.1)
    flow.knots.copy_(torch.tensor([-5.0, -4, -3, -2, -1, 0]))
    flow.follow.copy_(0.8 + 0.4 * torch.rand(6, RINGS, 2))
    flow.log_factors.copy_(0.3 * torch.randn(6, RINGS))
    return flow.double().eval()


def seen_of(count: int, side: int = SIDE, seed: int = 1) -> Seen:
    estimate, start = texture(count, side, seed=seed), texture(count, side, seed=seed + 1)
    epsilon = torch.linspace(0.005, 0.05, count)
    noise = spectrum().power.expand(count, -1)
    return Seen(estimate.double(), start.double(), epsilon.double(), noise.double())


@pytest.mark.parametrize("posterior", [True, False])
def test_there_and_back(posterior):
    flow, seen, images = flow_of(posterior=posterior), seen_of(5, 32), texture(5, 32, seed=8).double()
    with torch.no_grad():
        v, log_det = flow(images, seen)
        assert v.shape == (5, 16, 8, 8)
        assert log_det.shape == (5,)
        torch.testing.assert_close(
            flow.inverse(v, seen), images, rtol=0, atol=1e-6
        )  # the basis is kept in single precision


@pytest.mark.parametrize("posterior", [True, False])
def test_the_determinant_is_that_of_automatic_differentiation(posterior):
    flow, seen, image = flow_of(posterior=posterior), seen_of(1), texture(1, SIDE, seed=8).double()

    def forward(pixels):
        return flow(pixels.reshape(1, 1, SIDE, SIDE), seen)[0].flatten()

    jacobian = torch.autograd.functional.jacobian(forward, image.flatten())
    with torch.no_grad():
        _, log_det = flow(image, seen)
        likelihood = flow.log_prob(image, seen)
        v = forward(image.flatten())
    known = float(torch.linalg.slogdet(jacobian).logabsdet)
    assert float(log_det) == pytest.approx(known, abs=1e-3)
    normal = -0.5 * float(v.square().sum() + len(v) * math.log(2 * math.pi))
    assert float(likelihood) == pytest.approx(normal + known, abs=1e-3)


def test_one_thing_seen_stands_for_all_samples():
    flow, seen = flow_of(), seen_of(1, 32)
    v = torch.randn(3, 16, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        together = flow.inverse(v, seen)
        for k in range(3):
            torch.testing.assert_close(together[k : k + 1], flow.inverse(v[k : k + 1], seen))


def test_neither_scale_nor_copies_of_z_change_anything():
    """ε and the root of the gain have the units of z: only their ratio counts."""
    flow, seen = flow_of(), seen_of(2, 32)
    scaled = Seen(seen.estimate, seen.start, 7 * seen.epsilon, seen.noise)
    with torch.no_grad():
        known = flow.condition(seen), flow.variance(seen)
        flow.gain.mul_(49)
        torch.testing.assert_close(flow.condition(scaled), known[0])
        torch.testing.assert_close(flow.variance(scaled), known[1])


def test_the_closed_form_is_found_where_it_holds():
    """White whitened images, and a mean that is the Wiener filter's, from nothing but pairs."""
    flow = ImageFlow(ConvolutionalFlow(16, ImageFlow.maps(4), 2, 1, 8))
    count, side = 96, 64
    images, epsilon = texture(count, side, seed=3), torch.full((count,), 0.03)
    seen_with = images + 0.03 * torch.randn(images.shape, generator=torch.Generator().manual_seed(4))
    noise = spectrum().power.expand(count, -1)
    # The identity: x̂ and Ψ are what was seen, as if nobody knew how much of it is noise.
    seen = Seen(seen_with * 0.7, seen_with, epsilon, noise)
    flow.fit_linear(images, seen)
    power = spectrum().on(side, side)
    wiener = torch.fft.irfft2(torch.fft.rfft2(seen_with) * power / (power + 0.03**2), s=(side, side))
    off = (flow.base(seen) - wiener).square().mean().sqrt()
    assert float(off) < 0.1 * float((images - wiener).square().mean().sqrt())
    assert float(flow.whitened(images, seen).var()) == pytest.approx(1, abs=0.05)


def test_where_nothing_can_be_followed_nothing_is():
    """A layer that deletes everything: x̂ is Ψ(z). Another image's x̂ that is not must not explode."""
    flow = ImageFlow(ConvolutionalFlow(16, ImageFlow.maps(4), 2, 1, 8))
    images, nothing = texture(32, 32, seed=3), torch.zeros(32, 1, 32, 32)
    noise = spectrum().power.expand(32, -1)
    flow.fit_linear(images, Seen(nothing + 1e-9 * images, nothing, torch.ones(32), noise))
    other = Seen(texture(1, 32, seed=9), texture(1, 32, seed=10), torch.ones(1), noise[:1])
    assert float(flow.base(other).abs().max()) < 5 * float(texture(1, 32, seed=9).abs().max())


def test_what_is_missing_is_a_share_of_the_noise_and_something_that_is_always_there():
    generator = torch.Generator().manual_seed(4)
    noise = torch.exp(2 * torch.randn(200, 1, generator=generator)).expand(-1, RINGS) * torch.linspace(
        1, 3, RINGS
    )
    share, extra = torch.linspace(0.2, 0.9, RINGS), torch.linspace(2.0, 0.05, RINGS)
    counts = ring_counts(64, noise).clamp_min(1)
    chance = torch.distributions.Gamma(counts / 2, counts / 2)
    torch.manual_seed(5)
    found = explained((share * noise + extra) * chance.sample((200,)), noise, 64)
    for got, known in zip(found, (share, extra), strict=True):
        assert got[4:] == pytest.approx(known[4:], rel=0.15)
    alike = noise.mean(0).expand(200, -1)  # nothing to tell them apart by: then all is a share
    share, extra = explained(0.5 * alike, alike, 64)
    assert float((extra / alike[0]).max()) < 1e-3
    without_chance = 0.5 / torch.exp(torch.special.digamma(counts / 2) - (counts / 2).log())
    assert share[4:] == pytest.approx(without_chance[4:], rel=0.02)
