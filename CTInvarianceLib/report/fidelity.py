"""What an embedding keeps of an image: errors by tissue, sharpness of bone edges, and the spectrum."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

TISSUES = {
    "all": (-np.inf, np.inf),
    "lung": (-950.0, -500.0),
    "soft tissue": (-150.0, 250.0),
    "bone": (250.0, np.inf),
}
"""HU of the original image, from and to."""

HALF_NYQUIST = 0.25
"""Cycles per pixel."""

_PROFILE = 32  # pixels of a profile across an edge
_EDGE_HU = 100.0  # per pixel: bone against muscle or fat, well above the noise
_BINS = 16  # rings of the spectrum up to the Nyquist frequency

Image = NDArray[np.floating]


def tissue_rmse(decoded: Image, original: Image) -> dict[str, float]:
    """RMSE in HU over the pixels of each of `TISSUES`; NaN where there is none. Images of any shape, HU."""
    square = np.square(decoded.astype(np.float64) - original)
    found = {}
    for name, (low, high) in TISSUES.items():
        inside = (original >= low) & (original < high)
        found[name] = float(np.sqrt(square[inside].mean())) if inside.any() else float("nan")
    return found


def edge_transfer(decoded: Image, original: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies (cycles per pixel) and how much of the original's MTF decoded bone edges have there.

    The transfer function from edge profiles of the original to those of the decoded image, |Σ X̄ X*| / Σ |X|², with X
    the windowed derivative of a profile across a bone edge: the line spread function, whose Fourier transform is the
    modulation transfer function (ICRU Report 54; the estimator: Bendat & Piersol, Random Data, H₁).

    Args:
        decoded: (S, H, W), HU.
        original: likewise.

    Raises:
        ValueError: no bone edges.
    """
    cross, power, found = np.zeros(_PROFILE // 2 + 1, complex), np.zeros(_PROFILE // 2 + 1), 0
    window = np.hanning(_PROFILE)
    for x, y in _edge_profiles(original, decoded):
        transformed, wanted = np.fft.rfft(y * window), np.fft.rfft(x * window)
        cross += (transformed * wanted.conj()).sum(0)
        power += np.square(np.abs(wanted)).sum(0)
        found += len(x)
    if not found:
        raise ValueError("the images hold no bone edges")
    return np.asarray(np.fft.rfftfreq(_PROFILE), np.float64), np.abs(cross) / power


def spectrum_kept(decoded: Image, original: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies (cycles per pixel, centres of rings) and the power there, decoded over original; (S, H, W), HU."""
    window = np.hanning(original.shape[-2])[:, None] * np.hanning(original.shape[-1])
    radius = np.hypot(np.fft.fftfreq(original.shape[-2])[:, None], np.fft.fftfreq(original.shape[-1]))
    ring = np.minimum((radius / 0.5 * _BINS).astype(int), _BINS)
    power = [
        np.bincount(ring.ravel(), np.square(np.abs(np.fft.fft2((x - x.mean()) * window))).sum(0).ravel())[
            :_BINS
        ]
        for x in (decoded, original)
    ]
    return (np.arange(_BINS) + 0.5) * 0.5 / _BINS, power[0] / power[1]


def at_half_nyquist(curve: tuple[NDArray[np.float64], NDArray[np.float64]]) -> float:
    """The value of a curve at half of the Nyquist frequency."""
    return float(np.interp(HALF_NYQUIST, *curve))


def _edge_profiles(
    original: Image, decoded: Image
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Derivatives across bone edges along rows, then along columns: (edges, `_PROFILE`) of both images."""
    for swap in (False, True):
        x, y = (np.swapaxes(image, 1, 2) if swap else image for image in (original, decoded))
        along, across = np.diff(x.astype(np.float64), axis=2), np.diff(y.astype(np.float64), axis=2)
        steep = np.abs(along)
        sideways = np.abs(np.gradient(x.astype(np.float64), axis=1))[:, :, :-1]
        bone = np.maximum(x[:, :, 1:], x[:, :, :-1]) >= TISSUES["bone"][0]
        edge = bone & (steep > _EDGE_HU) & (steep > 2 * sideways)
        # One profile an edge: where the slope is steepest.
        edge[:, :, 1:] &= steep[:, :, 1:] >= steep[:, :, :-1]
        edge[:, :, :-1] &= steep[:, :, :-1] > steep[:, :, 1:]
        half = _PROFILE // 2
        edge[:, :, :half], edge[:, :, along.shape[2] - half :] = False, False
        k, j, i = np.nonzero(edge)
        columns = i[:, None] + np.arange(-half, half)
        yield along[k[:, None], j[:, None], columns], across[k[:, None], j[:, None], columns]
