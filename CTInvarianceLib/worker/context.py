"""What a job of the worker may use: model sets that stay loaded, and a way to report."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import ModelsError, OnEvent, Reporter, as_path
from ..config import MANIFEST

if TYPE_CHECKING:
    from ..models import Models

Result = dict[str, Any]
"""Fields of a "result" event."""

_KEPT = 2  # model sets


class ModelSets:
    """Loaded model sets; the last two are kept, and loaded anew where their manifest has changed."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._loaded: dict[Path, tuple[tuple[int, int], Models]] = {}

    def get(self, folder: str | Path) -> Models:
        """The model set in a folder.

        Raises:
            ModelsError: see `Models.load`; or a pipe or the like lies in it, which could not be read to an end.
        """
        from ..models import Models

        folder = as_path(folder).absolute()
        stamp, models = self._loaded.pop(folder, (None, None))
        found = _stamp(folder)
        if models is None or stamp != found:
            _require_files(folder)
            models = Models.load(folder, device=self.device)
        self._loaded[folder] = (found, models)
        for oldest in list(self._loaded)[:-_KEPT]:
            del self._loaded[oldest]
        return models


def _require_files(folder: Path) -> None:
    """Of a model set only: whatever else is named may be a whole disk."""
    if not os.path.lexists(folder / MANIFEST):
        return
    for path in (each for depth in ("*", "*/*") for each in folder.glob(depth)):
        if not (path.is_file() or path.is_dir()):
            raise ModelsError(
                "this is neither a file nor a folder", where=path, hint="Remove it from the model set."
            )


def _stamp(folder: Path) -> tuple[int, int]:
    try:
        found = (folder / MANIFEST).stat()
    except OSError:  # loading it says what is wrong
        return (0, 0)
    return found.st_mtime_ns, found.st_size


@dataclass(frozen=True)
class Work:
    """One job's connection to the worker.

    Attributes:
        sets: loaded model sets.
        emit: sends an event.
        should_stop: whether somebody wants the job to stop.
    """

    sets: ModelSets
    emit: OnEvent
    should_stop: Callable[[], bool]

    def progress(self, stage: str) -> Callable[..., None]:
        """`Reporter.progress` of a job that is one stage; raises `Cancelled` at once where it is to stop."""
        report = Reporter(self.emit, {stage: 1.0}, should_stop=self.should_stop)
        report.progress(stage, 0.0)
        return partial(report.progress, stage)
