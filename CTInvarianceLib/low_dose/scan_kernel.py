"""The reconstruction kernels of a scan, read from the noise of its slices, and how far they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..volumes import CTVolume
from .kernel import Kernel
from .noise_spectrum import NoiseSpectrum
from .robust_spectrum import SEEN_BY, THIN_MM, measure_spectrum

SPECTRUM_SLICES = 12  # of a volume, evenly spread: more tell its noise spectrum no better
SECTION_SLICES = 4  # of those: scanners that smooth where rays are noisy have another spectrum there

Origin = Literal["measured", "continued", "usual"]


@dataclass(frozen=True)
class SpectrumOrigin:
    """Where the spectrum of inserted noise comes from.

    Attributes:
        kind: "measured" in the image; "continued", where anatomy hides the noise of every part of the volume at low
            frequencies, from what was measured above; "usual": of soft-tissue kernels, as none of it can be told;
            "given" by the caller.
        trusted_from: cycles per mm, from where on the spectrum was measured; None: nowhere.
        borrowed: share of the volume whose spectrum is that of its other parts, as anatomy hides its own.
    """

    kind: Literal["measured", "continued", "usual", "given"]
    trusted_from: float | None = None
    borrowed: float = 0.0

    @property
    def sentence(self) -> str:
        """What a person should know of it; "" where there is nothing to be careful with."""
        if self.kind == "usual":
            return (
                "The image does not tell its noise spectrum (too little flat soft tissue, or no noise in it): the"
                " noise has that of a usual soft-tissue kernel, and its strength may be off. More slices of the series"
                " may tell it."
            )
        if self.kind == "continued":
            return (
                f"Anatomy hides the noise below {self.trusted_from:.2f} cycles per mm: there its spectrum is continued"
                " from what was measured above. More slices of the series would tell it."
            )
        if self.borrowed:
            return (
                f"In {100 * self.borrowed:.0f} % of the volume anatomy hides the noise: it has the spectrum of the rest"
                " there."
            )
        return ""


GIVEN = SpectrumOrigin("given")


def scan_kernel(volume: CTVolume, pixel_mm: float) -> tuple[Kernel, SpectrumOrigin]:
    """The kernels whose noise has the spectrum of the flattest soft tissue of up to 12 slices of the volume.

    Up to four of them at a time make a section, and have a spectrum; slices in between have one in between. A section
    whose spectrum anatomy hides has the mean of the others. Where it hides all of them, what is measured of each is
    continued to low frequencies; where nothing of it can be told, the kernel is `Kernel.soft`.

    Args:
        volume: of full dose.
        pixel_mm: side of its pixels in mm.
    """
    count = len(volume.hu)
    chosen = np.linspace(0, count - 1, min(SPECTRUM_SLICES, count)).round().astype(int)
    sections = np.array_split(chosen, max(1, len(chosen) // SECTION_SLICES))
    spectra = [_spectrum(volume, section, pixel_mm) for section in sections]
    if not any(spectra):
        return Kernel.soft(pixel_mm), SpectrumOrigin("usual")
    clean = [spectrum for spectrum in spectra if spectrum and spectrum.lowest <= SEEN_BY]
    told = clean or [spectrum for spectrum in spectra if spectrum]
    mean = Kernel.mean([Kernel.of_noise(spectrum) for spectrum in told])
    kernels = [Kernel.of_noise(spectrum) if spectrum in told else mean for spectrum in spectra]
    centres = [section.mean() for section in sections]
    position = np.interp(np.arange(count), centres, np.arange(len(centres)))
    origin = SpectrumOrigin(
        "measured" if clean else "continued",
        max(spectrum.lowest for spectrum in told),
        1 - len(told) / len(spectra),
    )
    return Kernel.along(kernels, position), origin


def _spectrum(volume: CTVolume, section: NDArray[np.intp], pixel_mm: float) -> NoiseSpectrum | None:
    hu: NDArray[Any] = volume.hu
    if volume.spacing[2] > THIN_MM or len(hu) < 2:
        return measure_spectrum(hu[section], pixel_mm)
    beside = np.where(section + 1 < len(hu), section + 1, section - 1)
    return measure_spectrum(hu[section], pixel_mm, neighbours=hu[beside])
