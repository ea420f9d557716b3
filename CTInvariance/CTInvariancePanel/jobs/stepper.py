"""Work on the panel's own side in small steps, so that the window never freezes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import qt

from ..steps import Steps

BUDGET_S = 0.012
"""Seconds of work before the event loop gets its turn; a person notices fifty milliseconds."""


class Stepper:
    """Runs a generator from a timer; the generator yields wherever it may be interrupted.

    Args:
        steps: the work; what it returns goes to `done`.
        done: called with the generator's return value.
        failed: called with the exception that it raised.
    """

    def __init__(
        self, steps: Steps, done: Callable[[Any], object], failed: Callable[[Exception], object]
    ) -> None:
        self._steps, self._done, self._failed = steps, done, failed
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._work)
        self._timer.start()

    def stop(self) -> None:
        """Give up: the generator is closed, its `finally` blocks run, nobody is called."""
        self._timer.stop()
        self._steps.close()

    def _work(self) -> None:
        until = time.monotonic() + BUDGET_S
        try:
            while time.monotonic() < until:
                next(self._steps)
        except StopIteration as end:
            self._timer.stop()
            self._done(end.value)
        except Exception as error:  # whatever happened: somebody must hear of it, a timer's slot is silent
            self._timer.stop()
            self._failed(error)
