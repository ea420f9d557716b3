"""The bench: runs the module files that Slicer runs, outside Slicer.

Real here: MRML and VTK (slicer-core), Qt (PySide6), slicer.util, SQLite, DICOM files, processes, settings.
Standing in, one file each: PythonQt's manners (pythonqt, qt_module), boxes that wait for a person (boxes), the
widgets of CTK and MRML (ctk_widgets, qmrml_*), scripted modules (scripted), typed parameters (parameters,
connectors), the application and its modules (application), slice views and their pictures (layouts, pictures).

    bench = start_bench(offscreen=True)
    widget = bench.load_module("CTInvariance")
    bench.click(widget.panel.setup.ui.someButton)
    bench.wait(lambda: done, 10, "the job")
"""

import contextlib
import sys
from pathlib import Path


@contextlib.contextmanager
def _without_our_tests():
    """`import slicer` runs every file in any folder `slicer` on the path: ours holds tests."""
    before = list(sys.path)
    sys.path[:] = [
        each for each in before if Path(each or ".").resolve() != Path(__file__).resolve().parents[1]
    ]
    try:
        yield
    finally:
        sys.path[:] = before


with _without_our_tests():
    import slicer
    import slicer.util  # noqa: F401 - as in Slicer, where it is always there

from bench.start import Bench, start_bench  # noqa: E402 - Slicer comes first

__all__ = ["Bench", "start_bench"]
