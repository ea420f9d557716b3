"""Pairs of 128×128 patches a second: from the store, and from MONAI's CacheDataset with RandSpatialCropSamplesd.

python benchmarks/patches.py [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from timing import Ratio, compare

from CTInvarianceLib.config import DataConfig
from CTInvarianceLib.data import Patches, PatientSlices, Store, load_patients
from CTInvarianceLib.files import write_volume
from CTInvarianceLib.sources import find_pairs
from CTInvarianceLib.tensors import normalize
from CTInvarianceLib.volumes import CTVolume

PATCH, BATCH = 128, 64
PATIENTS, SLICES, SIDE = 4, 40, 512
CROPS = 16  # that MONAI takes out of one slice: as many as it likes would be faster, and less random
THREADS = 2


def stored(folder: Path, patients: int = PATIENTS, slices: int = SLICES) -> list[PatientSlices]:
    """Noise on tissue, converted and mapped from disk like any series."""
    rng = np.random.default_rng(0)
    for number in range(patients):
        full = rng.normal(40, 20, (slices, SIDE, SIDE)).astype(np.int16)
        for dose, add in (("full", 0), ("low", 3)):
            volume = CTVolume(full + np.int16(add), np.diag([0.7, 0.7, 3, 1]))
            write_volume(volume, folder / "volumes" / f"p{number}.{dose}.nrrd")
    pairs = find_pairs(folder / "volumes", index=None)
    return load_patients(pairs, DataConfig(), seed=0, store=Store(folder / "store"))


def ours(patients: list[PatientSlices], size: int = PATCH) -> Callable[[], object]:
    """One batch a call."""
    patches, number = Patches(patients), iter(range(10**9))
    return lambda: patches.draw(BATCH, size, seed=0, first=BATCH * next(number))


def monai(patients: list[PatientSlices], size: int = PATCH) -> Callable[[], object]:
    """One batch a call; slices lie in memory as normalised float32, one slice an item."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, RandFlipd, RandSpatialCropSamplesd

    keys = ("low", "full")
    items = [
        {
            key: torch.from_numpy(normalize(hu.astype(np.float32)))[None]
            for key, hu in zip(keys, pair, strict=True)
        }
        for patient in patients
        for pair in zip(patient.low_dose, patient.full_dose, strict=True)
    ]
    transform = Compose(
        [
            RandSpatialCropSamplesd(keys, roi_size=(size, size), num_samples=CROPS, random_size=False),
            RandFlipd(keys, prob=0.5, spatial_axis=0),
            RandFlipd(keys, prob=0.5, spatial_axis=1),
        ]
    )
    data = CacheDataset(items, transform, progress=False)
    loader = DataLoader(data, batch_size=BATCH // CROPS, shuffle=True, num_workers=0)

    def batches():
        while True:
            yield from loader

    endless = batches()
    return lambda: next(endless)


def measure(patients: list[PatientSlices], *, repeats: int = 15) -> Ratio:
    """Seconds for a batch."""
    return compare(ours(patients), monai(patients), repeats=repeats, warm_up=3)


def read_or_mapped(patients: list[PatientSlices]) -> Ratio:
    """Seconds for a batch: read from the files, as `Patches` does it, over read from their maps."""
    maps = [PatientSlices(each.patient_id, each.low_dose[:], each.full_dose[:]) for each in patients]
    return compare(ours(patients), ours(maps))


MEMORY = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
import patches

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

patients = [patches.PatientSlices(*each) for each in patches.mapped(Path(sys.argv[2]))]
draw = patches.ours(patients)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
before = status("VmRSS")
for _ in range(100):
    draw()
print(before, status("VmHWM"))
"""


def mapped(store: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What `stored` has made, in another process."""
    entries = {(each.patient_id, each.description): each.hu for each in Store(store).entries()}
    return [(p, entries[p, "low dose"], entries[p, "full dose"]) for p in sorted({p for p, _ in entries})]


def memory(store: Path) -> tuple[int, int]:
    """Bytes that a process takes before and at most during 100 batches, mapped pages among them (Linux)."""
    command = [sys.executable, "-c", MEMORY, str(Path(__file__).parent), str(store)]
    before, after = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(before), int(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        patients = stored(Path(folder))
        ratio, read = measure(patients), read_or_mapped(patients)
        before, after = memory(Path(folder) / "store")
        size = sum(p.low_dose.nbytes + p.full_dose.nbytes for p in patients)
    print(
        f"pairs of {PATCH}×{PATCH} a second: ours {BATCH / ratio.ours:.0f}, MONAI {BATCH / ratio.theirs:.0f}"
    )
    print(
        f"time for a batch of {BATCH}: {1e3 * ratio.ours:.2f} ms, {1e3 * ratio.theirs:.1f} ms, ratio {ratio.ratio:.3f}"
    )
    print(
        f"memory: {(after - before) / 1e6:.0f} MB more than before drawing; the store has {size / 1e6:.0f} MB"
    )
    print(
        f"files over maps: {1e3 * read.ours:.2f} ms and {1e3 * read.theirs:.2f} ms a batch, ratio {read.ratio:.2f}"
    )
    if arguments.out:
        figures = {"batch": asdict(ratio), "memory_bytes": after - before, "store_bytes": size}
        arguments.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
