"""A data source of many DICOM files: the first scan, the scan after it, and their memory.

python benchmarks/scanning.py [--files 50000] [--folder TREE] [--out FILE]

TREE is kept, and reused where it is there. The tree has 100 slices of 16×16 in a series; of four series two are a pair
of one patient, two are single. Each scan runs in a process of its own. The ratios are those of `timing.compare`: a scan
of the first 1000 files without index, against `pydicom.dcmread(stop_before_pixels=True)` of the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

SLICES = 100  # of a series
SAMPLE = 1000  # files that pydicom reads too
_UID = "1.2.826.0.1.3680043.10.1511.9{:011d}"  # of one length


def make_tree(folder: Path, files: int) -> None:
    """Write `files` DICOM files by putting names, UIDs and positions into the bytes of one."""
    template = _template(folder)
    for number in range(files // SLICES):
        patient, second = [(0, 0), (0, 1), (1, 0), (2, 0)][number % 4]
        patient += number // 4 * 3
        description = "Axial 3.0 B30f  "
        if number % 4 < 2:
            description = "Full Dose Images" if second else "Low Dose Images "
        place = (
            folder
            / f"P{patient:05d}"
            / "12-23-2021-NA-NA-61870"
            / f"{second + 1}.000000-{description.strip()}-{number:05d}"
        )
        place.mkdir(parents=True)
        for k in range(SLICES):
            content = template(patient, number, k, description)
            (place / f"1-{k + 1:03d}.dcm").write_bytes(content)


def _template(folder: Path) -> Callable[[int, int, int, str], bytes]:
    """A function that makes the content of one file, of values as long as those of the template."""
    import numpy as np
    from dicom_files import write_slice

    marks = {
        "series": _UID.format(0),
        "study": _UID.format(1),
        "instance": _UID.format(2),
    }
    path = write_slice(
        folder / "template",
        np.zeros((16, 16), "<u2"),
        PatientID="P#####",
        SeriesDescription="S" * 16,
        SeriesInstanceUID=marks["series"],
        StudyInstanceUID=marks["study"],
        SOPInstanceUID=marks["instance"],
        ImagePositionPatient=["-10", "-20", "1234.5"],
        BodyPartExamined="CHEST",
        ConvolutionKernel="B30f",
        Manufacturer="SIEMENS",
        KVP="120",
        StudyDate="20211223",
        PatientName="anonymous",
    )
    content = path.read_bytes()
    path.unlink()

    def filled(patient: int, series: int, k: int, description: str) -> bytes:
        return (
            content.replace(b"P#####", b"P%05d" % patient)
            .replace(b"S" * 16, description.encode())
            .replace(marks["series"].encode(), _UID.format(10**9 + series).encode())
            .replace(marks["study"].encode(), _UID.format(10**10 + patient).encode())
            .replace(marks["instance"].encode(), _UID.format(2 * 10**10 + series * SLICES + k).encode())
            .replace(b"1234.5", b"%06.1f" % (1.5 * k))
        )

    return filled


def measure(folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of one scan in this process, with the index that the environment names."""
    import resource

    from CTInvarianceLib.sources import scan

    heard: list[float] = []
    start, worked = time.perf_counter(), time.process_time()
    found = scan(folder, progress=heard.append)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform != "darwin" else 1024**2
    )
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(time.process_time() - worked, 3),
        "peak_mb": round(peak, 1),
        "files": found.files,
        "read": found.read,
        "pairs": sum(pair.low_dose is not None for pair in found.pairs),
        "problems": len(found.problems),
        "progress_calls": len(heard),
    }


def measured(folder: Path, cache: Path) -> dict[str, Any]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--measure", str(folder)]
    environment = {**os.environ, "CTINVARIANCE_CACHE": str(cache)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)


def ratios(folder: Path) -> dict[str, dict[str, float]]:
    """Files per second of a scan without index, and of pydicom's reading of the same headers."""
    import pydicom
    from timing import compare

    from CTInvarianceLib.dicom.header import _TAGS
    from CTInvarianceLib.sources import HeaderIndex, scan

    sample = sorted(folder.rglob("*.dcm"))[:SAMPLE]

    def ours() -> None:
        scan(sample, index=HeaderIndex(None))

    def undecoded() -> None:
        for file in sample:
            pydicom.dcmread(file, stop_before_pixels=True)

    def decoded() -> None:
        for file in sample:
            dataset = pydicom.dcmread(file, stop_before_pixels=True)
            [dataset.get(tag) for tag in _TAGS]

    found = {}
    for title, theirs in (("pydicom, nothing decoded", undecoded), ("pydicom, the same tags", decoded)):
        result = compare(ours, theirs, repeats=7, warm_up=1)
        speeds = {name: round(len(sample) / getattr(result, name)) for name in ("ours", "theirs")}
        found[title] = {
            **{f"{name}_files_per_s": speed for name, speed in speeds.items()},
            "ratio": result.ratio,
        }
    return found


@contextlib.contextmanager
def _tree(folder: Path | None, files: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        tree = folder or Path(scratch, "tree")
        if not tree.is_dir():
            make_tree(tree, files)
        yield tree


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rescans", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with _tree(options.folder, options.files) as tree, tempfile.TemporaryDirectory() as cache:
        first = measured(tree, Path(cache))
        again = [measured(tree, Path(cache)) for _ in range(options.rescans)]
        size = sum(file.stat().st_size for file in Path(cache).iterdir())
        found = {
            "first scan": {**first, "files_per_s": round(first["files"] / first["seconds"])},
            "rescan": sorted(again, key=lambda each: each["seconds"])[len(again) // 2],
            "index_mb": round(size / 1e6, 1),
            **ratios(tree),
        }
    for name, figures in found.items():
        print(f"{name}: {figures}")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
