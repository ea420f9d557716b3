"""The panel on its bench: seconds from click to picture, and how long the window stands still meanwhile.

python benchmarks/panel.py MODELS

MODELS is a trained model set, such as `demo/models`. The volume is a phantom, 100 slices of 512×512. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

import numpy as np  # noqa: E402 - the path comes first
import slicer  # noqa: E402
from bench import start_bench  # noqa: E402
from panel_bench import add_volume, explore  # noqa: E402

LAYERS = ("1", "4", "8")


def main() -> None:
    bench = start_bench()
    start = time.perf_counter()
    widget = bench.load_module("CTInvariance")
    found: dict[str, object] = {"load_s": time.perf_counter() - start}
    slicer.app.settings().setValue("CTInvariance/ModelFolders", sys.argv[1])
    bench.enter()
    from CTInvarianceLib.phantoms import phantom_pair

    slices = phantom_pair("chest", seed=7, slices=2, size=512, pixel_mm=0.75).low_dose.hu
    volume = add_volume(np.tile(slices, (50, 1, 1)).astype(np.int16))
    section = explore(bench, widget, volume, n=250, size=128)
    for layer in (LAYERS[0], *LAYERS):  # the first draw loads torch and the models
        section.ui.layerSlider.setValue(section.layersOf["yang"].index(layer))
        found[f"sample, layer {layer}"] = timed(bench, section, section.ui.sampleButton)
    found["denoise 100 slices"] = timed(bench, section, section.ui.denoiseButton)
    bench.close()
    print(json.dumps(found, indent=1))


def timed(bench, section, button) -> dict[str, object]:
    """Seconds until the picture is there and until the job has ended; the longest standstill, ms."""
    with bench.stalls() as stalls:
        start = time.perf_counter()
        bench.click(button)
        job = section.job
        bench.wait(lambda: job.result is not None or job.finished, 300, "the picture")
        picture = time.perf_counter() - start
        bench.wait(lambda: job.finished, 300, "the end")
        ended = time.perf_counter() - start
    figures = {"picture_s": picture, "ended_s": ended, "standstill_ms": stalls.longest}
    return {"state": job.state, **{name: round(value, 2) for name, value in figures.items()}}


if __name__ == "__main__":
    main()
