"""The worker process, `python -m CTInvarianceLib worker`: JSON lines in and out through qt.QProcess."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

ASK_MS, TERMINATE_MS, QUIT_MS = 5000, 2000, 300
"""How long a worker that is asked to stop has; how long after SIGTERM, or at the end, until its tree is killed."""

Listener = Callable[[dict[str, Any]], object]


class WorkerProcess:
    """One persistent worker; started with the first request, and anew when it has died.

    Args:
        library: folder in which CTInvarianceLib lies.
        scratch: function that returns the folder for arrays; the worker removes it when the panel is gone.
        onEvent: gets every event of every job.
        onLog: gets every line that the worker writes to its standard error.
        onDeath: called with a sentence when the process ends although nobody stopped it.
        device: function that returns what it is to compute on, as `ctinvariance worker --device` knows it.
    """

    def __init__(
        self,
        library: Path,
        scratch: Callable[[], Path],
        *,
        onEvent: Listener,
        onLog: Callable[[str], object],
        onDeath: Callable[[str], object],
        device: Callable[[], str] = lambda: "auto",
    ) -> None:
        self._library, self._scratch, self._device = library, scratch, device
        self._onEvent, self._onLog, self._onDeath = onEvent, onLog, onDeath
        self._startedOn = ""
        self._process: Any = None
        self._escalation: Any = None
        self._lastWords: list[str] = []

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.state() != qt.QProcess.NotRunning

    @property
    def outdated(self) -> bool:
        """Whether it computes on another device than it is to."""
        return self.running and self._startedOn != self._device()

    @property
    def pid(self) -> int:
        """Its number; 0 without a process."""
        return int(self._process.processId()) if self.running else 0

    def send(self, **request: Any) -> None:
        """Send one request; starts the process where need be."""
        if not self.running:
            self._start()
        self._process.write((json.dumps(request) + "\n").encode())

    def cancel(self, job: str) -> None:
        """Ask the worker to stop a job; terminate it, then kill its whole tree, if it does not listen."""
        if self.running:
            self.send(command="cancel", job=job)
            self._after(ASK_MS, self._terminate)

    def heard(self) -> None:
        """The cancelled job has ended: no need to be rude."""
        if self._escalation is not None:
            self._escalation.stop()
            self._escalation = None

    def stop(self) -> None:
        """End the process; blocks until it has ended, or a moment has passed and the tree is killed."""
        self.heard()
        process, self._process = self._process, None  # from here on its end is no surprise
        if process is None or process.state() == qt.QProcess.NotRunning:
            return
        process.write(b'{"command": "quit"}\n')
        process.closeWriteChannel()
        if not process.waitForFinished(QUIT_MS):
            killTree(process)
            process.waitForFinished(1000)

    def _start(self) -> None:
        self._lastWords = []
        process = self._process = qt.QProcess()
        process.setWorkingDirectory(str(self._library))
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUNBUFFERED", "1")
        environment.insert("PYTHONIOENCODING", "utf-8")
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(lambda: self._read(process))
        process.readyReadStandardError.connect(lambda: self._readErrors(process))
        process.finished.connect(lambda code: self._finished(process))
        process.errorOccurred.connect(lambda error: self._failed(process, error))
        self._startedOn = self._device()
        arguments = ["--scratch", str(self._scratch()), "--device", self._startedOn]
        process.start(interpreter(), ["-m", "CTInvarianceLib", "worker", *arguments])

    def _read(self, process: Any) -> None:
        process.setReadChannel(qt.QProcess.StandardOutput)
        while process.canReadLine():
            line = process.readLine().data().decode("utf-8", "replace").strip()
            if not line:
                continue
            try:
                event = json.loads(line)
            except ValueError:
                self._onLog(line)
                continue
            self._onEvent(event)

    def _readErrors(self, process: Any) -> None:
        text = process.readAllStandardError().data().decode("utf-8", "replace")
        for line in filter(str.strip, text.splitlines()):
            self._lastWords = [*self._lastWords[-4:], line.strip()]
            self._onLog(line)

    def _finished(self, process: Any) -> None:
        if process is not self._process:
            return
        self._read(process)
        self.heard()
        self._process = None
        crashed = process.exitStatus() == qt.QProcess.CrashExit
        how = (
            _("was killed or crashed{}").format(_signal(process.exitCode()))
            if crashed
            else _("ended with code {}").format(process.exitCode())
        )
        self._onDeath(" ".join([_("The worker process {}.").format(how), *self._lastWords]))

    def _failed(self, process: Any, error: Any) -> None:
        if process is self._process and error == qt.QProcess.FailedToStart:
            self._process = None
            self._onDeath(
                _("Python could not be started: {} ({}).").format(interpreter(), process.errorString())
            )

    def _after(self, ms: int, then: Callable[[], object]) -> None:
        self.heard()
        self._escalation = qt.QTimer()
        self._escalation.setSingleShot(True)
        self._escalation.timeout.connect(then)
        self._escalation.start(ms)

    def _terminate(self) -> None:
        if self.running:
            self._onLog(_("The worker does not answer; terminating it."))
            process = self._process
            self._after(TERMINATE_MS, lambda: killTree(process))
            process.terminate()


def killTree(process: Any) -> None:
    """Kill a process and everything that it started."""
    killGroup(int(process.processId()))
    process.kill()


def killGroup(pid: int) -> None:
    """Kill a process that leads a group, with all of its group; on Windows, with everything that it started."""
    if pid and os.name == "posix":
        try:
            if os.getpgid(pid) == pid:  # the worker leads a group of its own; never kill Slicer's
                os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    elif pid:
        qt.QProcess.execute("taskkill", ["/T", "/F", "/PID", str(pid)])


def _signal(number: int) -> str:
    """The signal that ended a process, in brackets; what Windows has instead says nothing to people."""
    try:
        return f" ({signal.Signals(number).name})" if os.name == "posix" else ""
    except ValueError:
        return ""


def interpreter() -> str:
    """The Python that Slicer ships: PythonSlicer itself inside Slicer."""
    executable = Path(sys.executable)
    if "python" in executable.name.lower():
        return str(executable)
    for name in ("PythonSlicer", "PythonSlicer.exe"):
        for folder in (executable.parent, executable.parent / "bin"):
            if (folder / name).is_file():
                return str(folder / name)
    return str(executable)
