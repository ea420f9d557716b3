"""The panel in a process of its own: how fast it loads, that it never imports torch, that it never freezes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

TESTING = Path(__file__).parents[2]
JOURNEY = """
import json, statistics, sys, time
from pathlib import Path
import pytest
from bench import start_bench
import slicer
from panel_bench import add_volume, ct, explore, finish, panel_with, press

bench = start_bench()
start = time.perf_counter()
bench.load_module("CTInvariance")
load = time.perf_counter() - start
bench.close()
found = {"load": load}
with pytest.MonkeyPatch.context() as patch, panel_with(bench, Path(sys.argv[1]), Path(sys.argv[2]), patch) as widget:
    section = explore(bench, widget, add_volume(ct(shape=(8, 256, 256))), n=250, size=64)
    press(bench, section, section.ui.sampleButton)  # imports torch, in the worker
    for name, button in (("sampling", section.ui.sampleButton), ("denoising", section.ui.denoiseButton)):
        with bench.stalls() as stalls:
            start = time.perf_counter()
            job = press(bench, section, button)
            found[name] = {"seconds": time.perf_counter() - start, "state": job.state, "longest_ms": stalls.longest}
    found["torch"] = sorted(name for name in sys.modules if name.split(".")[0] in ("torch", "monai"))
print("FOUND", json.dumps(found), flush=True)
"""


@pytest.fixture(scope="module")
def journey(tiny_spatial_models, tmp_path_factory):
    """What one visit to the panel measured."""
    run = subprocess.run(
        [sys.executable, "-c", JOURNEY, str(tiny_spatial_models), str(tmp_path_factory.mktemp("home"))],
        cwd=TESTING, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, run.stdout + run.stderr
    return json.loads(lines[0].removeprefix("FOUND "))


def test_the_panel_never_imports_torch(journey):
    assert journey["torch"] == []


def test_it_loads_in_a_moment(journey):
    assert journey["load"] < 1.0  # 0.3 s on a quiet machine; others may be busy


@pytest.mark.parametrize("work", ["sampling", "denoising"])
def test_the_window_never_freezes(journey, work):
    assert journey[work]["state"] == "done"
    assert journey[work]["longest_ms"] < 200  # 50 ms on a quiet machine with a core to spare
