"""Jobs that wait, the one that runs, and which of them is to stop; of one name there is one at a time."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from ..base import CTInvarianceError

Request = dict[str, Any]


class RequestError(CTInvarianceError):
    """A line that is no request, or one that cannot be told from another."""


class JobQueue:
    """Requests in the order they came; filled by one thread, worked off by another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._running: Request | None = None
        self._stop = self._closed = False

    def put(self, request: Request) -> None:
        """Add a job at the end.

        Raises:
            RequestError: a job of this name has not ended, or no more are done.
        """
        with self._changed:
            if any(each["job"] == request["job"] for each in (self._running, *self._waiting) if each):
                raise RequestError(
                    f"another job called {request['job']!r} has not ended",
                    hint='Give every request its own "job".',
                )
            if self._closed:
                raise RequestError("the worker is about to end", where=request["job"])
            self._waiting.append(request)
            self._changed.notify()

    def take(self) -> Request | None:
        """Wait for the next job, which runs from now on; None: there are no more to come."""
        with self._changed:
            self._stop = self._closed
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def finish(self, request: Request) -> bool:
        """The job that runs has ended; False where that is known already."""
        with self._changed:
            running, self._running = self._running, None
            return running is request

    def cancel(self, job: object) -> bool:
        """Stop a job if it runs; True where it was still waiting and is dropped now."""
        with self._changed:
            if self._running is not None and self._running["job"] == job:
                self._stop = True
                return False
            count = len(self._waiting)
            self._waiting = deque(each for each in self._waiting if each["job"] != job)
            return len(self._waiting) < count

    def close(self) -> list[Request]:
        """Stop the one that runs, and drop all that wait, which are returned."""
        with self._changed:
            self._closed = self._stop = True
            dropped = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
            return dropped

    @property
    def running(self) -> Request | None:
        """The job that runs."""
        return self._running

    def should_stop(self) -> bool:
        """Whether the running job was asked to stop."""
        return self._stop
