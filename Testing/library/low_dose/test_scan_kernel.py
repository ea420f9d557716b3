"""The noise of a few slices full of anatomy: spectrum and level against known truth, and parts against the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from real_scans import SCANNERS

from CTInvarianceLib import CTVolume, read_volume, simulate_low_dose
from CTInvarianceLib.low_dose import FlatPatches, SpectrumOrigin, dose_noise
from CTInvarianceLib.low_dose.kernel import Kernel
from CTInvarianceLib.low_dose.robust_spectrum import measure_spectrum
from CTInvarianceLib.low_dose.scan_kernel import scan_kernel

pytestmark = pytest.mark.usefixtures("one_thread")

PIXEL_MM, SIZE = 0.8, 320
FREQUENCY = np.linspace(0, 0.7, 701)
BANDS = [(0.05, 0.1), (0.1, 0.15), (0.15, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.55)]
MATTERS = 0.1  # share of the noise's variance that a band must hold


def anatomy(organs: int, seed: int = 0) -> np.ndarray:
    """A round body with so many round organs of 4 to 14 mm, one over the other; edges as a scanner blurs them."""
    g = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_MM
    x, y, rng = g[None], g[:, None], np.random.default_rng(seed)
    hu = np.where(np.hypot(x, y) < 115, 50.0, -1000.0)
    for _ in range(organs):
        cx, cy = rng.uniform(-95, 95, 2)
        hu[np.hypot(x - cx, y - cy) < rng.uniform(4, 14)] = rng.choice([-60, 0, 20, 90, 130])
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE, PIXEL_MM)] * 2))
    return np.fft.ifft2(np.fft.fft2(hu) * np.exp(-2 * (np.pi * 0.64 * f) ** 2)).real


def coloured(power: np.ndarray, seed: int, sigma: float = 12.0) -> np.ndarray:
    """Gaussian noise with this NPS over `FREQUENCY`, in any unit, and this standard deviation, HU."""
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE, PIXEL_MM)] * 2))
    white = np.fft.fft2(np.random.default_rng(seed).standard_normal((SIZE, SIZE)))
    noise = np.fft.ifft2(white * np.sqrt(np.interp(f, FREQUENCY, power))).real
    return noise * (sigma / noise.std())


def nps(kernel: Kernel, slice_: int = 0) -> np.ndarray:
    """f W^2 of a slice."""
    window = kernel.window(torch.from_numpy(FREQUENCY)).numpy().reshape(-1, len(FREQUENCY))
    return FREQUENCY * window[min(slice_, len(window) - 1)] ** 2


def by_band(power: np.ndarray) -> np.ndarray:
    """Variance in each band over that between 0.13 and 0.55 / mm, in which the level of noise is matched."""
    variance = FREQUENCY * power
    inside = [variance[_between(low, high)].sum() for low, high in BANDS]
    return np.array(inside) / variance[_between(0.13, 0.55)].sum()


def _between(low: float, high: float) -> np.ndarray:
    return (low <= FREQUENCY) & (high > FREQUENCY)


def scan(*slices: np.ndarray, distance_mm: float = 10.0) -> CTVolume:
    return CTVolume(np.stack(slices).astype(np.float32), np.diag([PIXEL_MM, PIXEL_MM, distance_mm, 1]))


def crowded(count: int, organs: int, cutoff: float) -> CTVolume:
    """Slices of different anatomy and noise of a Hann kernel."""
    power = nps(Kernel.hann(cutoff))
    return scan(*(anatomy(organs, k) + coloured(power, 100 + k) for k in range(count)))


def assert_same_noise(told: np.ndarray, true: np.ndarray, rel: float) -> None:
    """In amplitude, in every band that holds a tenth of the variance."""
    told, true = by_band(told), by_band(true)
    matters = true >= MATTERS
    np.testing.assert_allclose(np.sqrt(told / true)[matters], 1, rtol=0, atol=rel)


@pytest.mark.parametrize("count", [4, 7, 10])
@pytest.mark.parametrize("cutoff", [0.5, 0.65])
@pytest.mark.parametrize("organs", [0, 30, 90])
def test_few_slices_tell_the_spectrum_of_their_noise(organs, cutoff, count):
    kernel, origin = scan_kernel(crowded(count, organs, cutoff), PIXEL_MM)
    assert_same_noise(nps(kernel), nps(Kernel.hann(cutoff)), 0.1)
    told, true = (FREQUENCY[nps(each).argmax()] for each in (kernel, Kernel.hann(cutoff)))
    assert told == pytest.approx(true, rel=0.2)
    assert origin.kind == "measured"


def test_where_anatomy_is_everywhere_the_low_frequencies_are_continued_and_it_is_said():
    """Without, this spectrum has its peak at 0.08 / mm and 1.8 times the noise below 0.15 / mm."""
    kernel, origin = scan_kernel(crowded(5, 600, 0.65), PIXEL_MM)
    assert origin.kind == "continued"
    assert 0.13 < origin.trusted_from < 0.33
    assert f"below {origin.trusted_from:.2f} cycles per mm" in origin.sentence
    told = by_band(nps(kernel)) / by_band(nps(Kernel.hann(0.65)))
    assert np.abs(np.log(told)).max() < 2 * math.log(1.35)
    assert FREQUENCY[nps(kernel).argmax()] > 0.15


def test_thin_slices_tell_it_by_their_differences():
    power = nps(Kernel.hann(0.65))
    slices = [anatomy(600) + coloured(power, k) for k in range(6)]
    thin, thick = (scan_kernel(scan(*slices, distance_mm=mm), PIXEL_MM) for mm in (2.0, 12.0))
    assert_same_noise(nps(thin[0]), power, 0.06)
    assert thin[1].kind == "measured" != thick[1].kind
    assert thin[1].sentence == ""


def test_a_spectrum_of_anatomy_alone_is_none():
    """Power that falls as f^-3, as that of tissue, all over the image."""
    f = np.maximum(FREQUENCY, 0.01)
    slices = [50 + coloured(f**-3.0, k, sigma=30) + coloured(f, k + 9, sigma=1) for k in range(5)]
    assert measure_spectrum(np.stack(slices), PIXEL_MM) is None
    kernel, origin = scan_kernel(scan(*slices), PIXEL_MM)
    assert (origin.kind, origin.trusted_from) == ("usual", None)
    np.testing.assert_array_equal(kernel.of_slices(2).response, Kernel.soft(PIXEL_MM).response)
    assert "usual soft-tissue kernel" in origin.sentence


def test_every_part_of_a_volume_has_its_own_kernel():
    """As of scanners that smooth where rays are noisy."""
    cutoffs = [0.45] * 6 + [0.7] * 6
    volume = scan(*(anatomy(30, k) + coloured(nps(Kernel.hann(c)), 50 + k) for k, c in enumerate(cutoffs)))
    kernel, origin = scan_kernel(volume, PIXEL_MM)
    for k in (0, 1, 10, 11):
        assert_same_noise(nps(kernel, k), nps(Kernel.hann(cutoffs[k])), 0.1)
    peaks = [FREQUENCY[nps(kernel, k).argmax()] for k in range(12)]
    assert peaks == sorted(peaks)
    assert origin == SpectrumOrigin("measured", origin.trusted_from, 0.0)


def test_a_part_full_of_anatomy_has_the_kernel_of_the_rest_and_it_is_said():
    power = nps(Kernel.hann(0.65))
    organs = [20] * 8 + [900] * 4
    volume = scan(*(anatomy(n, k) + coloured(power, 50 + k) for k, n in enumerate(organs)))
    kernel, origin = scan_kernel(volume, PIXEL_MM)
    assert_same_noise(nps(kernel, 11), power, 0.1)
    assert origin.borrowed == pytest.approx(1 / 3)
    assert "In 33 % of the volume" in origin.sentence


@pytest.mark.parametrize("organs", [0, 120, 900])
def test_anatomy_does_not_pass_for_noise(organs):
    """Also where it is everywhere: up to 1.2 times too much is inserted there."""
    clean = np.stack([anatomy(organs, k) for k in range(4)]).astype(np.float32)
    settings = {"photons": 4e5, "electronic_noise": 10.0, "kernel_cutoff": 0.65}
    full = [
        x + dose_noise(x, PIXEL_MM, dose=1, original_dose=None, seed=k, **settings)
        for k, x in enumerate(clean)
    ]
    truth = [
        dose_noise(x, PIXEL_MM, dose=0.25, original_dose=1, seed=70 + k, **settings)
        for k, x in enumerate(clean)
    ]
    low = simulate_low_dose(scan(*full), 0.25)
    body = clean > -500
    ratio = (low.hu - np.stack(full))[body].std() / np.stack(truth)[body].std()
    assert 0.9 < ratio < (1.2 if organs == 900 else 1.1)
    assert bool(low.spectrum.sentence) == (organs > 0)


def test_what_the_caller_gives_is_not_measured():
    volume = crowded(1, 0, 0.65)
    assert simulate_low_dose(volume, 0.5, kernel_cutoff=0.6).spectrum == SpectrumOrigin("given")
    measured = simulate_low_dose(volume, 0.5)
    assert (measured.spectrum.kind, measured.spectrum.sentence) == ("measured", "")
    assert np.array_equal(measured.affine, volume.affine)


@pytest.mark.parametrize("name", SCANNERS)
def test_a_cut_of_a_real_volume_has_the_noise_of_the_whole(shared_data, name):
    """Every run of 4, 6, 8 or 10 slices, in the mean over its slices, in level and in every band that matters."""
    whole = read_volume(shared_data / "volumes" / f"{name}.nrrd")
    kernel, _ = scan_kernel(whole, whole.spacing[0])
    off, untold = [], 0
    for count in range(4, min(len(whole.hu), 11), 2):
        for first in range(0, len(whole.hu) - count + 1, 2):
            cut = CTVolume(whole.hu[first : first + count], whole.affine)
            own, origin = scan_kernel(cut, whole.spacing[0])
            if origin.kind == "usual":
                untold += 1
                continue
            bands = np.array(
                [[by_band(nps(k, at + f)) for at in range(count)] for k, f in ((own, 0), (kernel, first))]
            )
            told, true = np.sqrt(bands).mean(1)
            matters = true**2 >= MATTERS
            off.append(np.abs(told / true - 1)[matters].max())
    # Neck and base of the skull show no noise of their own in the first slices of two volumes.
    assert untold <= (3 if name in ("cptac_lscc_head_toshiba", "tcga_thca_neck_philips") else 0)
    assert len(off) >= 9
    assert np.mean(np.array(off) < 0.1) > 0.9
    assert max(off) < 0.13


@pytest.mark.parametrize("name", SCANNERS[:3])
@pytest.mark.parametrize("first", [0, 8])
def test_four_thin_slices_of_a_real_scan_have_the_noise_of_differences(shared_data, name, first):
    """The truth: second differences of all twelve slices, which hold a third of the anatomy that first ones hold."""
    slab = read_volume(shared_data / "dicom" / name)
    hu, pixel_mm = slab.hu.astype(np.float32), slab.spacing[0]
    second = (hu[1:-1] - (hu[2:] + hu[:-2]) / 2) / math.sqrt(1.5)
    truth = FlatPatches.of(hu[1:-1], pixel_mm, flat_in=second).spectrum(second)
    kernel, origin = scan_kernel(CTVolume(slab.hu[first : first + 4], slab.affine), pixel_mm)
    assert origin.kind == "measured"
    f = truth.frequency
    band = (f > 0.1) & (f < 0.43)
    told = f * kernel.window(torch.from_numpy(f)).numpy().reshape(-1, len(f))[0] ** 2
    told, true = (power[band] / (power * f)[band].sum() for power in (told, truth.power))
    np.testing.assert_allclose(np.sqrt(told / true), 1, atol=0.1)
