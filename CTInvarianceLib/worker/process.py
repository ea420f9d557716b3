"""The process behind the panel, `ctinvariance worker`: requests in and events out, JSON lines; see docs/method.md.

The main thread does one job after another, in the order they came; a second thread reads requests meanwhile, so that
a job can be cancelled. Torch is imported by the first job that needs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..base import VERSION, Cancelled, Event, is_scratch, remove_ours
from .context import ModelSets, Work
from .failures import failure
from .json_lines import Lines
from .queue import JobQueue, Request, RequestError

_GRACE_S, _TRAINING_GRACE_S, _QUIT_GRACE_S = (
    5.0,
    30.0,
    0.2,
)  # to heed the request to stop; training saves then
_SILENT_S = 1.0  # for what is being written at the end


def serve(*, scratch: str | None, device: str) -> NoReturn:
    """Be a worker until the other side goes away or says quit; exit code 0, or 130 after SIGTERM."""
    worker = Worker(Lines(), scratch=scratch, device=device)
    worker.start()
    worker.run()


class Worker:
    """One worker process.

    Args:
        emit: writes events.
        scratch: folder that is removed at the end if it carries its name as our mark; see `base.mark_ours`.
        device: "auto" or a torch device.
    """

    def __init__(self, emit: Lines, *, scratch: str | None, device: str) -> None:
        self._write, self._device = emit, device
        self._scratch = Path(scratch).absolute() if scratch else None
        self._queue = JobQueue()
        self._telling = threading.Lock()
        self._code = 0

    def start(self) -> None:
        """Say that we are here, and listen."""
        with contextlib.suppress(OSError, AttributeError):  # a leader already; Windows
            if not sys.stdin.isatty():  # a group of its own could not read from the terminal
                os.setpgid(0, 0)  # so that the panel can end us and what we started, and nobody else
        self._write(
            {
                "event": "started",
                "job": "worker",
                "program": __version__,
                "pid": os.getpid(),
                "protocol": VERSION,
            }
        )
        warnings.showwarning = self._show_warning
        if self._scratch and not is_scratch(self._scratch):
            warnings.warn(f"{self._scratch} is no scratch folder of the panel's, so it stays", stacklevel=1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._terminated)
        threading.Thread(target=self._read, daemon=True).start()

    def run(self) -> NoReturn:
        """Do jobs until there are no more to come."""
        sets = ModelSets(self._device)
        while (request := self._queue.take()) is not None:
            self._do(request, sets)
        self._leave()

    def _do(self, request: Request, sets: ModelSets) -> None:
        def emit(event: Event) -> None:
            with self._telling:
                if self._queue.running is request:  # nothing comes behind its end
                    self._write({**event, "job": request["job"]})

        end: Event
        try:
            from .requests import job_from  # imports numpy, which our first line need not wait for

            wanted = job_from(request)
            emit({"event": "started"})
            end = {"event": "result", **wanted.run(Work(sets, emit, self._queue.should_stop))}
        except Cancelled:
            end = {"event": "cancelled"}
        except (Exception, SystemExit) as error:  # whatever it is: the panel must hear of it
            end = {"event": "error", **failure(error)}
        with self._telling:
            self._conclude(request, end)

    def _conclude(self, request: Request, end: Event) -> None:
        """The last event of a job, unless it has had one."""
        if self._queue.finish(request):
            self._write({**end, "job": request["job"]})

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            if line.strip():
                self._hear(line)
        self._end()

    def _hear(self, line: bytes) -> None:
        """One request."""
        request: Any = None
        try:
            request = _parse(line)
            if request["command"] == "quit":
                self._end(_QUIT_GRACE_S)
            elif request["command"] != "cancel":
                self._queue.put(request)
            elif self._queue.cancel(request["job"]):
                self._write({"event": "cancelled", "job": request["job"]})
        except RequestError as error:
            job = error.where if isinstance(error.where, (str, int)) else None
            self._write({"event": "error", "job": job, **failure(error)})

    def _end(self, grace: float | None = None) -> NoReturn:
        """Stop the running job and let the main thread return; after a while, longer for a training, end without it."""
        running = self._queue.running
        training = running is not None and running["command"] == "train"
        told = self._telling.acquire(
            timeout=_SILENT_S
        )  # the main thread, free now, must not end us in between
        for request in self._queue.close():
            self._write({"event": "cancelled", "job": request["job"]})
        if told:
            self._telling.release()
        time.sleep(_TRAINING_GRACE_S if training else grace or _GRACE_S)
        self._leave()

    def _terminated(self, number: int, frame: object) -> None:
        """SIGTERM, Ctrl-C; in a thread of its own, because this one may be holding the queue's lock."""
        self._code = 130
        threading.Thread(target=self._end, daemon=True).start()

    def _leave(self) -> NoReturn:
        """Remove the scratch folder and end; torch and Python would take half a second to tidy up.

        Nothing is told any more from here on; who reads nothing cannot keep us.
        """
        self._telling.acquire(timeout=_SILENT_S)
        if (running := self._queue.running) is not None:
            self._conclude(running, {"event": "cancelled"})
        if self._scratch and is_scratch(self._scratch):
            with contextlib.suppress(OSError):
                remove_ours(self._scratch, self._scratch.name)
        os._exit(self._code)

    def _show_warning(self, message: Warning | str, *_: object, **__: object) -> None:
        running = self._queue.running
        job = running["job"] if running is not None else "worker"
        text = " ".join(str(message).split())
        self._write({"event": "log", "job": job, "level": "warning", "message": text})


def _parse(line: bytes) -> Request:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"a request is one JSON object in one line ({error})") from error
    if not isinstance(request, dict):
        raise RequestError("a request is a JSON object")
    job = request.get("job")
    if "command" not in request:
        raise RequestError("the request has no command", where=job)
    if request["command"] != "quit" and not (isinstance(job, (str, int)) and job != ""):
        raise RequestError("the request names no job", hint='Give every request its own "job".')
    return request
