"""The noise of quarter dose as simulated, against the noise of the CT it is made from: level, mean, spectrum, time.

python benchmarks/noise_spectra.py FOLDER [--out FILE.json] [--picture FILE.png]

FOLDER holds one CT volume or DICOM series in each file or folder below it. A folder of two slices of one phantom, of
which the name ends in ``phantom``, is read as two scans: their difference over sqrt 2 is noise and nothing else.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from CTInvarianceLib import CTVolume, read_volume, simulate_low_dose
from CTInvarianceLib.low_dose import FlatPatches, NoiseSpectrum, soft_tissue_noise

THREADS = 2
DOSE = 0.25
INK, QUIET = "#222222", "#888888"
COLOURS = {"original": "#2b6cb0", "quarter dose": "#c05621", "inserted": "#2f855a", "two scans": "#111111"}


@dataclass(frozen=True)
class Figures:
    """What is measured of one scan; HU, cycles per mm, seconds; where the spectrum of the inserted noise is from."""

    noise_ratio: float
    patch_ratio: float
    mean_shift: float
    air_shift: float
    peak_original: float
    peak_low: float
    peak_inserted: float
    seconds_per_slice: float
    spectrum: str


def scans(folder: Path) -> dict[str, CTVolume]:
    """Every volume below a folder; two scans of a phantom as a volume of two slices."""
    found = {}
    for path in sorted(folder.iterdir()):
        name = path.name.split(".")[0]
        if name.endswith("phantom"):
            one, other = (read_volume(file) for file in sorted(path.glob("*.dcm"))[:2])
            found[name] = CTVolume(np.concatenate([one.hu, other.hu]), one.affine)
        elif path.is_dir() or path.suffix in (".nrrd", ".mha", ".gz"):
            found[name] = read_volume(path)
    return found


def measure(full: CTVolume, *, two_scans: bool) -> tuple[Figures, dict[str, NoiseSpectrum]]:
    start = time.perf_counter()
    simulated = simulate_low_dose(full, DOSE)
    low = simulated.hu
    seconds = (time.perf_counter() - start) / len(low)
    hu, pixel_mm = full.hu.astype(np.float32), full.spacing[0]
    noise, flat = low - hu, FlatPatches.of(hu, pixel_mm)
    if flat is None:
        raise SystemExit("No flat soft tissue to measure noise in")
    spectra = {title: flat.spectrum(x) for title, x in zip(COLOURS, (hu, low, noise), strict=False)}
    levels = [[soft_tissue_noise(image, pixel_mm) for image in x] for x in (hu, low)]
    patches = [flat.read(x).std(axis=(1, 2)) for x in (hu, low)]
    figures = Figures(
        float(np.median([b / a for a, b in zip(*levels, strict=True) if a and b])),
        float(np.median(patches[1] / patches[0])),
        float(noise[(hu > -20) & (hu < 150)].mean()),
        float(noise[(hu > -1024) & (hu < -950)].mean()),
        *(spectrum.peak() for spectrum in spectra.values()),
        seconds,
        simulated.spectrum.kind,
    )
    if two_scans:
        difference = np.stack([hu[0] - hu[1]] * 2) / np.sqrt(2)
        spectra["two scans"] = flat.spectrum(difference)
    return figures, spectra


def picture(measured: dict[str, tuple[Figures, dict[str, NoiseSpectrum]]]) -> Figure:
    """A panel for each scan: NPS over frequency, each curve as a share of the variance it holds."""
    columns = 3
    rows = -(-len(measured) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows + 0.7), layout="constrained", facecolor="white")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, (name, (figures, spectra)) in zip(axes, measured.items(), strict=False):
        for title, spectrum in spectra.items():
            show(axis, title, spectrum)
        axis.set_title(name.replace("_", " "), fontsize=10, loc="left", color=INK)
        text = (
            f"noise × {figures.noise_ratio:.2f}\nmean {round(figures.mean_shift, 2) + 0.0:+.2f} HU\n"
            f"peak {figures.peak_original:.2f}, {figures.peak_low:.2f} / mm"
        )
        axis.axvspan(0, 0.1, color="#f4f4f4", lw=0, zorder=0)  # anatomy outweighs the noise here
        axis.text(0.97, 0.95, text, transform=axis.transAxes, ha="right", va="top", fontsize=8.5, color=INK)
        axis.set(xlim=(0, 0.9), ylim=(0, None), yticks=[])
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(labelsize=8, colors=QUIET)
    for axis in axes[len(measured) :]:
        axis.remove()
    handles = {line.get_label(): line for axis in figure.axes for line in axis.get_lines()}
    shown = {title: handles[title] for title in COLOURS if title in handles}
    figure.legend(
        shown.values(), shown.keys(), loc="outside upper center", ncols=4, frameon=False, fontsize=10
    )
    figure.supxlabel("cycles per mm", fontsize=10, color=INK)
    figure.supylabel("noise power, as a share of the variance", fontsize=10, color=INK)
    return figure


def show(axis, title: str, spectrum: NoiseSpectrum) -> None:
    f, band = spectrum.frequency, spectrum.frequency >= 0.1
    area = np.trapezoid((2 * np.pi * f * spectrum.power)[band], f[band])
    style = {"original": "-", "quarter dose": "-", "inserted": "--", "two scans": ":"}[title]
    axis.plot(f[band], spectrum.power[band] / area, style, color=COLOURS[title], label=title, lw=1.7)
    if title == "original":
        axis.axvline(spectrum.peak(), color=QUIET, lw=0.8, zorder=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+", help="CT volumes or DICOM series")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--picture", type=Path, help="draw the spectra (PNG)")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    print(f"{THREADS} threads, dose {DOSE}")
    print(
        f"{'':36}{'noise':>7}{'patches':>9}{'mean HU':>9}{'air HU':>8}{'peak':>7}{'low':>7}{'added':>7}{'s/slice':>9}"
        "  spectrum"
    )
    measured = {}
    for folder in arguments.folder:
        for name, volume in scans(folder).items():
            title = name if name not in measured else f"{name} ({folder.name})"
            result = measured[title] = measure(volume, two_scans=name.endswith("phantom"))
            v = result[0]
            print(
                f"{title:36}{v.noise_ratio:7.2f}{v.patch_ratio:9.2f}{v.mean_shift:9.2f}{v.air_shift:8.2f}"
                f"{v.peak_original:7.3f}{v.peak_low:7.3f}{v.peak_inserted:7.3f}{v.seconds_per_slice:9.2f}"
                f"  {v.spectrum}",
                flush=True,
            )
    if arguments.out:
        figures = {title: asdict(value) for title, (value, _) in measured.items()}
        arguments.out.write_text(json.dumps(figures, indent=2))
    if arguments.picture:
        picture(measured).savefig(arguments.picture, dpi=150)


if __name__ == "__main__":
    main()
