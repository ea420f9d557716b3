"""Opens the panel in a window outside Slicer: `make panel`."""

from __future__ import annotations

import slicer

from bench import start_bench


def main() -> None:
    """Show the module until its window is closed."""
    bench = start_bench(offscreen=False)
    widget = bench.load_module("CTInvariance")
    widget.parent.setWindowTitle("CT Invariance, outside Slicer")
    bench.enter()
    slicer.app.exec()
    bench.close()


if __name__ == "__main__":
    main()
