"""Power spectra against images made with them."""

from __future__ import annotations

import pytest
import torch
from textures import spectrum, texture

from CTInvarianceLib.tensors import (
    RINGS,
    Spectrum,
    filtered,
    on_plane,
    piece_power,
    power_of,
    ring_means,
    smoothed,
)


@pytest.mark.parametrize("side", [32, 63, 64, 128])
def test_white_noise_has_its_variance_everywhere(side):
    noise = 3 * torch.randn(64, 1, side, side, generator=torch.Generator().manual_seed(0))
    power = Spectrum.of(noise).power
    assert power.shape == (RINGS,)
    assert power[3:-3] == pytest.approx(torch.full((RINGS - 6,), 9.0), rel=0.12)


def test_a_spectrum_is_found_again_in_images_of_another_size():
    known, found = spectrum(), Spectrum.of(texture(64, 96))
    assert found.power[2:] == pytest.approx(known.power[2:], rel=0.12)
    assert float(texture(64, 128).var()) == pytest.approx(0.06**2, rel=0.05)


@pytest.mark.parametrize("shape", [(32, 48), (33, 47), (16, 16)])
def test_rings_of_a_plane_of_rings_are_the_rings(shape):
    rings = torch.linspace(1, 3, RINGS)
    plane = on_plane(rings, *shape)
    assert plane.shape == (shape[0], shape[1] // 2 + 1)
    assert ring_means(plane, shape[1])[1:] == pytest.approx(rings[1:], rel=0.06)


def test_a_filter_of_ones_changes_nothing():
    images = torch.randn(2, 1, 30, 41)
    torch.testing.assert_close(filtered(images, torch.ones(30, 21)), images)


def soft_kernel() -> Spectrum:
    """Power that falls to a thousandth within a few rings, as behind a soft kernel."""
    frequency = torch.linspace(0, 2**-0.5, RINGS)
    return Spectrum(0.001 + torch.exp(-((frequency / 0.42) ** 8)))


def test_a_piece_has_the_power_of_what_it_is_cut_from():
    """Taken as periodic, its edges would lie on top of what the kernel has left."""
    known = soft_kernel()
    pieces = texture(40, 192, of=known)[..., 50:114, 30:94]
    found, periodic = piece_power(pieces[:, 0]).mean(0), ring_means(power_of(pieces)[:, 0], 64).mean(0)
    assert found[26:32] == pytest.approx(known.power[26:32], rel=0.3)
    assert float((periodic / known.power)[26:30].min()) > 2


def test_a_smoothed_spectrum_follows_the_end_of_a_kernel_and_loses_the_chance():
    known = soft_kernel()
    rough = piece_power(texture(60, 192, of=known)[:, 0, 50:114, 30:94])
    off = (smoothed(rough) / rough.mean(0)).log()
    assert float(off[:, 18:32].mean(0).abs().max()) < 0.25  # a polynomial of degree 5 is off by 0.7 and more
    assert float(off[:, 3:10].std(0).mean()) < 0.8 * float(
        (rough / rough.mean(0)).log()[:, 3:10].std(0).mean()
    )
