"""The bench: runs the module files that Slicer runs, outside Slicer.

Real here: MRML and VTK (slicer-core), Qt (PySide6), slicer.util, SQLite, DICOM files, processes, settings.
Standing in, one file each: PythonQt's manners (pythonqt, qt_module), boxes that wait for a person (boxes), the
widgets of CTK and MRML (ctk_widgets, qmrml_*), scripted modules (scripted), typed parameters (parameters,
connectors), the application and its modules (application), slice views and their pictures (layouts, pictures).

    bench = start_bench(offscreen=True)
    widget = bench.load_module("CTInvariance")
    bench.click(widget.panel.setup.ui.someButton)
    bench.wait(lambda: done, what="the job")
"""

import slicer
import slicer.util  # noqa: F401 - the others find it there

from bench.start import Bench, start_bench

__all__ = ["Bench", "start_bench"]
