"""Low dose from full dose: scanner, projection, noise."""

from .flat_patches import FlatPatches
from .noise_level import soft_tissue_noise
from .noise_spectrum import NoiseSpectrum
from .scan_kernel import SpectrumOrigin
from .simulation import (
    Attenuator,
    LowDoseVolume,
    dose_noise,
    photons_for_noise,
    scan_noise,
    simulate_low_dose,
)

__all__ = [
    "Attenuator",
    "FlatPatches",
    "LowDoseVolume",
    "NoiseSpectrum",
    "SpectrumOrigin",
    "dose_noise",
    "photons_for_noise",
    "scan_noise",
    "simulate_low_dose",
    "soft_tissue_noise",
]
