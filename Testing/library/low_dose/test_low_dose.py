"""Inserted noise against closed forms, and against the noise of real CT."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from real_scans import SCANNERS

from CTInvarianceLib import CTVolume, read_volume, simulate_low_dose
from CTInvarianceLib.base import ConfigError, VolumeError
from CTInvarianceLib.low_dose import Attenuator, FlatPatches, dose_noise, photons_for_noise, soft_tissue_noise
from CTInvarianceLib.low_dose.kernel import Kernel
from CTInvarianceLib.low_dose.noise_level import FlatWindows, window_size
from CTInvarianceLib.low_dose.projection import ParallelBeam
from CTInvarianceLib.low_dose.scan_kernel import scan_kernel
from CTInvarianceLib.low_dose.scanner import MU_WATER, Scanner
from CTInvarianceLib.phantoms import phantom_pair

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = Scanner(None, bow_tie=0, modulation=0)  # parallel rays of equal fluence, for closed forms


def ellipse(a: float, b: float, size: int = 128, pixel_mm: float = 2.5, hu: float = 0.0) -> np.ndarray:
    g = (np.arange(size) - (size - 1) / 2) * pixel_mm
    return np.where((g[None] / a) ** 2 + (g[:, None] / b) ** 2 < 1, hu, -1000.0).astype(np.float32)


def volume(*slices: np.ndarray, pixel_mm: float = 2.5) -> CTVolume:
    return CTVolume(np.stack(slices), np.diag([pixel_mm, pixel_mm, 3.0, 1.0]))


def added(volume: CTVolume, **settings) -> np.ndarray:
    return simulate_low_dose(volume, **settings).hu - volume.hu


def test_full_dose_is_the_image_itself():
    hu = np.random.default_rng(0).normal(0, 300, (2, 40, 40)).astype(np.float32)
    result = simulate_low_dose(CTVolume(hu, np.eye(4)), dose=1)
    assert result.hu.dtype == np.float32
    assert np.array_equal(result.hu, hu)
    whole = CTVolume(hu.astype(np.int16), np.diag([0.7, 0.7, 3, 1]))
    assert np.array_equal(simulate_low_dose(whole, dose=1.0).hu, whole.hu)


@pytest.mark.parametrize("dose", [0, -0.1, 1.01, math.nan, math.inf])
def test_a_dose_that_is_no_fraction_is_refused(dose):
    with pytest.raises(ConfigError, match="dose"):
        simulate_low_dose(volume(ellipse(60, 60, 32, 5.0)), dose=dose)


@pytest.mark.parametrize(
    "setting", [{"photons": 0}, {"electronic_noise": -1}, {"kernel_cutoff": 2.0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError):
        simulate_low_dose(volume(ellipse(60, 60, 32, 5.0)), **setting)


def test_pixels_that_are_not_square_are_refused():
    with pytest.raises(VolumeError, match="square"):
        simulate_low_dose(CTVolume(np.zeros((1, 32, 32), np.float32), np.diag([1.0, 1.2, 3.0, 1.0])))


def test_seed_and_slice_index_decide_the_noise():
    slice_ = ellipse(60, 50, 48, 4.0)
    one = added(volume(slice_, slice_, slice_, pixel_mm=4.0), seed=1)
    again = added(volume(slice_, slice_, pixel_mm=4.0), seed=1)
    assert np.array_equal(one[:2], again)
    assert not np.array_equal(one[0], one[1])
    assert abs(np.corrcoef(one[0].ravel(), one[1].ravel())[0, 1]) < 0.2
    assert not np.array_equal(one, added(volume(slice_, slice_, slice_, pixel_mm=4.0), seed=2))


def test_geometry_and_padding_stay():
    hu = ellipse(100, 80, 64, 4.0)
    hu[:5] = -1024
    low = simulate_low_dose(volume(hu, pixel_mm=4.0))
    assert np.array_equal(low.affine, volume(hu, pixel_mm=4.0).affine)
    assert np.array_equal(low.hu[0][:5], hu[:5])
    assert low.hu.dtype == np.float32
    assert np.std(low.hu[0][5:] - hu[5:]) > 0.5


@pytest.mark.parametrize(("dose", "original", "s"), [(1.0, None, 0.0), (0.25, 1.0, 0.0), (0.1, 1.0, 30.0)])
def test_noise_in_the_middle_of_a_water_cylinder(dose, original, s):
    """Closed form: gain of FBP times the variance of the central ray, with its counting and electronic parts."""
    radius, n0, pixel = 100.0, 1e5, 1.0
    image = ellipse(radius, radius, 224, pixel)
    inverse = math.exp(0.0192 * 2 * radius) / n0

    def variance(d: float) -> float:
        return inverse / d + (s * inverse / d) ** 2

    wanted = variance(dose) - (variance(original) if original else 0)
    f = np.linspace(0, 0.65, 2001)
    power = 2 * np.trapezoid((f * np.cos(np.pi / 2 * f / 0.65) ** 2) ** 2, f)
    sigma = 1000 / 0.0192 * math.sqrt(np.pi**2 * 0.6 / 1000 * power * wanted)
    settings = {"dose": dose, "original_dose": original, "photons": n0, "electronic_noise": s}
    noise = [dose_noise(image, pixel, seed=k, kernel_cutoff=0.65, **settings) for k in range(6)]
    measured = np.sqrt(np.mean([n[97:127, 97:127].var() for n in noise]))
    assert measured == pytest.approx(sigma, rel=0.05)
    if original is None and s == 0:
        assert photons_for_noise(image, pixel, sigma, seen_at_mm=pixel) == pytest.approx(n0, rel=0.03)


def test_noise_has_no_mean_and_a_ramp_spectrum_with_a_soft_end():
    noise = np.stack([dose_noise(ellipse(75, 75, 160, 1.0), 1.0, dose=1, original_dose=None, photons=1e5, seed=k)
                      for k in range(8)])  # fmt: skip
    middle = noise[:, 48:112, 48:112]
    assert abs(middle.mean()) < 0.05 * middle.std()
    power = (np.abs(np.fft.fft2(middle * np.outer(np.hanning(64), np.hanning(64)))) ** 2).mean(0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    band = [power[(f >= low) & (f < low + 0.04)].mean() for low in (0.02, 0.08, 0.16, 0.34, 0.46)]
    assert band[0] < 0.8 * band[1] < 0.8 * band[2]
    assert band[2] > band[3] > band[4]
    # Ramp times the square of Hann, cutoff 0.65 per mm.
    h = [c * np.cos(np.pi / 2 * c / 0.65) ** 4 for c in (0.10, 0.36)]
    assert band[3] / band[1] == pytest.approx(h[1] / h[0], rel=0.25)


def test_noise_streaks_along_the_long_axis_of_the_body():
    """Rays across the shoulders see the fewest photons: noise that varies from row to row, streaks along rows."""
    noise = dose_noise(ellipse(190, 90), 2.5, dose=0.25, original_dose=None, photons=3e5, seed=0)[
        44:84, 44:84
    ]
    across, along = (np.mean(np.diff(noise, axis=axis) ** 2) for axis in (0, 1))
    assert across > 2 * along
    round_ = dose_noise(ellipse(120, 120), 2.5, dose=0.25, original_dose=None, photons=3e5, seed=0)[
        44:84, 44:84
    ]
    across, along = (np.mean(np.diff(round_, axis=axis) ** 2) for axis in (0, 1))
    assert across == pytest.approx(along, rel=0.25)


def test_noise_is_greater_in_the_middle_than_at_the_skin_and_a_bow_tie_evens_it_out():
    ratio = []
    for scanner in (PLAIN, Scanner(bow_tie=1)):
        noise = dose_noise(
            ellipse(150, 150), 2.5, dose=1, original_dose=None, photons=1e5, seed=0, scanner=scanner
        )
        ratio.append(noise[54:74, 54:74].std() / noise[54:74, 4:12].std())
    assert ratio[0] > 1.5
    assert ratio[1] < 0.75 * ratio[0]


def test_a_bow_tie_makes_the_counts_behind_its_cylinder_equal():
    """bow_tie = 1 and parallel rays: fluence times exp(-chord) is the same for all rays of the cylinder."""
    beam = ParallelBeam(4, 301, 1.0)
    chords = 2 * MU_WATER * (150.0**2 - beam.positions() ** 2).clamp(min=0).sqrt()
    p = chords.expand(1, 4, -1)
    counts = Scanner(None, bow_tie=1, modulation=0).fluence(p, beam, field_mm=300.0) * (-p).exp()
    assert counts.std() < 1e-4 * counts.mean()
    fan = Scanner(600.0, bow_tie=0, modulation=0).fluence(p, beam, 300.0)[0, 0]
    torch.testing.assert_close(fan, 1 / (1 - (beam.positions() / 600) ** 2).sqrt(), rtol=1e-5, atol=0)


def test_tube_current_is_the_square_root_of_the_attenuation_from_where_the_tube_stands():
    """p = a + b cos 2 theta in every ray: the current is its exponential at the tube's angle, theta -+ gamma."""
    beam, source = ParallelBeam(180, 201, 2.0), 500.0
    theta = torch.arange(180.0)[:, None] * math.pi / 180
    p = (3 + torch.cos(2 * theta)).expand(1, 180, 201)
    current = Scanner(source, bow_tie=0, modulation=1).fluence(p, beam, 400.0)[0]
    gamma = torch.asin(beam.positions() / source)
    m = [torch.exp(torch.cos(2 * (theta + sign * gamma)) / 2) for sign in (-1, 1)]
    expected = (m[0] + m[1]) / 2 / torch.exp(torch.cos(2 * theta) / 2).mean() / torch.cos(gamma)
    torch.testing.assert_close(current, expected, rtol=1e-3, atol=0)
    assert current[:, 100].mean().item() == pytest.approx(1, rel=1e-4)


