"""What the training that is set would take, told before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from CTInvarianceLib.base import CTInvarianceError

from ..jobs import FAILED
from ..words import duration, size

_QUIET_MS = 400


class Estimate:
    """Asks the worker as soon as nothing has been changed for a moment.

    Args:
        ask: returns the job that estimates, None where there is nothing to estimate; what it raises is a problem.
        folder: returns the folder of the model set, None where there is none.
        changed: called when there is another text or problem.

    Attributes:
        text: what it takes; "" while nobody knows.
        problem: why it cannot be trained; "" where it can.
    """

    def __init__(
        self, ask: Callable[[], Any], folder: Callable[[], Path | None], changed: Callable[[], object]
    ) -> None:
        self._ask, self._folder, self._changed = ask, folder, changed
        self.text = self.problem = ""
        self._job: Any = None
        self._outdated = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._begin)

    def renew(self) -> None:
        """Something has been changed."""
        self.text = self.problem = ""
        self._outdated = True
        self._timer.start()

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._timer.stop()

    def _begin(self) -> None:
        if self._job is not None:  # to cancel it would end the worker, while that still imports torch
            self._outdated = True
            return
        self._outdated = False
        try:
            self._job = self._ask()
        except CTInvarianceError as error:
            self._job, self.problem = None, sentence(error)
            self._changed()
            return
        if self._job is not None:
            self._job.whenChanged(self._hear)

    def _hear(self, job: Any) -> None:
        if job is not self._job or not job.finished:
            return
        self._job = None
        if self._outdated:
            self._timer.start()
        elif job.state == FAILED:
            self.problem = sentence(job.error)
        elif job.result is not None:
            self.text, self.problem = _text(job.result), self._noRoom(job.result["models"])
        self._changed()

    def _noRoom(self, needed: int) -> str:
        """A sentence where the folder's disk is too full."""
        folder = self._folder()
        if folder is None:
            return ""
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(there).free
        if needed < free:
            return ""
        return _("The model set takes {}, and {} are free in this folder.").format(size(needed), size(free))


def _text(cost: dict[str, Any]) -> str:
    where = _("the processor") if cost["device"] == "cpu" else _("the GPU")
    text = _(
        "Takes about {} on {}, up to {} on disk for converted series, {} for the model set, and at least {} of memory."
    ).format(
        duration(cost["seconds"]),
        where,
        size(cost["store"]),
        size(cost["models"]),
        size(cost["memory"]),
    )
    if cost["store"] > cost["store_free"]:
        text += " " + _("Only {} are free for the series.").format(size(cost["store_free"]))
    return text


def sentence(text: object) -> str:
    """An error or a note as a sentence."""
    line = str(text)
    return line[:1].upper() + line[1:] + ("" if line.endswith(".") else ".")
