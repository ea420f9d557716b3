"""Samples within a tolerance against the closed form: linear layers and Gaussian images."""

from __future__ import annotations

import pytest
import torch
from textures import Filter, blur, spectrum, texture
from torch import nn

from CTInvarianceLib.base import Cancelled, VolumeError
from CTInvarianceLib.denoisers import Chen, View, Yang, layers, start_as_identity
from CTInvarianceLib.tensors import Spectrum, power_of, ring_means
from CTInvarianceLib.tolerance import (
    LocalLayer,
    Metric,
    Noise,
    measure_gain,
    misfit,
    most_probable,
    move_within,
    one_rescan,
    start_of,
)
from CTInvarianceLib.volumes import Region

SIDE, COUNT = 64, 192


def whole(denoiser: nn.Module, image: torch.Tensor, layer: str = "1") -> LocalLayer:
    return LocalLayer(denoiser, layer, View(image, Region.whole(image)))


def metric_of(layer: LocalLayer, side: int = SIDE) -> Metric:
    layer.linearize(layer.view.region)
    return Metric(spectrum().on(side, side), measure_gain(layer, side, side))


def corrected_prior(
    denoiser: nn.Module, tau: float, *, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The road without a flow: prior samples, corrected; the image, the samples and ε."""
    image = texture(1, SIDE, seed=seed + 77)
    layer = whole(denoiser, image)
    metric = metric_of(layer)
    epsilon = tau * one_rescan(layer, Noise(spectrum(), 0.25))
    generator = torch.Generator().manual_seed(seed)
    z = layer.value(image)
    prior = texture(COUNT, SIDE, seed=seed + 1)
    samples = most_probable(
        layer,
        metric,
        start=prior,
        prior=prior,
        wanted=z + epsilon * torch.randn(COUNT, *z.shape[1:], generator=generator),
        epsilon=torch.tensor(epsilon).reshape(1, 1, 1, 1),
        iterations=40,
    )
    return image, samples, epsilon


def closed_form(denoiser: Filter, epsilon: float) -> torch.Tensor:
    """S ε² / (G² S + ε²), on the half plane; the gain's square counts every copy."""
    power, gain = spectrum().on(SIDE, SIDE), denoiser.plane(SIDE, SIDE).square() * denoiser.copy.copies
    return power * epsilon**2 / (gain * power + epsilon**2)


@pytest.mark.parametrize("tau", [0.25, 1.0])
def test_variance_and_mean_of_corrected_prior_samples_are_the_closed_forms(tau):
    denoiser = Filter(blur)
    image, samples, epsilon = corrected_prior(denoiser, tau)
    expected = closed_form(denoiser, epsilon)
    found = power_of(samples - samples.mean(0)).mean(0)[0] * COUNT / (COUNT - 1)
    ratio = ring_means(found, SIDE) / ring_means(expected, SIDE)
    assert ratio[3:] == pytest.approx(torch.ones(30), abs=0.06)  # rings of few frequencies vary by chance
    assert float(found.mean() / expected.mean()) == pytest.approx(1, abs=0.03)
    # The mean is that of the Wiener filter, within its error.
    gain = denoiser.plane(SIDE, SIDE)
    mean = torch.fft.rfft2(image) * gain.square() * expected / epsilon**2
    off = torch.fft.rfft2(samples.mean(0)) - mean[0]
    error = (off.abs().square()[0] / SIDE**2) / (expected / COUNT)
    assert float(error[2:-2, 2:].mean()) == pytest.approx(1, abs=0.15)


def test_scaled_and_copied_layers_are_asked_the_same():
    _, known, epsilon = corrected_prior(Filter(), 0.5)
    for other in (Filter(scale=7.0), Filter(copies=8)):
        _, samples, scaled = corrected_prior(other, 0.5)
        assert scaled == pytest.approx(epsilon * (7 if other.scale == 7 else 8**0.5), rel=1e-4)
        assert float(samples.var(0).mean() / known.var(0).mean()) == pytest.approx(1, abs=0.05)
    power = spectrum().on(SIDE, SIDE)
    expected = (power * epsilon**2 / (power + epsilon**2)).mean()
    assert float(known.var(0).mean() / expected) == pytest.approx(1, abs=0.05)


def test_a_layer_that_deletes_everything_leaves_the_prior():
    _, samples, epsilon = corrected_prior(Filter(torch.zeros_like), 0.5)
    assert epsilon == 0.5  # any would do
    assert Spectrum.of(samples).power[3:] == pytest.approx(spectrum().power[3:], rel=0.1)


def test_a_deleted_texture_comes_back_and_nothing_else():
    denoiser = Filter(lambda f: ((f < 0.1) | (f > 0.2)).float())
    _, samples, epsilon = corrected_prior(denoiser, 0.25)
    left = ring_means(power_of(samples - samples.mean(0)).mean(0)[0], SIDE) / spectrum().power
    frequency = torch.linspace(0, 0.5**0.5, 33)
    deleted, kept = (frequency > 0.12) & (frequency < 0.18), (frequency > 0.24) & (frequency < 0.4)
    assert left[deleted] == pytest.approx(torch.ones(int(deleted.sum())), abs=0.1)
    assert float(left[kept].max()) < 0.35
    assert closed_form(denoiser, epsilon).max() > 0


@pytest.mark.parametrize(("build", "layer"), [(Chen, "3"), (Chen, "5"), (Yang, "8")])
def test_networks_are_met_within_the_tolerance(build, layer):
    torch.manual_seed(0)
    network = build().eval().requires_grad_(False)
    start_as_identity(network)
    image = texture(1, 48, seed=3) + 0.3
    view = View(texture(1, 64, seed=4) + 0.3, Region(8, 8, 48, 48))
    view = View(view.with_region(image), view.inner)
    local = LocalLayer(network, layer, view)
    metric = metric_of(local, 48)
    epsilon = 0.5 * one_rescan(local, Noise(spectrum(), 0.25))
    z, far = local.value(image), image + texture(6, 48, seed=5)
    moved, before = move_within(local, metric, far, z, epsilon)
    after = misfit(local, local.value(moved), z) / epsilon
    assert float(before.min()) > 1.5
    torch.testing.assert_close(before, misfit(local, local.value(far), z) / epsilon)
    assert float(after.max()) < 1.1
    again, _ = move_within(local, metric, moved, z, epsilon * 1.2)
    assert torch.equal(again, moved)  # what lies within stays


def test_the_move_is_the_smallest_that_there_is():
    """For a linear layer: against the exact minimum-norm move with a Lagrange multiplier, in the metric."""
    denoiser, image = Filter(blur), texture(1, SIDE, seed=9)
    layer = whole(denoiser, image)
    metric = metric_of(layer)
    z, epsilon = layer.value(image), 0.5 * one_rescan(layer, Noise(spectrum(), 0.25))
    far = image + texture(4, SIDE, seed=10)
    moved, _ = move_within(layer, metric, far, z, epsilon)
    gain, flat = denoiser.plane(SIDE, SIDE), metric.posterior(torch.tensor(epsilon).reshape(1, 1, 1, 1))[0, 0]
    residual = torch.fft.rfft2(z - layer.value(far))
    low, high = torch.full((4, 1, 1, 1), 1e-9), torch.full((4, 1, 1, 1), 1e3)
    for _ in range(60):
        middle = (low * high).sqrt()
        left = residual * middle / (gain.square() * flat + middle)
        size = torch.fft.irfft2(left, s=(SIDE, SIDE)).square().mean((1, 2, 3), keepdim=True)
        low, high = torch.where(size < epsilon**2, middle, low), torch.where(size < epsilon**2, high, middle)
    best = torch.fft.irfft2(residual * flat * gain / (gain.square() * flat + low), s=(SIDE, SIDE))

    def length(move):
        return (torch.fft.rfft2(move).abs().square() / flat).sum((1, 2, 3)).sqrt()

    assert float((length(moved - far) / length(best)).max()) < 1.1


def test_a_move_can_be_cancelled():
    def stop(fraction):
        raise Cancelled

    image = texture(1, SIDE)
    layer = whole(Filter(blur), image)
    metric = metric_of(layer)
    with pytest.raises(Cancelled):
        move_within(layer, metric, image + texture(2, SIDE, seed=1), layer.value(image), 1e-3, progress=stop)


def test_noise_is_known_from_a_partner_from_a_scan_and_from_an_image():
    full, noise = texture(1, 128, seed=1) / 2, texture(1, 128, seed=2)
    inserted = (
        noise * 0.75**0.5
    )  # a quarter of the dose: three quarters of the low dose's variance are inserted
    between = Noise.between(full + inserted, full, 0.25)
    assert between.deviation() == pytest.approx(0.06, rel=0.05)
    assert Noise.of_scan(noise, 0.25).deviation() == pytest.approx(0.06, rel=0.05)
    image = noise + 1.0
    image[..., 40:, 60:] += 0.8  # an edge
    assert Noise.within(image, 0.25).deviation() == pytest.approx(0.06, rel=0.2)
    drawn = between.draw(16, 64, 64, generator=torch.Generator().manual_seed(0))
    assert float(drawn.std()) == pytest.approx(between.deviation(), rel=0.05)
    with pytest.raises(VolumeError, match="8×128"):
        Noise.within(image[..., :8, :], 0.25)


def test_where_an_image_starts():
    torch.manual_seed(0)
    chen, x = Chen().eval(), torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        z = LocalLayer(chen, "3", View(x, Region.whole(x))).value(x)
        torch.testing.assert_close(start_of(chen, "3")(z), chen(x))
        output = chen(x)
        assert torch.equal(start_of(chen, layers(chen)[-1])(output), output)

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 1, 3, padding=1)

        def forward(self, x):
            return x - self.two(self.one(x))

    assert not start_of(Skip(), "one")(torch.randn(2, 3, 32, 32)).any()
