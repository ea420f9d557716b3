"""The jobs of one worker process, done in the order in which they came."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import CTInvarianceError

from ..steps import Steps
from .job import CANCELLED, DONE, FAILED, RUNNING, Job, JobError
from .process import WorkerProcess
from .scratch import Scratch
from .stepper import Stepper

Finish = Callable[[dict[str, Any]], Steps]


class Jobs:
    """Jobs and the worker that does them.

    Args:
        library: folder in which CTInvarianceLib lies.
        log: gets lines for the log.
        device: returns what the worker is to compute on.
    """

    def __init__(
        self, library: Path, log: Callable[[str], object], device: Callable[[], str] = lambda: "auto"
    ) -> None:
        self.log = log
        self.scratch = Scratch(slicer.app.temporaryPath)
        self.process = WorkerProcess(
            library,
            lambda: self.scratch.folder,
            onEvent=self._onEvent,
            onLog=log,
            onDeath=self._onDeath,
            device=device,
        )
        self._running: dict[str, _Running] = {}

    def submit(
        self,
        title: str,
        command: str,
        prepare: Callable[[], Steps],
        finish: Finish,
        early: Finish | None = None,
    ) -> Job:
        """Queue a job.

        Args:
            title: for people.
            command: of the worker.
            prepare: generator function that writes arrays and returns the fields of the request.
            finish: generator function from the worker's result to the job's; makes nodes.
            early: generator function that shows what is ready before the worker has finished.
        """
        if not self._running and self.process.outdated:
            self.process.stop()
        running = _Running(self, Job(title), command, finish, early)
        self._running[running.job.id] = running
        running.start(prepare())
        return running.job

    @property
    def unfinished(self) -> list[Job]:
        """All jobs that have not ended."""
        return [running.job for running in self._running.values()]

    def cancelAll(self) -> None:
        """Cancel everything that has not ended."""
        for job in self.unfinished:
            job.cancel()

    def close(self) -> None:
        """End the worker and remove its scratch folder; jobs that run are cancelled."""
        for running in list(self._running.values()):
            running.end(CANCELLED)
        self.process.stop()
        self.scratch.remove()

    def forget(self, job: Job) -> None:
        """The job has ended; so a worker that was asked to stop it need not be terminated."""
        self._running.pop(job.id, None)
        self.process.heard()

    def _onEvent(self, event: dict[str, Any]) -> None:
        running = self._running.get(event.get("job") or "")
        if event["event"] == "log":
            self.log(event.get("message", ""))
        elif running is not None:
            running.hear(event)

    def _onDeath(self, sentence: str) -> None:
        self.log(sentence)
        for running in list(self._running.values()):
            running.workerDied(sentence)


class _Running:
    """A job on its way: prepared here, done by the worker, finished here."""

    def __init__(self, jobs: Jobs, job: Job, command: str, finish: Finish, early: Finish | None) -> None:
        self.job, self._command, self._finish, self._early, self._jobs = job, command, finish, early, jobs
        self._stepper: Stepper | None = None
        self._sent = self._cancelling = False
        self._outcome: dict[str, Any] | None = None
        self._files: list[str] = []
        job.onCancel(self.cancel)

    def start(self, steps: Steps) -> None:
        """Prepare the request, then send it."""
        self._stepper = Stepper(steps, self._send, self.fail)

    def _send(self, request: dict[str, Any]) -> None:
        self._stepper, self._sent = None, True
        self._files = [request[key] for key in ("volume", "full_dose", "out") if request.get(key)]
        try:
            self._jobs.process.send(command=self._command, job=self.job.id, **request)
        except OSError as error:
            self.fail(error)

    def hear(self, event: dict[str, Any]) -> None:
        """One event of the worker."""
        handler = getattr(self, f"_{event['event']}", None)
        if handler is not None:
            handler(event)

    def _started(self, event: dict[str, Any]) -> None:
        self.job.update(state=RUNNING)

    def _progress(self, event: dict[str, Any]) -> None:
        if self._cancelling:
            return
        if self._early is not None and "ready" in event:
            self._stepper = Stepper(self._early(event["ready"]), self._shown, self.fail)
        self.job.update(stage=event["stage"], progress=event["fraction"], eta_s=event["eta_s"])

    def _shown(self, value: Any) -> None:
        self._stepper = None
        self.job.update(result=value)
        if self._outcome is not None:
            self._conclude()

    def _metric(self, event: dict[str, Any]) -> None:
        self.job.metrics[event["stage"], event["name"]] = event["value"]
        self.job.update()

    def _error(self, event: dict[str, Any]) -> None:
        self.fail(
            JobError(event["message"], hint=event.get("hint") or "", traceback=event.get("traceback") or "")
        )

    def _cancelled(self, event: dict[str, Any]) -> None:
        self.end(CANCELLED)

    def _result(self, event: dict[str, Any]) -> None:
        if self._cancelling:
            self.end(CANCELLED)
            return
        self._outcome = event
        if self._stepper is None:
            self._conclude()

    def _conclude(self) -> None:
        assert self._outcome is not None
        self._stepper = Stepper(
            self._finish(self._outcome), lambda value: self.end(DONE, result=value), self.fail
        )

    def cancel(self) -> None:
        """Stop what is going on, wherever it is going on."""
        if not self._sent or self._outcome is not None:
            self.end(CANCELLED)
        elif not self._cancelling:
            self._cancelling = True
            self.job.update(stage=_("cancelling"), eta_s=None)
            self._jobs.process.cancel(self.job.id)

    def workerDied(self, sentence: str) -> None:
        """The process is gone."""
        if self._cancelling:
            self.end(CANCELLED)
        elif self._sent and self._outcome is None:
            hint = _("Try again: it starts anew. If memory was short, take fewer samples or a smaller patch.")
            self.fail(JobError(sentence, hint=hint))

    def fail(self, error: Exception) -> None:
        """End with an error that people can read."""
        readable = error if isinstance(error, JobError) else _readable(error)
        self._jobs.log(f"{self.job.title}: {readable}")
        if readable.traceback:
            self._jobs.log(readable.traceback)
        self.end(FAILED, error=readable)

    def end(self, state: str, **changes: Any) -> None:
        """The last change of the job."""
        if self.job.finished:
            return
        self._jobs.forget(self.job)
        if self._stepper is not None:
            self._stepper.stop()
        self._jobs.scratch.discard(self._files)
        if state == DONE:
            changes["progress"] = 1.0
        self.job.update(state=state, eta_s=None, **changes)


def _readable(error: Exception) -> JobError:
    """What went wrong on the panel's side, in words."""
    if isinstance(error, CTInvarianceError):
        what = error.what if error.where is None else f"{error.what}: {error.where}"
        return JobError(what, hint=error.hint)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return JobError(
            _("The disk is full: {}").format(error.filename or slicer.app.temporaryPath),
            hint=_("Free space, or choose another temporary folder in the application settings (Modules)."),
        )
    return JobError(f"{type(error).__name__}: {error}", traceback="".join(traceback.format_exception(error)))
