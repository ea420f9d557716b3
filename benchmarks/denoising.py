"""A model set's denoisers against a Gaussian blur and BM3D, both at their best, on a patient that none has seen.

python benchmarks/denoising.py VOLUME --models RUN [--slices N] [--side PIXELS] [--sharp GAIN] [--out FILE.json]

VOLUME is a full-dose CT; its quarter dose is simulated. Every method gets the same squares out of the middle of some
slices, as they are (the soft kernel) and as a sharper kernel would have made them: low and full dose times a Gaussian
transfer function, GAIN at half a cycle per pixel. Blur and BM3D are given the width and the noise level that bring
their own RMSE down most on these very squares, so that what is compared with is as good as it can be.

BM3D is the package `bm3d` (for non-commercial use, so nothing here asks for it: pip install bm3d), which is told a
level of white noise. Without it scikit-image's non-local means takes its place, and the table says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means

from CTInvarianceLib import CTVolume, Models, read_volume, simulate_low_dose
from CTInvarianceLib.report.montage import ct_window
from CTInvarianceLib.tensors import denormalize, normalize

DOSE = 0.25
WIDTHS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)  # pixels, of the blur
LEVELS = (0.4, 0.7, 1.0, 1.4)  # times the noise that is there, as BM3D is told
SURROUNDINGS = 16  # pixels around a square that every method sees and no figure does
# By the full dose, blurred, so that its noise does not choose.
TISSUES = {"lung": (-950, -700), "soft tissue": (-20, 150), "bone": (250, 1500)}
CHOICE_BLUR = 1.5

Images = NDArray[np.float32]
"""(n, rows, columns), HU."""
Denoise = Callable[[Images], Images]


def squares(volume: CTVolume, count: int, side: int) -> tuple[Images, Images]:
    """Low and full dose of squares, with their surroundings, out of the middle of slices that lie apart."""
    chosen = np.linspace(0, len(volume.hu) - 1, count + 2).round().astype(int)[1:-1]
    full = CTVolume(volume.hu[chosen], volume.affine)
    low = simulate_low_dose(full, DOSE)
    rows, columns = volume.hu.shape[1:]
    wide = side + 2 * SURROUNDINGS
    top, left = (rows - wide) // 2, (columns - wide) // 2
    cut = np.s_[:, top : top + wide, left : left + wide]
    return low.hu[cut].astype(np.float32), full.hu[cut].astype(np.float32)


def sharpened(images: Images, gain: float) -> Images:
    """As a sharper kernel would have made them: times exp(ln(gain) (2 f)²), f in cycles per pixel."""
    rows, columns = images.shape[1:]
    square = np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.rfftfreq(columns) ** 2
    transfer = np.exp(np.log(gain) * 4 * square)
    return np.fft.irfft2(np.fft.rfft2(images) * transfer, s=(rows, columns)).astype(np.float32)


def inner(images: Images) -> Images:
    return images[:, SURROUNDINGS:-SURROUNDINGS, SURROUNDINGS:-SURROUNDINGS]


def figures(denoised: Images, full: Images) -> dict[str, float]:
    """RMSE (HU), SSIM in the CT window of the full dose, and the mean's shift (HU) by tissue."""
    ours, truth = inner(denoised), inner(full)
    centre, width = ct_window(truth)
    windowed = [np.clip((x - centre) / width + 0.5, 0, 1) for x in (ours, truth)]
    similar = [
        structural_similarity(
            a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(*windowed, strict=True)
    ]
    found = {"rmse": float(np.sqrt(np.mean((ours - truth) ** 2))), "ssim": float(np.mean(similar))}
    smooth = inner(gaussian_filter(full, (0, CHOICE_BLUR, CHOICE_BLUR)))
    for tissue, (least, most) in TISSUES.items():
        where = (smooth > least) & (smooth < most)
        if where.any():
            found[tissue] = float((ours - truth)[where].mean())
    return found


def blur(images: Images, sigma: float) -> Images:
    return gaussian_filter(images, (0, sigma, sigma))


def bm3d(images: Images, sigma: float) -> Images:
    from bm3d import bm3d as of_package

    low, high = images.min(), images.max()
    scaled = [of_package((x - low) / (high - low), sigma / (high - low)) for x in images.astype(np.float64)]
    return (np.stack(scaled) * (high - low) + low).astype(np.float32)


def non_local_means(images: Images, sigma: float) -> Images:
    found = [denoise_nl_means(x, 5, 11, h=0.8 * sigma, sigma=sigma, fast_mode=True) for x in images]
    return np.stack(found).astype(np.float32)


@torch.inference_mode()
def network(denoiser: torch.nn.Module, images: Images) -> Images:
    parts = [denoiser(normalize(torch.from_numpy(x)[None, None])) for x in images]
    return denormalize(torch.cat(parts))[:, 0].numpy()


def best(
    method: Callable[[Images, float], Images], low: Images, full: Images, settings: Sequence[float]
) -> Denoise:
    """The method with the setting of the least RMSE."""
    errors = {each: figures(method(low, each), full)["rmse"] for each in settings}
    chosen = min(errors, key=errors.__getitem__)
    return lambda images: method(images, chosen)


def table(low: Images, full: Images, denoisers: dict[str, Denoise]) -> dict[str, dict[str, float]]:
    noise = float(np.std(low - full))
    collaborative = bm3d if importlib.util.find_spec("bm3d") else non_local_means
    title = "BM3D, level tuned" if collaborative is bm3d else "non-local means, level tuned"
    methods: dict[str, Denoise] = {
        "quarter dose": lambda images: images,
        "Gaussian blur, width tuned": best(blur, low, full, WIDTHS),
        title: best(collaborative, low, full, [noise * level for level in LEVELS]),
        **denoisers,
    }
    return {name: figures(method(low), full) for name, method in methods.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", type=Path, help="full dose, of a patient the model set was not trained on")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--side", type=int, default=256, help="pixels of the squares")
    parser.add_argument(
        "--sharp", type=float, default=3.0, help="the sharp kernel's gain at half a cycle per pixel"
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    models = Models.load(arguments.models, device="cpu")
    denoisers = {name: partial(network, models.denoiser(name)) for name in models.denoisers}
    low, full = squares(read_volume(arguments.volume), arguments.slices, arguments.side)
    measured = {
        "soft kernel": table(low, full, denoisers),
        "sharp kernel": table(*(sharpened(x, arguments.sharp) for x in (low, full)), denoisers),
    }
    for kernel, rows in measured.items():
        columns = ("rmse", "ssim", *TISSUES)
        print(f"{kernel:32}" + "".join(f"{name:>13}" for name in columns))
        for name, row in rows.items():
            print(f"  {name:30}" + "".join(f"{row.get(each, float('nan')):13.3f}" for each in columns))
    if arguments.out:
        arguments.out.write_text(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
