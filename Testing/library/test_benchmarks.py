"""The benchmarks run, and their ratios keep their bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import CTInvarianceLib as cti

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RUNS, HANGS_S = 3, 3600

pytestmark = pytest.mark.slow


def figures(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    out = folder / f"{name}.json"
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--out", str(out), *arguments]
    # Threads that spin while they wait take the processor from each other where others want it too.
    patient = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "BENCHMARK_CLOCK": "processor"}
    subprocess.run(command, check=True, capture_output=True, timeout=HANGS_S, env=patient)
    return json.loads(out.read_text())


def keep(bound: Callable[[str], float], name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Ratios of a benchmark keep their bounds, each in the best of some runs: other programs may disturb one.

    Returns the figures of the last run; where the first one keeps them all, there is no other.
    """
    best: dict[str, float] = {}
    for _ in range(RUNS):
        measured = figures(name, folder, *arguments)
        print(name, {title: value["ratio"] for title, value in measured.items() if isinstance(value, dict)})
        for title, value in measured.items():
            if isinstance(value, dict):
                best[title] = min(value["ratio"], best.get(title, value["ratio"]))
        if all(ratio <= bound(title) for title, ratio in best.items()):
            return measured
    raise AssertionError({title: ratio for title, ratio in best.items() if ratio > bound(title)})


def test_the_flows_step_and_inverse_are_no_slower_than_freias(tmp_path):
    asserted = ("step, fused Adam", "inverse, a condition each")
    measured = keep(lambda title: 1.05 if title in asserted else 2, "flow", tmp_path, "--repeats", "11")
    assert set(asserted) < set(measured)


def test_stacked_flows_take_no_longer_than_one_after_another(tmp_path):
    measured = keep(lambda title: 1.1, "stacked_flows", tmp_path, "--flows", "4", "--repeats", "2")
    assert len(measured) == 2


def test_a_series_is_read_faster_than_by_anybody_else(tmp_path):
    # pydicom's plain loop decodes RLE by the same native code as ours, which is most of the work.
    measured = keep(
        lambda title: 1.25 if title == "RLE: pydicom" else 0.9,
        "reading", tmp_path, "--slices", "20", "--repeats", "3",
    )  # fmt: skip
    assert len(measured) >= 6


def test_patches_come_ten_times_as_fast_as_from_monai(tmp_path):
    measured = keep(lambda title: 0.1, "patches", tmp_path)
    assert measured["memory_bytes"] <= measured["store_bytes"] + 300e6


SAMPLING = {
    "25 of a patch": 0.5,  # against one by one
    "100 of a patch": 1.3,  # against 4 times 25: time grows no faster than the samples
    "one slice": 0.8,  # against tiles, which see their surroundings twice
    "25 patches decoded": 0.25,  # against MONAI
}


def test_many_samples_and_a_whole_slice_keep_their_ratios(tmp_path):
    def bound(title: str) -> float:
        return next(value for start, value in SAMPLING.items() if title.startswith(start))

    measured = keep(bound, "sampling", tmp_path, "--repeats", "1", "--ratios")
    assert len(measured) == 7


def test_every_loop_is_measured_and_its_operations_are_those_of_its_convolutions(tmp_path):
    measured = figures("gpu", tmp_path, "--small", "--seconds", "0.1", "--samples", "4")
    assert all(rate > 0 for rate in measured.pop("limits").values())
    samples = [name for name in measured if name.startswith("4 samples")]
    assert len(samples) == 2
    assert all(row["step_s"] > 0 for row in measured.values())
    loops = {name: row for name, row in measured.items() if "flops" in row}
    assert len(loops) >= 7
    for row in loops.values():
        assert row["share"] > 0
        assert 0 <= row["waiting"] < 1
    pixels = 2 * (17 + 2 * 6) ** 2  # two patches with their margin; nobody asks for the gradient of the image
    products = 2 * 9**2 * 64 + 3 * 3**2 * (64 * 32 + 32)
    assert loops["Chen, L2"]["flops"] == 2 * pixels * products


def test_denoisers_are_compared_with_a_blur_at_its_best(tiny_models, tmp_path):
    rng, scan = np.random.default_rng(0), tmp_path / "scan.nrrd"
    rows, columns = np.mgrid[-64:64, -64:64]
    body = np.where(np.hypot(rows, columns) < 55, 40.0, -1000.0) + gaussian_filter(
        rng.normal(0, 60, (128, 128)), 0.8
    )
    cti.write_volume(cti.CTVolume(body[None].astype(np.int16), np.diag([1.5, 1.5, 3, 1])), scan)
    arguments = (str(scan), "--models", str(tiny_models), "--slices", "1", "--side", "64", "--sharp", "2")
    measured = figures("denoising", tmp_path, *arguments)
    for rows in measured.values():
        low, blur, same = (rows[name] for name in ("quarter dose", "Gaussian blur, width tuned", "identity"))
        assert same == pytest.approx(low, abs=0.01)
        assert blur["rmse"] < low["rmse"]
        assert {"chen", "yang"} < rows.keys()
    soft, sharp = (rows["quarter dose"]["rmse"] for rows in measured.values())
    assert 1 < sharp / soft < 2, "the gain lies between 1 and that at the Nyquist frequency"


def test_a_denoisers_step_is_compared_with_ldct_benchmarks(tmp_path):
    measured = figures("denoiser_step", tmp_path, "--repeats", "1", "--patches", "8")
    assert {name: value["ratio"] > 0 for name, value in measured.items()} == {
        "Chen, L2": True,
        "Yang, WGAN": True,
    }
