"""Power spectra against images made with them."""

from __future__ import annotations

import pytest
import torch
from textures import spectrum, texture

from CTInvarianceLib.tensors import RINGS, Spectrum, filtered, on_plane, ring_means


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