def test_modulation_lowers_the_noise_in_the_middle_of_an_oval_at_the_same_dose():
    """Without: mean of exp(p). With the square root rule: square of the mean of exp(p / 2), which is less."""
    image = ellipse(170, 90)
    photons = [
        photons_for_noise(image, 2.5, 20.0, seen_at_mm=2.5, scanner=scanner)
        for scanner in (PLAIN, Scanner(None, bow_tie=0, modulation=1))
    ]
    assert photons[1] < 0.85 * photons[0]


@pytest.mark.parametrize("setting", [{"source_mm": 0.0}, {"bow_tie": 1.5}, {"modulation": -0.1}])
def test_scanners_that_cannot_be_are_refused(setting):
    with pytest.raises(ConfigError):
        Scanner(**setting)


def test_a_slice_is_the_same_in_every_batch():
    slices = [ellipse(60 + 5 * k, 50, 48, 4.0) for k in range(5)]
    one = added(volume(*slices, pixel_mm=4.0), seed=1, batch=1)
    for batch in (2, 5, 8):
        np.testing.assert_allclose(
            added(volume(*slices, pixel_mm=4.0), seed=1, batch=batch), one, rtol=0, atol=1e-2
        )
    with pytest.raises(ConfigError, match="batch"):
        added(volume(*slices, pixel_mm=4.0), batch=0)


