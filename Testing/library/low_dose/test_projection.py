"""The projector against closed forms and against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from closeness import assert_same
from skimage.data import shepp_logan_phantom
from skimage.transform import iradon, radon, resize

from CTInvarianceLib.low_dose.kernel import Kernel
from CTInvarianceLib.low_dose.projection import (
    ParallelBeam,
    filtered_back_projection,
    forward_project,
    ramp_filter,
)

hann = lambda cutoff: Kernel.hann(cutoff).window  # noqa: E731
MU, RADIUS = 0.0192, 90.0


def disc(size: int, pixel_mm: float, center: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
    """A disc of water, antialiased; (1, size, size)."""
    fine = 8
    g = (np.arange(size * fine) - (size * fine - 1) / 2) * pixel_mm / fine
    inside = (g[None] - center[0]) ** 2 + (g[:, None] - center[1]) ** 2 < RADIUS**2
    return torch.tensor(MU * inside.reshape(size, fine, size, fine).mean((1, 3)), dtype=torch.float32)[None]


@pytest.mark.parametrize("shape", [(128, 128), (100, 140)])
def test_line_integrals_of_an_off_center_disc_are_its_chords(shape):
    x0, y0 = 14.0, -3.0
    image = disc(160, 2.0, (x0, y0))
    rows, columns = ((160 - n) // 2 for n in shape)
    image = image[:, rows : 160 - rows, columns : 160 - columns]
    beam = ParallelBeam.covering(image.shape[1:], 2.0, 1.0, 60)
    cos, sin, _ = beam.directions()
    s = beam.positions() - (x0 * cos + y0 * sin)[:, None]
    chords = 2 * MU * (RADIUS**2 - s**2).clamp(min=0).sqrt()
    p = forward_project(image, 2.0, beam)[0]
    assert p.shape == (60, beam.detectors)
    assert (p - chords).abs().mean() < 0.005 * chords.mean()
    assert (p - chords).abs()[:, beam.positions().abs() < 70].max() < 0.01 * 2 * MU * RADIUS


def test_every_view_has_the_mass_of_the_image():
    image = torch.rand(2, 60, 80, generator=torch.Generator().manual_seed(0))
    beam = ParallelBeam.covering((60, 80), 1.5, 0.25, 24)
    mass = forward_project(image, 1.5, beam).sum(2) * beam.spacing_mm
    expected = image.sum((1, 2))[:, None].expand_as(mass) * 1.5**2
    torch.testing.assert_close(mass, expected, rtol=5e-3, atol=0)


def test_slices_are_projected_independently():
    image = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(1))
    beam = ParallelBeam.covering((40, 40), 1.0, 1.0, 20)
    stack = forward_project(image, 1.0, beam)
    assert_same(stack[1:2], forward_project(image[1:2], 1.0, beam))
    back = filtered_back_projection(stack, beam, (40, 40), 1.0)
    assert_same(back[2:], filtered_back_projection(stack[2:], beam, (40, 40), 1.0))


def test_moving_the_axis_is_moving_the_object():
    beam = ParallelBeam(30, 301, 1.0)
    moved = forward_project(disc(160, 2.0), 2.0, beam, center_mm=(-20.0, 8.0))
    torch.testing.assert_close(
        moved, forward_project(disc(160, 2.0, (20.0, -8.0)), 2.0, beam), rtol=0, atol=0.02
    )


def test_line_integrals_agree_with_scikit_image():
    image = resize(shepp_logan_phantom(), (128, 128), anti_aliasing=True).astype(np.float32)
    image *= np.hypot(*np.mgrid[-64:64, -64:64]) < 62
    # scikit-image turns counterclockwise around pixel size // 2, half a pixel from the middle.
    view, beam = 22.5, ParallelBeam(8, 129, 1.0)
    for n in range(8):
        reference = radon(image, theta=[-n * view], circle=True)[:, 0]
        p = forward_project(torch.tensor(image)[None], 1.0, beam, center_mm=(0.5, 0.5))[0, n, :-1].numpy()
        error = min(np.abs(np.roll(p, k) - reference).mean() for k in (0, 1))
        assert error < 0.02 * reference.mean()


def test_back_projection_returns_the_attenuation_of_a_disc():
    beam = ParallelBeam.covering((128, 128), 2.0, 1.0, 300)
    chords = 2 * MU * (RADIUS**2 - beam.positions() ** 2).clamp(min=0).sqrt()
    image = (
        filtered_back_projection(chords.expand(1, 300, -1), beam, (128, 128), 2.0, window=hann(0.3))[0] / MU
    )
    r = 2 * np.hypot(*np.mgrid[-63.5:64, -63.5:64])
    assert abs(image[r < 80].mean() - 1) < 1e-3
    assert (image[r < 80] - 1).abs().max() < 5e-3
    assert image[r > 100].abs().max() < 1e-2


def test_reconstruction_is_as_good_as_that_of_scikit_image():
    image = resize(shepp_logan_phantom(), (128, 128), anti_aliasing=True).astype(np.float32)
    theta = np.arange(200) * 180 / 200
    theirs = iradon(radon(image, theta=theta, circle=True), theta=theta, filter_name="ramp", circle=True)
    beam = ParallelBeam.covering((128, 128), 1.0, 1.0, 200)
    sinogram = forward_project(torch.tensor(image)[None], 1.0, beam)
    ours = filtered_back_projection(sinogram, beam, (128, 128), 1.0)[0].numpy()
    inside = np.hypot(*np.mgrid[-63.5:64, -63.5:64]) < 60
    error = [np.sqrt(((result - image)[inside] ** 2).mean()) for result in (ours, theirs)]
    assert error[0] < 1.05 * error[1]
    assert np.corrcoef(ours[inside], theirs[inside])[0, 1] > 0.98


def test_back_projection_is_nearly_the_adjoint_of_projection():
    """<A x, filtered q> = <x, A^T filtered q>: the filter commutes, so compare with the smooth window only."""
    generator = torch.Generator().manual_seed(3)
    beam = ParallelBeam.covering((64, 64), 1.0, 1.0, 120)
    x = torch.rand(1, 64, 64, generator=generator)
    q = torch.randn(1, 120, beam.detectors, generator=generator)
    length = 4 * beam.detectors
    response = ramp_filter(length, 1.0, hann(0.3), q.device)
    filtered = torch.fft.irfft(torch.fft.rfft(q, n=length) * response, n=length)[..., : beam.detectors]
    left = (forward_project(x, 1.0, beam) * filtered).sum() * math.pi / 120 * beam.spacing_mm
    right = (x * filtered_back_projection(q, beam, (64, 64), 1.0, window=hann(0.3))).sum()
    scale = x.norm() * filtered_back_projection(q, beam, (64, 64), 1.0, window=hann(0.3)).norm()
    assert abs(left - right) < 2e-3 * scale


def test_noise_in_the_image_center_has_the_closed_form_variance():
    """sigma^2 = (pi / V)^2 V ds var sum h^2 ds = pi^2 ds / V var integral |H|^2 df, for rays of equal variance."""
    beam = ParallelBeam.covering((64, 64), 1.0, 0.6, 200)
    cutoff, var = 0.4, 2.5
    f = np.linspace(0, cutoff, 2001)
    power = 2 * np.trapezoid((f * np.cos(np.pi / 2 * f / cutoff) ** 2) ** 2, f)
    expected = np.pi**2 * beam.spacing_mm / beam.views * var * power
    white = torch.randn(24, 200, beam.detectors, generator=torch.Generator().manual_seed(5)) * var**0.5
    image = filtered_back_projection(white, beam, (64, 64), 1.0, window=hann(cutoff))
    assert image.var().item() == pytest.approx(expected, rel=0.03)


def test_filter_keeps_the_mean_and_ends_at_the_cutoff():
    response = ramp_filter(2048, 0.5, hann(0.75), torch.device("cpu"))
    f = torch.fft.rfftfreq(2048, 0.5)
    expected = f * torch.cos(math.pi / 2 * (f / 0.75).clamp(max=1)) ** 2
    assert (response - expected).abs().max() < 1e-3
    assert 0 < response[0] < 1e-3  # not 0, as the kernel is sampled: this is what keeps the mean of an image
    assert response[f > 0.75].abs().max() < 1e-6
