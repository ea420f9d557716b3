"""The store: converted once, whole or not at all, by one process or several."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib import read_volume
from CTInvarianceLib.base import DataError, DicomError, VolumeError
from CTInvarianceLib.config import DataConfig
from CTInvarianceLib.data import Store, load_patients, needed
from CTInvarianceLib.data.store import own_seed
from CTInvarianceLib.sources import CTSeries, SeriesPair, find_pairs

HU = np.random.default_rng(0).integers(-1000, 2000, (5, 24, 32), dtype=np.int16)
TAGS = {"PixelSpacing": [0.75, 0.75], "ConvolutionKernel": "B30f", "BodyPartExamined": "CHEST"}


def body() -> np.ndarray:
    """One noisy slice of 64×64 with soft tissue, for pixels of 4 mm."""
    hu = np.full((1, 64, 64), -1000)
    hu[:, 12:52, 8:56] = 40
    noisy = hu + np.random.default_rng(1).normal(0, 12, hu.shape)
    return noisy.clip(-1024).astype(np.int16)


def write(folder: Path, description: str = "full dose", uid: str = "1.1", hu=HU, patient="p", **tags) -> Path:
    write_series(
        folder,
        hu,
        PatientID=patient,
        SeriesDescription=description,
        SeriesInstanceUID=uid,
        **{**TAGS, **tags},
    )
    return folder


def only(folder: Path) -> CTSeries:
    (pair,) = find_pairs(folder)
    return pair.full_dose


def names(store: Store) -> list[str]:
    return sorted(each.name for each in store.folder.iterdir() if each.name != ".locks")


def test_a_series_is_kept_with_its_place_and_ids(tmp_path):
    series, store = only(write(tmp_path / "in")), Store(tmp_path / "store")
    fractions: list[float] = []
    stored = store.series(series, progress=fractions.append)
    original = read_volume(tmp_path / "in")
    assert np.array_equal(stored.hu, HU)
    assert stored.hu.dtype == np.int16
    assert not stored.hu.flags.writeable
    assert np.array_equal(stored.volume().affine, original.affine)
    assert (stored.patient_id, stored.series_uid, stored.kernel, stored.anatomy) == (
        "p",
        "1.1",
        "B30f",
        "chest",
    )
    assert stored.files == [str(path) for path in series.files]
    (again,) = store.entries()
    assert again == stored
    assert HU.nbytes < stored.size < HU.nbytes + 8192


def test_a_stored_series_is_not_read_again_and_a_changed_one_is(tmp_path):
    folder, store = write(tmp_path / "in"), Store(tmp_path / "store")
    first = store.series(only(folder))
    made = (first.folder / "hu.npy").stat().st_mtime_ns
    assert store.series(only(folder)) == first
    assert (first.folder / "hu.npy").stat().st_mtime_ns == made
    write(folder, hu=HU + 1)
    changed = store.series(only(folder))
    assert changed.folder != first.folder
    assert np.array_equal(changed.hu, HU + 1)


def test_float_values_stay_float(tmp_path):
    series = only(write(tmp_path / "in", RescaleSlope=0.3, RescaleIntercept=-1000.5))
    stored = Store(tmp_path / "store").series(series)
    assert stored.dtype == "float32"
    assert np.array_equal(stored.hu, read_volume(tmp_path / "in").hu)


def test_nothing_of_an_unreadable_series_stays(tmp_path):
    series, store = only(write(tmp_path / "in")), Store(tmp_path / "store")
    series.files[2].write_bytes(series.files[2].read_bytes()[:-50])
    with pytest.raises(DicomError, match=series.files[2].name):
        store.series(series)
    assert not store.entries()
    assert not names(store)


@pytest.mark.parametrize("damage", ["half an array", "no facts", "other facts", "unfinished"])
def test_what_is_not_whole_is_made_anew(tmp_path, damage):
    series, store = only(write(tmp_path / "in")), Store(tmp_path / "store")
    entry = store.series(series).folder
    if damage == "half an array":
        (entry / "hu.npy").write_bytes((entry / "hu.npy").read_bytes()[:-100])
    elif damage == "no facts":
        (entry / "series.json").unlink()
    elif damage == "other facts":
        facts = json.loads((entry / "series.json").read_text())
        (entry / "series.json").write_text(json.dumps({**facts, "shape": [1, 2, 3]}))
    else:
        entry.rename(entry.with_name(f".{entry.name}"))
    assert not store.entries()
    assert np.array_equal(store.series(series).hu, HU)
    assert names(store) == [entry.name]


WRITER = """
import sys, time
from pathlib import Path
from CTInvarianceLib.sources import find_pairs
from CTInvarianceLib.data import Store
(pair,) = find_pairs(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
stored = Store(Path(sys.argv[2])).series(pair.full_dose, progress=lambda f: time.sleep(float(sys.argv[3])))
print(stored.folder.name, (stored.folder / "hu.npy").stat().st_mtime_ns, flush=True)
"""


def start(source: Path, store: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(source), str(store), str(pause)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_that_build_at_once_build_one_entry(tmp_path):
    folder = write(tmp_path / "in")
    processes = [start(folder, tmp_path / "store", 0.05) for _ in range(3)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {process.communicate(timeout=600)[0].strip() for process in processes}
    assert len(said) == 1
    assert len(Store(tmp_path / "store").entries()) == 1


def test_a_killed_process_leaves_no_half_entry_and_no_lock(tmp_path):
    folder, store = write(tmp_path / "in"), Store(tmp_path / "store")
    process = start(folder, store.folder, 30)
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()
    while not (store.folder / ".locks").is_dir():
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.communicate()
    assert not store.entries()
    assert np.array_equal(store.series(only(folder)).hu, HU)


def test_size_is_known_before_and_room_is_asked_for(tmp_path, monkeypatch):
    write(tmp_path / "a" / "low", "low dose", "1.1")
    write(tmp_path / "a" / "full", "full dose", "1.2")
    write(tmp_path / "b", "full dose", "2.1", patient="q", hu=body(), PixelSpacing=[4, 4])
    pairs, store = find_pairs(tmp_path), Store(tmp_path / "store")
    before = needed(pairs, DataConfig(), store, seed=0)
    assert before.series == 4
    load_patients(pairs, DataConfig(), seed=0, store=store)
    on_disk = sum(entry.size for entry in store.entries())
    assert before.size == pytest.approx(on_disk, abs=4 * 4096)
    assert needed(pairs, DataConfig(), store, seed=0).series == 0
    assert needed(pairs, DataConfig(), store, seed=1).series == 1  # another noise
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(DataError, match=r"take < 1 MB, and < 1 MB are free.*Choose a store on another disk"):
        load_patients(pairs, DataConfig(), seed=1, store=store)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    series = only(write(tmp_path / "in"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"the store cannot be written to.*file/store.*another folder"):
        Store(tmp_path / "file" / "store").series(series)


def test_entries_are_deleted_and_those_in_use_stay_readable(tmp_path):
    store = Store(tmp_path / "store")
    stored = store.series(only(write(tmp_path / "in")))
    hu = stored.hu
    store.delete(stored)
    assert not store.entries()
    assert not names(store)
    assert np.array_equal(hu, HU)


def test_simulated_noise_belongs_to_its_series(tmp_path):
    """Two patients get different noise, whatever else is there; rounded to whole HU like what it comes from."""
    for name, uid in (("a", "1.1"), ("b", "2.1")):
        write(tmp_path / name, uid=uid, patient=name, hu=body(), PixelSpacing=[4, 4])
    store, config = Store(tmp_path / "store"), DataConfig(dose=0.25)
    a, b = load_patients(find_pairs(tmp_path), config, seed=0, store=store)
    noise = [p.low_dose.astype(int) - p.full_dose for p in (a, b)]
    assert a.low_dose.dtype == np.int16
    assert all(4 < n.std() < 60 for n in noise)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.2
    (alone,) = load_patients(find_pairs(tmp_path / "b"), config, seed=0, store=Store(tmp_path / "other"))
    assert np.array_equal(alone.low_dose, b.low_dose)
    series = find_pairs(tmp_path / "a")[0].full_dose
    assert own_seed(series, 0) != own_seed(series, 1)


def test_a_pair_on_different_grids_is_refused(tmp_path):
    from CTInvarianceLib.files import write_volume
    from CTInvarianceLib.volumes import CTVolume

    write_volume(CTVolume(HU, np.diag([1.0, 1, 3, 1])), tmp_path / "a.full.nrrd")
    write_volume(CTVolume(HU, np.diag([1.0, 1.01, 3, 1])), tmp_path / "a.low.nrrd")
    low, full = (CTSeries("a", "", dose, (tmp_path / f"a.{dose}.nrrd",)) for dose in ("low", "full"))
    with pytest.raises(VolumeError, match=r"do not match.*a\.low\.nrrd"):
        load_patients([SeriesPair(low, full, "a")], DataConfig(), seed=0, store=Store(tmp_path / "store"))


def test_random_slices_come_at_the_speed_of_memory(tmp_path):
    """A mapped slice against the same one in memory: the same order of magnitude once it has been read.

    The quickest of many turns, which alternate: what disturbs one side for a while does not decide.
    """
    hu = np.random.default_rng(0).integers(-1000, 2000, (60, 256, 256), dtype=np.int16)
    stored = Store(tmp_path / "store").series(only(write(tmp_path / "in", hu=hu)))
    order = np.random.default_rng(1).permutation(60).tolist()

    def seconds(array: np.ndarray) -> float:
        start = time.perf_counter()
        for k in order:
            array[k].sum()
        return time.perf_counter() - start

    turns = [(seconds(stored.hu), seconds(hu)) for _ in range(30)]
    mapped, in_memory = (min(times) for times in zip(*turns, strict=True))
    assert mapped < 2 * in_memory