def test_the_kernel_of_inserted_noise_is_that_of_the_image():
    """Noise of a narrow and of a wide Hann window on the same body: each is told from the image, and given back."""
    clean = ellipse(110, 95, 256, 0.9, hu=40.0)
    peaks = []
    for cutoff in (0.5, 0.75):
        noise = dose_noise(clean, 0.9, dose=1, original_dose=None, photons=5e5, seed=3, kernel_cutoff=cutoff)
        full = volume(clean + noise, pixel_mm=0.9)
        kernel, hann = scan_kernel(full, 0.9)[0].of_slices(0), Kernel.hann(cutoff)
        f = torch.linspace(0.12, 0.6 * cutoff, 20)
        told, true = (k.window(f) / k.window(f).mean() for k in (kernel, hann))
        torch.testing.assert_close(told, true, rtol=0, atol=0.2)
        flat = FlatPatches.of(full.hu, 0.9)
        inserted = flat.spectrum(added(full, seed=5))
        peaks.append((flat.spectrum(full.hu).peak(), inserted.peak()))
        assert peaks[-1][1] == pytest.approx(peaks[-1][0], rel=0.15)
    assert peaks[1][0] > 1.2 * peaks[0][0]


def test_a_zoomed_field_has_the_noise_of_the_whole_body():
    whole = ellipse(150, 120, 128, 2.5)
    settings = {"dose": 1.0, "original_dose": None, "photons": 1e5, "kernel_cutoff": 0.2}
    zoomed = np.full((32, 32), 0.0, np.float32)
    inside = np.mean([dose_noise(whole, 2.5, seed=k, **settings)[60:92, 44:76].var() for k in range(6)])
    body = Attenuator(whole, 2.5, (-10.0, 30.0))
    cut = np.mean([dose_noise(zoomed, 2.5, seed=k, attenuator=body, **settings).var() for k in range(6)])
    assert cut == pytest.approx(inside, rel=0.2)


