"""Patches and splits: aligned, every patient equally likely, nobody in two parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.config import DataConfig
from CTInvarianceLib.dataset import Patches, PatientSlices, load_patients
from CTInvarianceLib.errors import DataError, VolumeError
from CTInvarianceLib.normalization import MEAN, STD, denormalize, normalize
from CTInvarianceLib.partition import split_patients


def patient(name, slices, value):
    full = np.full((slices, 40, 48), value, np.int16)
    return PatientSlices(name, full + 1, full)


def test_patients_are_equally_likely_whatever_their_number_of_slices():
    patches = Patches([patient("a", 400, 10), patient("b", 30, 20), patient("c", 1, 30)])
    _, full = patches.draw(3000, 8, generator=torch.Generator().manual_seed(0))
    values, counts = np.unique(denormalize(full[:, 0, 0, 0]).round().numpy(), return_counts=True)
    assert values.tolist() == [10, 20, 30]
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_square < 13.8  # p = 0.001, two degrees of freedom


def test_low_and_full_dose_patches_are_of_one_place_and_seeded():
    rng = np.random.default_rng(0)
    full = rng.normal(0, 100, (3, 40, 48)).astype(np.float32)
    patches = Patches([PatientSlices("a", full + 7, full)], skip_air=False)
    low, high = patches.draw(20, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        denormalize(low) - denormalize(high), torch.full((20, 1, 16, 16), 7.0), atol=1e-3, rtol=0
    )
    again, _ = patches.draw(20, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(low, again)
    assert len({float(p.sum()) for p in low}) == 20


def test_air_is_skipped_where_asked():
    full = np.full((1, 64, 64), -1000, np.int16)
    full[:, :, :16] = 40
    generator = torch.Generator().manual_seed(0)
    tissue = []
    for skip in (True, False):
        _, drawn = Patches([PatientSlices("a", full, full)], skip_air=skip).draw(200, 16, generator=generator)
        tissue.append((denormalize(drawn) > -500).float().mean((1, 2, 3)))
    empty = [(t < 0.1).float().mean() for t in tissue]
    assert empty[0] < 0.4 * empty[1]


def test_a_slice_smaller_than_the_patch_is_named():
    with pytest.raises(VolumeError, match="40×48 pixels are smaller than a patch of 64×64: a"):
        Patches([patient("a", 1, 0)]).draw(1, 64, generator=torch.Generator())


def test_splits_are_disjoint_seeded_and_complete():
    ids = [f"p{i}" for i in range(10)]
    training, validation = split_patients(ids, DataConfig(validation=0.3), seed=1)
    assert sorted(training + validation) == ids
    assert len(validation) == 3
    assert split_patients(ids[::-1] + ids, DataConfig(validation=0.3), seed=1) == (training, validation)
    assert split_patients(ids, DataConfig(validation=0.3), seed=2) != (training, validation)
    assert split_patients(ids, DataConfig(validation_patients=("p3",)), seed=1)[1] == ["p3"]
    with pytest.raises(DataError, match="none is left"):
        split_patients(["p1"], DataConfig(validation_patients=("p1",)), seed=0)


def test_a_missing_low_dose_is_simulated(ct_small):
    pairs = cti.find_pairs(ct_small)
    assert pairs[0].low_dose is None
    (simulated,) = load_patients(pairs, DataConfig(dose=0.25), seed=0)
    noise = simulated.low_dose - simulated.full_dose
    assert noise.shape == (1, 128, 128)
    assert 5 < noise.std() < 60


def test_normalisation_and_back():
    hu = torch.tensor([-1024.0, 0, 40, 3071])
    torch.testing.assert_close(denormalize(normalize(hu)), hu, atol=1e-3, rtol=0)
    assert float(normalize(torch.tensor(MEAN - 1024))) == pytest.approx(0)
    assert float(normalize(torch.tensor(MEAN + STD - 1024))) == pytest.approx(1, rel=1e-6)
