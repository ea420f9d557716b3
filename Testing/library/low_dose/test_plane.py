"""Noise is inserted in the plane in which the scanner turned, and in no other."""

from __future__ import annotations

import numpy as np
import pytest

from CTInvarianceLib.base import GeometryWarning, VolumeError
from CTInvarianceLib.low_dose import scan_noise, simulate_low_dose
from CTInvarianceLib.volumes import CTVolume


def water(*, step: tuple[float, float, float], down: tuple[float, float, float]) -> CTVolume:
    """Two slices of noisy water; `down`: along the rows index, `step`: from slice to slice, mm."""
    g = (np.arange(64) - 31.5) * 5
    inside = (g[None] / 140) ** 2 + (g[:, None] / 110) ** 2 < 1
    hu = np.where(inside, 0, -1000) + np.random.default_rng(0).normal(0, 10, (2, 64, 64))
    affine = np.eye(4)
    affine[:3, :3] = np.transpose([(5, 0, 0), down, step])
    return CTVolume(hu.astype(np.float32), affine)


@pytest.mark.parametrize("work", [lambda volume: simulate_low_dose(volume, 0.5), scan_noise])
def test_slices_that_are_not_axial_are_refused(work):
    assert work(water(down=(0, 5, 0), step=(0, 0, 3))) is not None
    with pytest.raises(VolumeError, match="its slices are coronal"):
        work(water(down=(0, 0, -5), step=(0, 3, 0)))


def test_a_tilted_gantry_is_no_reason_but_oblique_slices_are_named():
    down, across = (0, 5 * np.cos(0.35), -5 * np.sin(0.35)), (0, 3 * np.sin(0.35), 3 * np.cos(0.35))
    assert simulate_low_dose(water(down=down, step=(0, 0, 3)), 0.5).shape == (2, 64, 64)
    with pytest.warns(GeometryWarning, match="oblique, 20 degrees"):
        simulate_low_dose(water(down=down, step=across), 0.5)
