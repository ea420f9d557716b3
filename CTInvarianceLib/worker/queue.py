"""Jobs that wait, the one that runs, and which of them is to stop."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

Request = dict[str, Any]


class JobQueue:
    """Requests in the order they came; filled by one thread, worked off by another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._running: Request | None = None
        self._stop = self._closed = False

    def put(self, request: Request) -> None:
        """Add a job at the end."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()

    def take(self) -> Request | None:
        """Wait for the next job, which runs from now on; None: there are no more to come."""
        with self._changed:
            self._running, self._stop = None, self._closed
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def cancel(self, job: object) -> bool:
        """Stop a job if it runs; True where it was still waiting and is dropped now."""
        with self._changed:
            if self._running is not None and self._running["job"] == job:
                self._stop = True
                return False
            count = len(self._waiting)
            self._waiting = deque(each for each in self._waiting if each["job"] != job)
            return len(self._waiting) < count

    def close(self) -> None:
        """Drop all that wait and stop the one that runs."""
        with self._changed:
            self._closed = self._stop = True
            self._changed.notify()

    @property
    def running(self) -> Request | None:
        """The job that runs."""
        return self._running

    def should_stop(self) -> bool:
        """Whether the running job was asked to stop."""
        return self._stop