@pytest.mark.parametrize("s", [0.0, 10.0])
@pytest.mark.parametrize("dose", [0.5, 0.25, 0.1])
def test_inserted_noise_is_what_the_lower_dose_would_have_added(dose, s):
    """Also of electronic noise, which grows as 1 / dose^2: here a fifth of the noise of full dose."""
    clean = ellipse(150, 120, 320, 1.0, hu=40.0)
    settings = {"photons": 1e5, "electronic_noise": s}
    noisy = clean + dose_noise(clean, 1.0, dose=1, original_dose=None, seed=9, **settings)
    low = simulate_low_dose(volume(noisy, pixel_mm=1.0), dose, electronic_noise=s).hu[0]
    truth = dose_noise(clean, 1.0, dose=dose, original_dose=1, seed=4, **settings)
    body = clean > -500
    assert (low - noisy)[body].std() == pytest.approx(truth[body].std(), rel=0.09)
    assert abs((low - noisy)[body].mean()) < 0.1 * truth[body].std()
    growth = truth[body].var() / (noisy - clean)[body].var()
    assert growth > 1.2 * (1 / dose - 1) if s else growth == pytest.approx(1 / dose - 1, rel=0.1)
    shared = (noisy - clean)[body].std() / math.hypot((noisy - clean)[body].std(), truth[body].std())
    assert np.corrcoef((noisy - clean)[body], (low - clean)[body])[0, 1] == pytest.approx(shared, abs=0.05)


def test_noise_can_only_be_added():
    with pytest.raises(ConfigError, match="added"):
        dose_noise(ellipse(60, 60, 32, 5.0), 5.0, dose=0.5, original_dose=0.25, photons=1e5, seed=0)


def test_metal_does_not_make_the_noise_unbounded():
    hu = ellipse(150, 120, 96, 4.0)
    hu[40:56, 20:40] = hu[40:56, 56:76] = 3071
    noise = added(volume(hu, pixel_mm=4.0), photons=1e5)
    assert np.isfinite(noise).all()
    assert np.abs(noise).max() < 20000


def test_flat_windows_are_not_those_where_the_noise_happens_to_be_low():
    """White noise, three averaging pixels: what the average leaves has 8/9 of the variance."""
    rng = np.random.default_rng(0)
    image, other = torch.from_numpy(rng.normal(40, 10, (2, 200, 200)))
    flat = FlatWindows.of(image, 3.0)
    assert flat.smoothing == 3
    for noise in (image, other):
        assert flat.variance(noise).mean().item() == pytest.approx(100 * 8 / 9, rel=0.05)
    assert soft_tissue_noise(image, 3.0) < 8
    assert FlatWindows.of(torch.full((200, 200), -1000.0), 1.0) is None
    assert FlatWindows.of(torch.zeros(8, 8), 1.0) is None


