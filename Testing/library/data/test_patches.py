"""Patches: aligned, every patient equally likely, the same on any number of workers and processes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from closeness import assert_same

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.data import Patches, PatientSlices
from CTInvarianceLib.data.slices import DeviceSlices, HostSlices
from CTInvarianceLib.tensors import denormalize


def patient(
    name: str, slices: int, value: int | None = None, sides: tuple[int, int] = (40, 48)
) -> PatientSlices:
    """Slices of one value, or such that every pixel of every slice has its own."""
    full = np.full((slices, *sides), value or 0, np.int16)
    if value is None:
        full = np.arange(full.size, dtype=np.float32).reshape(full.shape)
    return PatientSlices(name, full + 1, full)


def values(images: torch.Tensor) -> np.ndarray:
    return denormalize(images.double()).round().numpy().astype(int)


def chi_square(counts: np.ndarray) -> float:
    return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())


def test_patients_are_equally_likely_whatever_their_number_of_slices():
    patches = Patches([patient("a", 400, 10), patient("b", 30, 20), patient("c", 1, 30)])
    _, full = patches.draw(3000, 8, seed=0)
    found, counts = np.unique(values(full[:, 0, 0, 0]), return_counts=True)
    assert found.tolist() == [10, 20, 30]
    assert chi_square(counts) < 13.8  # p = 0.001, two degrees of freedom


def test_slices_of_a_patient_are_equally_likely_in_all_of_its_series():
    """30 and 400 slices of two patients, one of whom has two series: chi-square over patients, then over slices."""
    numbered = []
    for name, first, count in (("a", 0, 10), ("b", 30, 400), ("a", 10, 20)):
        hu = np.arange(first, first + count, dtype=np.int16).repeat(64).reshape(count, 8, 8)
        numbered.append(PatientSlices(name, hu, hu))
    _, full = Patches(numbered, skip_air=False).draw(40_000, 4, seed=1)
    counts = np.bincount(values(full[:, 0, 0, 0]), minlength=430)
    assert (
        chi_square(np.array([counts[:30].sum(), counts[30:].sum()])) < 10.8
    )  # p = 0.001, 1 degree of freedom
    assert chi_square(counts[:30]) < 58.3  # 29
    assert chi_square(counts[30:]) < 491.5  # 399


def test_places_are_uniform_up_to_the_border():
    _, full = Patches([patient("a", 1)], flips=False).draw(30_000, 38, seed=2)
    corner = values(full[:, 0, 0, 0])
    rows, columns = np.divmod(corner, 48)
    assert (rows.max(), columns.max()) == (2, 10)
    assert chi_square(np.bincount(rows * 11 + columns, minlength=33)) < 62.5  # p = 0.001, 32


def test_low_and_full_dose_patches_are_of_one_place():
    low, full = Patches([patient("a", 3)], quarter_turns=True).draw(50, 16, seed=3)
    assert np.array_equal(values(low) - values(full), np.ones((50, 1, 16, 16)))
    assert len(np.unique(values(full[:, 0, 0, 0]))) > 45


@pytest.mark.parametrize(
    ("flips", "turns", "kinds"), [(False, False, 1), (True, False, 4), (True, True, 8), (False, True, 2)]
)
def test_all_ways_to_turn_occur_equally_often(flips, turns, kinds):
    _, full = Patches([patient("a", 1)], flips=flips, quarter_turns=turns).draw(4000, 8, seed=4)
    steps = [tuple(np.subtract(v[[1, 0], [0, 1]], v[0, 0])) for v in values(full[:, 0])]
    found, counts = np.unique(steps, axis=0, return_counts=True)
    expected = {(48, 1)} | ({(a * 48, b) for a in (1, -1) for b in (1, -1)} if flips else set())
    expected |= {(b, a) for a, b in expected} if turns else set()
    assert {tuple(each) for each in found.tolist()} == expected
    assert len(expected) == kinds
    assert chi_square(counts) < 24.4  # p = 0.001, 7


def test_air_is_skipped_where_asked():
    full = np.full((1, 64, 64), -1000, np.int16)
    full[:, :, :16] = 40
    empty = []
    for skip in (True, False):
        _, drawn = Patches([PatientSlices("a", full, full)], skip_air=skip).draw(2000, 16, seed=5)
        empty.append(float(((values(drawn) > -500).mean((1, 2, 3)) < 0.1).mean()))
    alone = empty[1]
    assert 0.5 < alone < 0.8
    assert empty[0] == pytest.approx(alone**4, abs=0.03)  # four places looked at


@pytest.mark.parametrize("seed", [7, (7, 3)])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_processes_and_threads_together_draw_what_one_alone_would(ranks, workers, seed):
    patches = Patches([patient("a", 20), patient("b", 3)], quarter_turns=True)
    together = [patches.draw(12, 16, seed=seed, first=12 * step) for step in range(4, 9)]
    shared = [
        list(patches.batches(12, 16, seed=seed, steps=range(4, 9), rank=rank, ranks=ranks, workers=workers))
        for rank in range(ranks)
    ]
    for step, (low, full) in enumerate(together):
        for rank in range(ranks):
            assert torch.equal(shared[rank][step][0], low[rank::ranks])
            assert torch.equal(shared[rank][step][1], full[rank::ranks])


def test_other_seeds_give_other_patches():
    patches = Patches([patient("a", 20)])
    one, same, other, third = (patches.draw(8, 16, seed=seed)[1] for seed in (0, 0, 1, (0, 1)))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(other, third)


def test_an_error_of_a_thread_arrives_and_a_loop_left_early_ends_its_threads():
    patches = Patches([patient("a", 3)])
    with pytest.raises(VolumeError):
        next(patches.batches(2, 64, seed=0, steps=range(5), workers=2))
    batches = patches.batches(2, 8, seed=0, steps=range(10_000), workers=2)
    next(batches)
    batches.close()


def test_slices_on_a_device_give_the_same_patches(request):
    """The device's code on whatever is at hand: the CPU counts as one here."""
    patients = [patient("a", 4), patient("b", 2, 7, (33, 35)), patient("a", 2, sides=(50, 34))]
    patches = Patches(patients, quarter_turns=True)
    assert isinstance(patches._slices, HostSlices)
    expected = patches.draw(200, 32, seed=9)
    patches._slices = DeviceSlices(
        patches.patients, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )
    assert patches.resident
    for ours, theirs in zip(patches.draw(200, 32, seed=9), expected, strict=True):
        assert_same(ours, theirs)


