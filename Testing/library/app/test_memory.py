"""A long scan: memory grows with the slices by no more than the file that is read and the one that is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import CTInvarianceLib as cti

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="peaks of memory are asked of the system")

ROWS = 256
FEW, MANY = 40, 360
INPUT, OUTPUT = 2, 4  # bytes a voxel: int16, float32
NOISE = 0.3  # bytes a voxel by which the allocator may differ

_PEAK = """
import resource, sys
from CTInvarianceLib.app import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(*arguments: object) -> int:
    """Bytes of a process of its own."""
    process = subprocess.run(
        [sys.executable, "-c", _PEAK, *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return int(process.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024)


def scan(path: Path, slices: int, suffix: str, intercept: int) -> Path:
    one = np.random.default_rng(0).normal(40, 30, (ROWS, ROWS)).astype(np.int16)
    one[:60] = -1000
    file = path / f"{slices}{suffix}"
    cti.write_volume(
        cti.CTVolume(np.repeat(one[None] - intercept, slices, 0), np.diag([1.5, 1.5, 3, 1])), file
    )
    if intercept:
        with file.open("r+b") as nifti:
            nifti.seek(116)  # scl_inter
            nifti.write(np.float32(intercept).tobytes())
    return file


@pytest.mark.parametrize(("suffix", "intercept"), [(".nrrd", 0), (".mha", 0), (".nii", -1024)])
def test_denoising_keeps_the_input_alone(tmp_path, tiny_models, suffix, intercept):
    few, many = (
        peak(
            "denoise", scan(tmp_path, slices, suffix, intercept), "--models", tiny_models,
            "--denoiser", "identity", "--out", tmp_path / f"out-{slices}{suffix}",
        )
        for slices in (FEW, MANY)
    )  # fmt: skip
    a_voxel = (many - few) / ((MANY - FEW) * ROWS * ROWS)
    assert a_voxel < INPUT + (INPUT if intercept else 0) + NOISE
    assert a_voxel < INPUT + OUTPUT
