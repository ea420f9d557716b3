"""A training in a process of its own, which nobody has to wait for: it reads its request from the folder of the run,
and tells there how it stands. It goes on when whoever started it has gone, and ends when somebody leaves word there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..base import Cancelled, Event, ModelsError
from ..config import (
    OUTPUT,
    REQUEST,
    Standing,
    State,
    asked_to_stop,
    being_alive,
    from_plain,
    overwrite_standing,
    path_in,
    read_request,
    take_back_stop,
    write_standing,
)
from .failures import failure

_EVERY_S, _LOOK_S = 0.5, 0.2  # between two reports; between two looks at whether it is to stop
_NOTES = 20


def train_alone(folder: Path) -> int:
    """Train what the request in a folder asks for; 0: done, 2: failed, 130: asked to stop."""
    with being_alive(folder):
        _redirect(folder)
        report = Report(folder)
        warnings.showwarning = report.warn
        try:
            asked = StopAsked(folder)
            from .requests import Train

            request = {**read_request(folder), "out": str(folder), "resume": True}
            from_plain(Train, request, str(folder / REQUEST)).train(report, asked)
        except Cancelled:
            report.end(asked_to_stop(folder) or State.PAUSED)
            take_back_stop(folder)
            return 130
        except (Exception, SystemExit) as error:  # whatever it is: people must hear of it
            told = failure(error)
            _print(told["traceback"])
            report.end(State.FAILED, message=told["message"], hint=told["hint"])
            return 2
        report.end(State.DONE, fraction=1.0, notes=())
        for name in (REQUEST, OUTPUT):  # they tell where series lie, which is not for others
            with suppress(OSError, ModelsError):
                path_in(folder, name).unlink(missing_ok=True)
        return 0


class StopAsked:
    """Whether the training is to stop: somebody has left word in the folder, or the system ends the process."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._asked, self._looked = folder, False, 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def __call__(self) -> bool:
        """Looks a few times a second, however often it is asked."""
        now = time.monotonic()
        if not self._asked and now - self._looked >= _LOOK_S:
            self._looked, self._asked = now, bool(asked_to_stop(self._folder))
        return self._asked

    def _hear(self, number: int, frame: object) -> None:
        self._asked = True


class Report:
    """Makes of events how the training stands, and writes it now and then. A full disk does not end the training."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._written = folder, 0.0
        self._now = Standing(State.RUNNING, os.getpid())
        self._write()

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        kind = event["event"]
        if kind == "started":
            self._now = replace(self._now, stages=dict.fromkeys(event["plan"], 0.0))
            self._write()
        elif kind == "progress":
            self._progress(event)
            if time.monotonic() - self._written >= _EVERY_S:
                self._write()
        elif kind == "log" and event.get("level") != "info":
            self._note(str(event["message"]))

    def warn(self, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        """A warning of ours is for people."""
        text = " ".join(str(message).split())
        if category.__module__.startswith(__name__.partition(".")[0]) or category is UserWarning:
            self._note(text)
        _print(text)

    def end(self, state: State, **changes: object) -> None:
        """The last that is told."""
        done = dict.fromkeys(self._now.stages, 1.0) if state == State.DONE else self._now.stages
        self._now = replace(self._now, state=state, eta_s=None, stages=done, **changes)  # type: ignore[arg-type]
        try:
            write_standing(self._folder, self._now)
        except OSError:  # the disk is full: no room for two, but for one in place of the other
            with suppress(OSError, ModelsError):
                overwrite_standing(self._folder, self._now)

    def _progress(self, event: Event) -> None:
        """A stage that has begun has all stages before it behind it, done now or in an earlier run."""
        names = list(self._now.stages)
        before = names[: names.index(event["stage"])]
        stages = {
            **self._now.stages,
            **dict.fromkeys(before, 1.0),
            event["stage"]: event["stage_fraction"],
        }
        self._now = replace(
            self._now, stages=stages, stage=event["stage"], fraction=event["fraction"], eta_s=event["eta_s"]
        )

    def _note(self, text: str) -> None:
        self._now = replace(self._now, notes=(*self._now.notes, text)[-_NOTES:])
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        with suppress(OSError):
            write_standing(self._folder, self._now)


def _print(text: str) -> None:
    with suppress(OSError):  # the disk is full
        print(text, file=sys.stderr, flush=True)


def _redirect(folder: Path) -> None:
    """What anything prints goes into a file: there is nobody at the other end."""
    with suppress(OSError, ModelsError):
        target = os.open(path_in(folder, OUTPUT), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream in (1, 2):
            os.dup2(target, stream)
        os.close(target)
