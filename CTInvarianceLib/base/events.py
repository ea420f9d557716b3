"""Events of a long job: plain dictionaries, one JSON object a line where they leave the process.

Kinds and fields, see docs/method.md: started, progress (stage, fraction, eta_s), metric (stage, step, name,
value), log, result, error, cancelled; every one carries `job`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

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
        should_stop: asked at every step; True ends the job with `Cancelled`.
    """

    def __init__(
        self,
        on_event: OnEvent,
        plan: Mapping[str, float],
        *,
        job: str = "job",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._listeners, self._plan, self._job, self._should_stop = [on_event], dict(plan), job, should_stop
        self._done = dict.fromkeys(self._plan, 0.0)
        self._skipped = 0.0
        self._start = self._last = time.monotonic()

    def emit(self, event: str, **fields: Any) -> None:
        """Send one event."""
        for listener in self._listeners:
            listener({"event": event, "job": self._job, **fields})

    def listen(self, on_event: OnEvent) -> None:
        """Let one more function have every event from now on."""
        self._listeners.append(on_event)

    def skip(self, stage: str, fraction: float = 1.0) -> None:
        """Note what an earlier run has done already: it counts as progress, but not for the speed."""
        self._skipped += self._plan[stage] * (fraction - self._done[stage])
        self._done[stage] = fraction

    def forget_speed(self) -> None:
        """Measure the speed anew: what was done until now says nothing about how long the rest takes."""
        self._skipped, self._start = self._work(), time.monotonic()

    def progress(self, stage: str, fraction: float, **more: Any) -> None:
        """Say how far `stage` is, 0 to 1; raises `Cancelled` where the job is to stop.

        Args:
            stage: of the plan.
            fraction: of it.
            more: fields for the event, which is sent at once then.
        """
        self._done[stage] = fraction
        now = time.monotonic()
        if more or fraction >= 1 or now - self._last >= _EVERY_S:
            self._last = now
            fields = {"stage": stage, "fraction": self.fraction, "eta_s": self._eta(now)}
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
        return min(1.0, self._work() / max(sum(self._plan.values()), 1e-9))

    def _work(self) -> float:
        return sum(self._plan[stage] * done for stage, done in self._done.items())

    def _eta(self, now: float) -> float | None:
        fresh = self._work() - self._skipped
        left = sum(self._plan.values()) - self._work()
        return round((now - self._start) * left / fresh, 1) if fresh > 0 else None
