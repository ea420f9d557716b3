"""The noise power spectrum against noise whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.low_dose import FlatPatches, NoiseSpectrum
from CTInvarianceLib.low_dose.kernel import Kernel
from CTInvarianceLib.low_dose.noise_spectrum import detrended, patch_spectrum
from CTInvarianceLib.low_dose.robust_spectrum import measure_spectrum


def plane(f: np.ndarray, power: np.ndarray, size: int, pixel_mm: float, *, seed: int) -> np.ndarray:
    """Gaussian noise (size, size) with NPS(f) interpolated from a table, HU^2 mm^2."""
    white = np.fft.fft2(np.random.default_rng(seed).standard_normal((size, size)))
    axis = np.fft.fftfreq(size, pixel_mm)
    nps = np.interp(np.hypot(*np.meshgrid(axis, axis)), f, power)
    return np.fft.ifft2(white * np.sqrt(nps) / pixel_mm).real


def fbp_like(cutoff: float, sigma: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """NPS = c f cos^4(pi f / (2 cutoff)) with variance sigma^2 = integral of 2 pi f NPS df."""
    f = np.linspace(0, cutoff, 400)
    power = f * np.cos(np.pi / 2 * f / cutoff) ** 4
    return f, power * sigma**2 / np.trapezoid(2 * np.pi * f * power, f)


def test_white_noise_has_the_power_of_its_variance_times_the_area_of_a_pixel():
    patches = np.random.default_rng(0).normal(0, 7, (300, 24, 24))
    spectrum = patch_spectrum(detrended(patches), 0.8)
    above = spectrum.frequency > 0.15
    np.testing.assert_allclose(spectrum.power[above], 49 * 0.8**2, rtol=0.06)
    assert spectrum.frequency[-1] == pytest.approx(0.5 / 0.8, rel=0.05)
    assert spectrum.cells.sum() == pytest.approx(np.pi * 12**2, rel=0.1)


def test_trends_up_to_second_order_are_taken_away_and_waves_stay():
    y, x = np.mgrid[:20, :20] / 20
    trend = 3 + 5 * x - 2 * y + 30 * x * y - 9 * y * y
    wave = np.cos(2 * np.pi * 5 * x)
    np.testing.assert_allclose(detrended(np.stack([trend])), 0, atol=1e-10)
    np.testing.assert_allclose(detrended(np.stack([trend + wave]))[0], wave, atol=0.2)


@pytest.mark.parametrize("cutoff", [0.5, 0.7])
def test_a_spectrum_of_filtered_back_projection_is_found_again(cutoff):
    f, power = fbp_like(cutoff)
    images = np.stack([40 + plane(f, power, 256, 0.7, seed=k) for k in range(6)])
    spectrum = measure_spectrum(images, 0.7)
    ring = (spectrum.frequency > 0.1) & (spectrum.frequency < 0.7 * cutoff)
    expected = np.interp(spectrum.frequency, f, power)
    np.testing.assert_allclose(spectrum.smooth(spectrum.frequency)[ring], expected[ring], rtol=0.27)
    assert spectrum.peak() == pytest.approx(f[power.argmax()], rel=0.2)


def test_the_kernel_of_a_spectrum_makes_that_spectrum():
    f, power = fbp_like(0.7)
    rings = np.arange(1, 24) / 24 * 0.7
    kernel = Kernel.of_noise(NoiseSpectrum(rings, np.interp(rings, f, power), 6 * np.arange(1.0, 24), 0.7))
    at = torch.linspace(0.12, 0.45, 12)
    told, true = (k.window(at) / k.window(at[:1]) for k in (kernel, Kernel.hann(0.7)))
    torch.testing.assert_close(told, true, rtol=0, atol=0.02)
    assert kernel.window(torch.tensor([0.0])).item() == pytest.approx(1)
    assert kernel.window(torch.tensor([1.0, 5.0])).tolist() == [0, 0]


def test_bandwidth_and_power_of_a_kernel_are_those_of_its_window():
    kernel = Kernel.hann(0.65)
    f = np.linspace(0, 0.65, 5001)
    h = (f * np.cos(np.pi / 2 * f / 0.65) ** 2) ** 2
    assert kernel.power() == pytest.approx(2 * np.trapezoid(h, f), rel=1e-3)
    share = np.cumsum(h) / h.sum()
    assert kernel.bandwidth() == pytest.approx(f[np.searchsorted(share, 0.95)], abs=3e-3)


def test_edges_do_not_pass_for_noise():
    """A disc of other tissue in every image: its edge is avoided."""
    f, power = fbp_like(0.6)
    r = np.hypot(*np.mgrid[-127.5:128, -127.5:128])
    images = np.stack([plane(f, power, 256, 0.7, seed=k) + 90 * (r < 60 + 4 * k) for k in range(4)])
    spectrum = measure_spectrum(images, 0.7)
    ring = (spectrum.frequency > 0.08) & (spectrum.frequency < 0.4)
    expected = np.interp(spectrum.frequency, f, power)
    np.testing.assert_allclose(spectrum.power[ring], expected[ring], rtol=0.3)


def test_the_same_places_are_read_in_other_images():
    images = np.random.default_rng(0).normal(40, 9, (2, 96, 96))
    flat = FlatPatches.of(images, 1.0)
    assert flat.size == 24
    assert flat.read(images).shape == (len(flat.corners), 24, 24)
    np.testing.assert_allclose(flat.spectrum(3 * images).power, 9 * flat.spectrum(images).power)


def test_where_there_is_nothing_to_measure():
    assert measure_spectrum(np.full((2, 96, 96), -800.0), 1.0) is None
    assert measure_spectrum(np.full((2, 96, 96), 40.0), 1.0) is None
    assert measure_spectrum(np.random.default_rng(0).normal(40, 9, (2, 12, 12)), 1.0) is None
    wide = NoiseSpectrum(np.array([0.03, 0.06]), np.ones(2), np.ones(2), 8.0)
    with pytest.raises(VolumeError, match="too wide"):
        wide.smooth(np.array([0.05]))