def test_noise_level_of_white_noise():
    image = np.random.default_rng(0).normal(40, 10, (120, 120))
    level = soft_tissue_noise(image)
    assert 8.5 < level < 10
    assert soft_tissue_noise(np.full((64, 64), -1000.0)) is None
    assert soft_tissue_noise(np.zeros((8, 8))) is None
    assert [window_size(p) for p in (0.5, 1.2, 1.5, 3.0)] == [15, 15, 7, 5]


@pytest.mark.slow  # every slice of all of them
@pytest.mark.parametrize("name", SCANNERS)
def test_quarter_dose_of_real_ct_doubles_its_noise_and_keeps_its_spectrum_and_mean(shared_data, name):
    scan = read_volume(shared_data / "volumes" / f"{name}.nrrd")
    full = scan
    simulated, pixel_mm = simulate_low_dose(full, 0.25), scan.spacing[0]
    low = simulated.hu
    noise = low - full.hu
    flat = FlatPatches.of(full.hu, pixel_mm)
    original, lower, inserted = (flat.spectrum(hu) for hu in (full.hu, low, noise))
    assert lower.peak() == pytest.approx(original.peak(), rel=0.1)
    # Where the spectrum is continued, that of the image holds anatomy.
    known = simulated.spectrum.kind == "measured"
    assert inserted.peak() == pytest.approx(original.peak(), rel=0.15 if known else 0.2)
    # The same patches; anatomy in them, which no dose changes, lowers the ratio, and electronic noise raises it.
    assert 1.8 < np.median(flat.read(low).std((1, 2)) / flat.read(full.hu).std((1, 2))) < 2.4
    levels = [[soft_tissue_noise(image, pixel_mm) for image in hu] for hu in (full.hu, low)]
    ratios = [b / a for a, b in zip(*levels, strict=True) if a]
    # The quietest windows of the neck and the base of the skull hold more anatomy than noise.
    assert (1.7 if "head" in name else 1.8) < np.median(ratios) < 2.3
    for lowest, highest in ((-20, 150), (-900, -700), (-1023, -950)):
        tissue = (full.hu >= lowest) & (full.hu <= highest)
        assert abs(noise[tissue].mean()) < 1


def test_inserted_noise_has_the_spectrum_of_the_difference_of_two_water_scans(shared_data):
    one, other = (read_volume(shared_data / "dicom/ge_water_phantom" / f"00{k}.dcm") for k in range(2))
    pixel_mm, flat = one.spacing[0], FlatPatches.of(one.hu, one.spacing[0])
    real = (one.hu.astype(np.float32) - other.hu) / math.sqrt(2)
    noise = added(one, dose=0.5)  # the difference of half and full dose has the variance of full dose
    measured, inserted = flat.spectrum(real), flat.spectrum(noise)
    assert inserted.peak() == pytest.approx(measured.peak(), rel=0.1)
    band = (measured.frequency > 0.1) & (measured.frequency < 0.65)
    error = np.log(inserted.power / measured.power)[band]
    assert np.abs(error - np.average(error, weights=measured.power[band])).max() < 0.4
    inside = np.hypot(*(np.mgrid[:512, :512] - 255.5)) * pixel_mm < 60
    assert noise[0][inside].std() == pytest.approx(real[0][inside].std(), rel=0.2)


def test_noise_that_no_dose_explains_is_an_error_and_not_silence():
    full = phantom_pair("chest", seed=0, slices=1, size=64, pixel_mm=6.0).full_dose
    with pytest.raises(
        VolumeError, match=r"no number of photons explains the noise.*slice 0\. Give `photons`"
    ):
        simulate_low_dose(full, 0.25)
