"""From pairs of series to slices that lie at hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dicom_files import write_series

import CTInvarianceLib as cti
from CTInvarianceLib.base import Cancelled, DataError, PairingWarning
from CTInvarianceLib.config import DataConfig
from CTInvarianceLib.data import Store, load_patients
from CTInvarianceLib.tensors import MEAN, STD, denormalize, normalize


def test_a_missing_low_dose_is_simulated(ct_small, tmp_path):
    pairs = cti.find_pairs(ct_small)
    assert pairs[0].low_dose is None
    (simulated,) = load_patients(pairs, DataConfig(dose=0.25), seed=0, store=Store(tmp_path))
    noise = simulated.low_dose.astype(int) - simulated.full_dose
    assert noise.shape == (1, 128, 128)
    assert 5 < noise.std() < 90


def test_slices_pair_by_position(tmp_path):
    """Low dose lacks a slice in the middle, full dose the last one: what both have is aligned."""
    hu = np.random.default_rng(0).integers(-1000, 2000, (6, 8, 8), dtype=np.int16)
    z = np.arange(6) * 3.0
    for name, uid, kept, add in (("low", "1.1", [5, 4, 3, 1, 0], 7), ("full", "1.2", [0, 1, 2, 3, 4], 0)):
        write_series(
            tmp_path / name, hu[kept] + add, positions=[(0, 0, z[k]) for k in kept], PatientID="p",
            SeriesDescription=f"{name} dose", SeriesInstanceUID=uid,
        )  # fmt: skip
    with pytest.warns(PairingWarning):
        pairs = cti.find_pairs(tmp_path)
    (both,) = load_patients(pairs, DataConfig(), seed=0, store=Store(tmp_path / "store"))
    assert np.array_equal(both.full_dose, hu[[0, 1, 3, 4]])
    assert np.array_equal(both.low_dose, both.full_dose + 7)


def test_a_cancelled_conversion_keeps_what_is_finished(tiny_source, tmp_path):
    pairs, store = cti.find_pairs(tiny_source), Store(tmp_path)

    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        load_patients(pairs, DataConfig(), seed=0, store=store, progress=stop)
    assert 0 < len(store.entries()) < 2 * len(pairs)
    fractions: list[float] = []
    assert len(load_patients(pairs, DataConfig(), seed=0, store=store, progress=fractions.append)) == len(
        pairs
    )
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_nothing_to_load_is_said(tmp_path):
    with pytest.raises(DataError, match="no series to train on"):
        load_patients([], DataConfig(), seed=0, store=Store(tmp_path))


def test_normalisation_and_back():
    hu = torch.tensor([-1024.0, 0, 40, 3071])
    torch.testing.assert_close(denormalize(normalize(hu)), hu, atol=1e-3, rtol=0)
    assert float(normalize(torch.tensor(MEAN - 1024))) == pytest.approx(0)
    assert float(normalize(torch.tensor(MEAN + STD - 1024))) == pytest.approx(1, rel=1e-6)
