"""A job: long work with a state, progress, time left, an outcome, and a way to cancel it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import Cancelled, CTInvarianceError

from ..words import plainTip

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"

_ids = itertools.count(1)


class JobError(CTInvarianceError):
    """Why a job failed: what is wrong and what to do about it."""

    def __init__(self, what: str, *, hint: str = "", traceback: str = "") -> None:
        super().__init__(what, hint=hint)
        self.traceback = traceback


class Job:
    """One piece of work.

    Attributes:
        title: for people.
        state: "waiting", "running", "done", "failed" or "cancelled".
        stage: what is being done.
        progress: 0 to 1.
        eta_s: seconds left, None while nobody knows.
        result: what it was for, once done.
        error: why it failed.
        metrics: the newest value of everything that the worker measures, by stage and name.
    """

    def __init__(self, title: str) -> None:
        self.id, self.title = f"job-{next(_ids)}", title
        self.state, self.stage = WAITING, ""
        self.progress, self.eta_s = 0.0, None
        self.result: Any = None
        self.error: JobError | None = None
        self.metrics: dict[tuple[str, str], float] = {}
        self._listeners: list[Callable[[Job], object]] = []
        self._cancel: Callable[[], object] = lambda: None

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in (DONE, FAILED, CANCELLED)

    def whenChanged(self, listener: Callable[[Job], object]) -> None:
        """Call `listener(job)` after every change, the last one included."""
        self._listeners.append(listener)

    def cancel(self) -> None:
        """Stop it; what it has finished is kept."""
        if not self.finished:
            self._cancel()

    def onCancel(self, cancel: Callable[[], object]) -> None:
        """Set what `cancel` does."""
        self._cancel = cancel

    def wait(self) -> Any:
        """Block, with a progress dialog, until it has ended; returns its result.

        Raises:
            JobError: it failed.
            Cancelled: somebody cancelled it.
        """
        if not self.finished:
            _wait(self)
        if self.state == CANCELLED:
            raise Cancelled(self.title)
        if self.error is not None:
            raise self.error
        return self.result

    def update(self, **changes: Any) -> None:
        """Set attributes and tell the listeners."""
        for name, value in changes.items():
            setattr(self, name, value)
        for listener in list(self._listeners):
            listener(self)


def _wait(job: Job) -> None:
    loop = qt.QEventLoop()
    dialog = slicer.util.createProgressDialog(
        parent=slicer.util.mainWindow(),
        value=0,
        maximum=100,
        labelText=plainTip(job.title),
        windowTitle=job.title,
    )

    def show(job: Job) -> None:
        if job.finished:
            loop.quit()
        elif dialog.wasCanceled:
            job.cancel()
        else:
            dialog.setLabelText(plainTip(f"{job.title}: {job.stage}{timeLeft(job.eta_s)}"))
            dialog.setValue(min(99, round(100 * job.progress)))

    dialog.canceled.connect(job.cancel)
    job.whenChanged(show)
    with contextlib.ExitStack() as stack:
        stack.callback(dialog.close)
        if not job.finished:
            loop.exec_()


def timeLeft(seconds: float | None) -> str:
    """Time left behind a comma, as in ", 1:05 left"; empty while nobody knows."""
    if seconds is None:
        return ""
    return _(", {} left").format(f"{int(seconds) // 60}:{int(seconds) % 60:02d}")
