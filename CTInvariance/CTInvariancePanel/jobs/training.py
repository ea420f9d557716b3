"""A training: a process of its own that outlives the panel, followed through the files in its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from CTInvarianceLib.base import ModelsError
from CTInvarianceLib.config import (
    LOG,
    OUTPUT,
    Standing,
    State,
    ask_to_stop,
    begin_run,
    is_alive,
    read_request,
    read_standing,
    take_back_stop,
    write_standing,
)

from .job import CANCELLED, DONE, FAILED, RUNNING, Job, JobError
from .metrics import MetricsLog
from .process import interpreter, killGroup

POLL_MS, CATCH_UP_MS = 500, 20
START_S, CANCEL_S = 60.0, 30.0
"""Within which a process shows signs of life; within which one that is cancelled ends by itself."""


class Training:
    """Follows the training in a folder, whoever started it, until it ends.

    Args:
        folder: of the run.
        log: gets lines for the log.
        process: that was started for it; None: it was started before.

    Attributes:
        job: state, progress, time left, for whoever waits.
        standing: what was read last.
        metrics: what was measured.
    """

    def __init__(self, folder: Path, log: Callable[[str], object], process: Any = None) -> None:
        self.folder, self.metrics = folder, MetricsLog(folder / LOG)
        self.standing = read_standing(folder) or Standing()
        self.job = Job(_("Training {}").format(folder.name))
        self.job.onCancel(self.cancel)
        self._log, self._process = log, process
        self._since = time.monotonic()
        self._asked: State | None = None
        self._askedAt, self._told = 0.0, 0
        self._timer = qt.QTimer()
        self._timer.timeout.connect(self.look)
        self._timer.start(POLL_MS)

    @classmethod
    def start(
        cls, library: Path, folder: Path, request: dict[str, Any], log: Callable[[str], object]
    ) -> Training:
        """Begin a training in a folder that has none.

        Raises:
            ModelsError: it has one, or cannot be written to.
        """
        begin_run(folder, request)
        return cls.resume(library, folder, log)

    @classmethod
    def resume(cls, library: Path, folder: Path, log: Callable[[str], object]) -> Training:
        """Go on with the training in a folder; where it goes on already, it is followed.

        Raises:
            ModelsError: there is none, or the folder cannot be written to.
        """
        read_request(folder)
        if is_alive(folder):
            return cls(folder, log)
        take_back_stop(folder)
        standing = replace(
            read_standing(folder) or Standing(), state=State.STARTING, pid=0, message="", hint="", notes=()
        )
        try:
            write_standing(folder, standing)
            process = _Alone(
                [interpreter(), "-m", "CTInvarianceLib", "worker", "--training", str(folder)],
                cwd=str(library),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **_DETACHED,
            )
        except OSError as error:
            raise ModelsError(
                _("the training cannot be started ({})").format(error.strerror or error), where=folder
            ) from error
        return cls(folder, log, process)

    def pause(self) -> None:
        """Keep all that is done, and end, to be resumed."""
        self._ask(State.PAUSED)

    def cancel(self) -> None:
        """The same, but it is not meant to be resumed; a process that does not listen is killed."""
        self._ask(State.CANCELLED)

    def close(self, *, goOn: bool) -> None:
        """Follow it no longer; let it go on, or pause it."""
        self._timer.stop()
        if not goOn and not self.job.finished:
            with suppress(OSError, ModelsError):
                ask_to_stop(self.folder, State.PAUSED)

    def look(self) -> None:
        """See how it stands."""
        code = self._process.poll() if self._process is not None else None
        alive = is_alive(self.folder)  # before what it says: its last word comes while it still lives
        standing = read_standing(self.folder)
        more = self.metrics.read()
        self._timer.setInterval(CATCH_UP_MS if more else POLL_MS)
        if standing is not None:
            self._hear(standing)
        if standing is None or standing.state == State.STARTING:
            late = time.monotonic() - self._since > START_S
            if not alive and (late or code is not None):
                self._fail(_("The training process did not start."), self._lastWords())
        elif alive:
            self._show(standing)
        elif not more:
            self._conclude(standing)

    def _ask(self, state: State) -> None:
        self._asked, self._askedAt = state, time.monotonic()
        try:
            ask_to_stop(self.folder, state)
        except OSError:  # the disk is full
            if os.name != "posix" or not (self.standing.pid and is_alive(self.folder)):
                raise
            os.kill(self.standing.pid, signal.SIGTERM)
        self._show(self.standing)

    def _hear(self, standing: Standing) -> None:
        for note in standing.notes[self._told :]:
            self._log(note)
        self._told = len(standing.notes)
        self.standing = standing

    def _show(self, standing: Standing) -> None:
        if self._asked == State.CANCELLED and time.monotonic() - self._askedAt > CANCEL_S:
            killGroup(standing.pid)  # its lock is held, so this is the one
        stopping = {State.PAUSED: _("pausing"), State.CANCELLED: _("cancelling")}.get(
            self._asked or standing.state
        )
        self.job.update(
            state=RUNNING,
            stage=stopping or standing.stage,
            progress=standing.fraction,
            eta_s=None if stopping else standing.eta_s,
        )

    def _conclude(self, standing: Standing) -> None:
        if standing.state == State.RUNNING and self._asked:  # it was killed, or ended before it could tell
            self.standing = replace(standing, state=self._asked)
            with suppress(OSError, ModelsError):
                write_standing(self.folder, self.standing)
            self._end(CANCELLED)
        elif standing.state == State.RUNNING:
            self._fail(
                _("The training process has ended without a word: it was killed, or the computer was."),
                _("What it had finished is kept: Resume goes on from there."),
            )
        elif standing.state == State.DONE:
            self._end(DONE, progress=1.0, result={"out": str(self.folder)})
        elif standing.state == State.FAILED:
            self._fail(standing.message, standing.hint)
        else:
            self._end(CANCELLED)

    def _fail(self, what: str, hint: str) -> None:
        error = JobError(what, hint=hint)
        self._log(f"{self.job.title}: {error}")
        self._end(FAILED, error=error)

    def _end(self, state: str, **changes: Any) -> None:
        self._timer.stop()
        self.job.update(state=state, eta_s=None, **changes)

    def _lastWords(self) -> str:
        with suppress(OSError):
            lines = (self.folder / OUTPUT).read_text("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""


class _Alone(subprocess.Popen):  # type: ignore[type-arg]
    """A process that goes on when nobody holds this object any more."""

    def __del__(self, *_: Any) -> None:
        """Nothing to wait for."""


_DETACHED: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    if os.name == "nt"
    else {"start_new_session": True}
)
