"""Samples on other processors: the same seed gives the same images, but for the rounding of single precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

import CTInvarianceLib as cti

HU = 0.01  # samples reach 2000 HU, of which single precision keeps 0.0002; networks of the demo: 0.0034
DRAW = """
import sys
import numpy as np
import CTInvarianceLib as cti

patch, out, *folders = sys.argv[1:]
images = []
for models in map(cti.Models.load, folders):
    for denoiser, layer, domain in (("chen", "1", "low"), ("chen", "5", "full"), ("yang", "8", "low")):
        images.append(models.sample(np.load(patch), denoiser, layer, n=8, domain=domain, seed=3).images)
np.save(out, np.stack(images))
"""
# What oneDNN, PyTorch and MKL may use of this processor; they read it when they start.
PROCESSORS = {
    "this one": {},
    "SSE 4.1, 1 thread": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "OMP_NUM_THREADS": "1",
    },
    "AVX, 4 threads": {"ONEDNN_MAX_CPU_ISA": "AVX", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "4"},
    "AVX2, 2 threads": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "2"},
}


@pytest.fixture(scope="module")
def drawn(tiny_source, tiny_models, tiny_spatial_models, tmp_path_factory) -> dict[str, np.ndarray]:
    """Samples of one seed on every processor, HU."""
    folder: Path = tmp_path_factory.mktemp("processors")
    np.save(folder / "patch.npy", cti.read_volume(tiny.series(tiny_source)).hu[0, 16:48, 16:48])
    found = {}
    for name, settings in PROCESSORS.items():
        out = folder / f"{name}.npy"
        command = [sys.executable, "-c", DRAW, folder / "patch.npy", out, tiny_models, tiny_spatial_models]
        subprocess.run(list(map(str, command)), check=True, env={**os.environ, **settings})
        found[name] = np.load(out)
    return found


@pytest.mark.slow  # four processes
def test_samples_of_a_seed_agree_on_all_processors(drawn):
    ours = drawn["this one"]
    assert np.abs(ours[:, 0] - ours[:, 1]).max() > 50 * HU, "samples differ by more than that"
    apart = {name: float(np.abs(theirs - ours).max()) for name, theirs in drawn.items()}
    assert max(apart.values()) < HU, apart
