"""Low dose from full dose: scanner, projection, noise."""

from .noise_level import soft_tissue_noise
from .noise_spectrum import FlatPatches, NoiseSpectrum
from .simulation import Attenuator, dose_noise, photons_for_noise, scan_noise, simulate_low_dose

__all__ = [
    "Attenuator",
    "FlatPatches",
    "NoiseSpectrum",
    "dose_noise",
    "photons_for_noise",
    "scan_noise",
    "simulate_low_dose",
    "soft_tissue_noise",
]
