"""Work as a generator that yields every few milliseconds, so that whoever does it may do something else between."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

Steps = Generator[None, None, Any]


def runAll(steps: Steps) -> Any:
    """Do all steps at once; what the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
