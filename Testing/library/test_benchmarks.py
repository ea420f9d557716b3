"""The benchmarks run, and their ratios keep their bounds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.slow


def figures(name, folder, *arguments):
    out = folder / f"{name}.json"
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--out", str(out), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return json.loads(out.read_text())


def test_the_flows_step_and_inverse_are_no_slower_than_freias(tmp_path):
    measured = figures("flow", tmp_path, "--repeats", "21")
    assert measured["step, fused Adam"]["ratio"] <= 1.05
    assert measured["inverse, a condition each"]["ratio"] <= 1.05


def test_a_series_is_read_faster_than_by_anybody_else(tmp_path):
    measured = figures("reading", tmp_path, "--slices", "40", "--repeats", "3")
    assert len(measured) >= 6
    for title, value in measured.items():
        assert value["ratio"] <= 0.9, title


def test_patches_come_ten_times_as_fast_as_from_monai(tmp_path):
    measured = figures("patches", tmp_path)
    assert measured["batch"]["ratio"] <= 0.1
    assert measured["memory_bytes"] <= measured["store_bytes"] + 300e6


def test_250_samples_and_a_whole_slice_keep_their_times_and_ratios(tmp_path):
    measured = figures("sampling", tmp_path)
    for title, value in measured.items():
        if title.startswith("250 of a patch"):
            assert value["ours"] <= 2.0, title
        elif title.startswith("25 of a patch"):
            assert value["ratio"] <= 0.5, title
        elif title.startswith("one slice"):
            assert value["ours"] <= 2.0, title
    assert measured["25 patches decoded: ours, MONAI's"]["ratio"] <= 0.25