def test_a_slice_smaller_than_the_patch_is_named():
    with pytest.raises(VolumeError, match="40×48 pixels are smaller than a patch of 64×64: a"):
        Patches([patient("b", 1, 0, (70, 70)), patient("a", 1, 0)]).draw(1, 64, seed=0)


def test_the_margin_is_what_all_slices_have_room_for():
    patches = Patches([patient("a", 1, 0), patient("b", 1, 0, (100, 90))])
    assert [patches.margin(32, wanted) for wanted in (0, 3, 20)] == [0, 3, 4]


CUT = """
import os, sys
from pathlib import Path
import numpy as np
from CTInvarianceLib.data import Patches, PatientSlices
from CTInvarianceLib.volumes import open_hu

def mapped(name):
    return open_hu(Path(sys.argv[1], name)).view(np.ndarray)

patients = [PatientSlices("a", mapped("low.npy"), mapped("full.npy"))]
patches, inside = Patches(patients), Patches([PatientSlices("a", *(np.array(x) for x in (p.low_dose, p.full_dose)))
                                              for p in patients])
def same():
    return all((a == b).all() for a, b in zip(patches.draw(9, 16, seed=0), inside.draw(9, 16, seed=0)))

print(same())
os.rename(Path(sys.argv[1], "low.npy"), Path(sys.argv[1], "gone.npy"))
print(same())
os.truncate(Path(sys.argv[1], "full.npy"), 4096)
try:
    patches.draw(9, 16, seed=0)
except Exception as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody can cut a file that is mapped")
def test_a_file_that_is_cut_while_patches_are_drawn_is_an_error(tmp_path):
    """Of a map, what lies behind the new end ends the process: SIGBUS."""
    for name in ("low", "full"):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).integers(-100, 100, (8, 64, 64), np.int16))
    process = subprocess.run(
        [sys.executable, "-c", CUT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    with_all, with_one_renamed, error = process.stdout.splitlines()
    assert (with_all, with_one_renamed) == ("True", "True")
    assert error.startswith("a converted series cannot be read any more (it is shorter than it was)")
    assert str(tmp_path / "full.npy") in error
