"""Events of a long job: plain dictionaries, one JSON object a line where they leave the process.

Kinds and fields, see docs/method.md: started, progress (stage, fraction, eta_s), metric (stage, step, name,
value), log (message; notice: to be shown at once), result, error, cancelled; every one carries `job`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .time_left import TimeLeft

Event = dict[str, Any]
OnEvent = Callable[[Event], object]
Progress = Callable[[float], object]
"""Gets the fraction that is done, 0 to 1; what it raises stops the work."""

VERSION = 1  # of the lines that a worker reads and writes

_EVERY_S = 0.1  # a person cannot see more progress events than ten a second


def unheard(fraction: float) -> None:
    """Progress that nobody wants to know of."""


def part(progress: Progress, first: float, last: float) -> Progress:
    """Progress of a part of the work that fills the whole from `first` to `last`."""
    return lambda fraction: progress(first + (last - first) * fraction)


class Cancelled(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The job was asked to stop; what was done until then is kept."""


class Reporter:
    """Turns the progress of single stages into the progress of the whole job, with the time left.

    Args:
        on_event: gets every event.
        plan: stages in their order, each with the share of the work that it stands for (any unit).
        job: identifier that every event carries.
        apart: stages whose speed tells nothing about that of the others.
        should_stop: asked at every step; True ends the job with `Cancelled`.
    """

    def __init__(
        self,
        on_event: OnEvent,
        plan: Mapping[str, float],
        *,
        job: str = "job",
        apart: Collection[str] = (),
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._listeners, self._job, self._should_stop = [on_event], job, should_stop
        self.time_left = TimeLeft(plan, apart=apart)
        self._told = self._last = time.monotonic()

    def emit(self, event: str, **fields: Any) -> None:
        """Send one event."""
        for listener in self._listeners:
            listener({"event": event, "job": self._job, **fields})

    def listen(self, on_event: OnEvent) -> None:
        """Let one more function have every event from now on."""
        self._listeners.append(on_event)

    def skip(self, stage: str, fraction: float = 1.0) -> None:
        """Note what an earlier run has done already: it counts as progress, but not for the speed."""
        self.time_left.skip(stage, fraction)

    def progress(self, stage: str, fraction: float, **more: Any) -> None:
        """Say how far `stage` is, 0 to 1; raises `Cancelled` where the job is to stop.

        Args:
            stage: of the plan.
            fraction: of it.
            more: fields for the event, which is sent at once then.
        """
        now = time.monotonic()
        self.time_left.advance(stage, fraction, now - self._told)
        self._told = now
        if more or fraction >= 1 or now - self._last >= _EVERY_S:
            self._last, left = now, self.time_left.at(now)
            eta = None if left is None else round(left, 1)
            fields = {"stage": stage, "fraction": self.fraction, "eta_s": eta}
            self.emit("progress", **fields, stage_fraction=fraction, **more)
        if self._should_stop():
            raise Cancelled(stage)

    def metric(self, stage: str, step: int, **values: float) -> None:
        """Report measured values, one event each."""
        for name, value in values.items():
            self.emit("metric", stage=stage, step=step, name=name, value=value)

    @property
    def fraction(self) -> float:
        """How much of the whole job is done, 0 to 1."""
        return self.time_left.fraction
