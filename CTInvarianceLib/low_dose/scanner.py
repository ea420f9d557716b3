"""How many photons leave the tube for each ray: fan beam, bow-tie filter, tube current around the patient.

The sinogram is that of parallel rays (theta, s). In a fan-beam scanner ray (theta, s) leaves the tube at the fan angle
gamma = asin(s / source_mm), from the tube angles theta - gamma and theta + gamma + 180 degrees: rebinning. Its fluence
is the sum of both, whatever the fan it came from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..base import ConfigError
from .projection import ParallelBeam

MU_WATER = 0.0192  # attenuation of water per mm at about 70 keV, the mean energy of a 120 kV beam
BOW_TIE_RADIUS_MM = (80.0, 250.0)  # of the cylinder a bow-tie is made for: a child's head to the widest body


@dataclass(frozen=True)
class Scanner:
    """Tube and filter of a CT scanner.

    Attributes:
        source_mm: from the focal spot to the axis; None: parallel rays. 595 mm is usual, 541 to 610 are built.
        bow_tie: share of the attenuation of a water cylinder as wide as the field that the bow-tie filter makes up
            for: 0 is no filter, 1 would make the counts behind that cylinder equal. Makers keep the profiles of
            theirs secret (how to measure them: B. R. Whiting et al., Med Phys 41(10):101915 (2014),
            doi:10.1118/1.4896196); 0.75 lies between 0.5 and 1, of which
            each agreed best with the noise of some of four real scans, between skin and centre.
        modulation: how far the tube current follows the patient: m ~ exp(modulation p / 2), p the attenuation of a
            view. 0: constant current. 1: the square root of the attenuation, which gives the least noise in the
            middle for a given sum of currents, as sum exp(p_i) / m_i is least for m_i ~ exp(p_i / 2).
    """

    source_mm: float | None = 595.0
    bow_tie: float = 0.75
    modulation: float = 1.0

    def __post_init__(self) -> None:
        if self.source_mm is not None and not 0 < self.source_mm < math.inf:
            raise ConfigError("The distance of the source is not positive", where=self.source_mm)
        for name in ("bow_tie", "modulation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"The scanner's {name} is not between 0 and 1", where=getattr(self, name))

    def fluence(self, integrals: Tensor, beam: ParallelBeam, field_mm: float) -> Tensor:
        """Photons of each ray in air as a share of those of the axis' rays, whose mean over views is 1.

        Args:
            integrals: p, line integrals of the patient, shape (slices, views, detectors).
            beam: their rays.
            field_mm: width of the field; sets the bow-tie filter.

        Returns:
            (slices, views, detectors), > 0.
        """
        s = beam.positions().to(integrals)
        return self._filter(s, field_mm) * self._current(integrals, s)

    def _filter(self, s: Tensor, field_mm: float) -> Tensor:
        """exp(-bow_tie mu (2 R - chord)) with R half the field, chord = 2 sqrt(R^2 - s^2); shape (detectors,).

        A fan's rays lie cos(gamma) closer to each other on the parallel detector, and so give more photons there.
        """
        radius = min(max(field_mm / 2, BOW_TIE_RADIUS_MM[0]), BOW_TIE_RADIUS_MM[1])
        missing = 2 * radius - 2 * (radius**2 - s**2).clamp(min=0).sqrt()
        profile = torch.exp(-self.bow_tie * MU_WATER * missing)
        return profile if self.source_mm is None else profile / torch.cos(self._fan_angle(s))

    def _current(self, integrals: Tensor, s: Tensor) -> Tensor:
        """m(tube angle) of every ray, mean 1 over views; shape (slices, views, 1 or detectors)."""
        attenuation = (integrals**2).sum(2) / integrals.sum(2).clamp(
            min=1e-6
        )  # of the rays that pass the body
        strength = self.modulation / 2 * (attenuation - attenuation.mean(1, keepdim=True))
        current = strength.clamp(-3, 3).exp()
        current = current / current.mean(1, keepdim=True)
        if self.source_mm is None or self.modulation == 0:
            return current[:, :, None]
        views = current.shape[1]
        shift = self._fan_angle(s) * (views / math.pi)
        theta = torch.arange(views, device=s.device)[:, None]
        return (_around(current, theta - shift) + _around(current, theta + shift)) / 2

    def _fan_angle(self, s: Tensor) -> Tensor:
        return torch.asin((s / (self.source_mm or math.inf)).clamp(-0.9, 0.9))


def _around(values: Tensor, position: Tensor) -> Tensor:
    """Rows of values (slices, n), which repeat after n, at positions between them, linearly interpolated."""
    left = position.floor()
    index, n = left.long(), values.shape[1]
    return torch.lerp(values[:, index % n], values[:, (index + 1) % n], position - left)
