"""Keeps these tests out of Slicer's Python package.

`import slicer` of slicer-core imports every file in any folder named slicer on sys.path, and puts its names into
`slicer`. This folder is one, with Testing on sys.path: a test that cannot be imported would hide Slicer from all.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_TESTING = str(Path(__file__).parents[1])

if "slicer" not in sys.modules and _TESTING in sys.path:
    place = sys.path.index(_TESTING)
    del sys.path[place]
    with contextlib.suppress(ImportError):
        import slicer  # noqa: F401
    sys.path.insert(place, _TESTING)
