"""Where a stage of the training stands, on disk: safetensors, no pickle."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..base import WeightsError
from ..models import load_tensors, save_tensors
from .state import Trained, below, fill_state, state_of
from .watch import Watch

_EVERY_S = 30.0


class Checkpoint:
    """Saves modules and their optimisers every half minute and brings them back.

    Args:
        path: the file; an unfinished stage's file is left there for the next run.
        trained: name -> module and its optimiser, all that the stage trains.
        metadata: what else the file says of itself.
        watch: of the loop; nothing is saved that it does not find sound.
    """

    def __init__(
        self,
        path: Path,
        trained: Trained,
        metadata: Mapping[str, Any] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._path, self._trained, self._metadata = path, dict(trained), dict(metadata or {})
        self._watch = watch
        self._last = time.monotonic()

    @property
    def module(self) -> nn.Module:
        """What the stage is for: the first of all that it trains."""
        return next(iter(self._trained.values()))[0]

    def restore(self) -> int:
        """Bring everything back; the number of steps done, 0 where there is no file.

        Raises:
            WeightsError: the file is of another configuration; it names itself.
        """
        if not self._path.is_file():
            return 0
        tensors, metadata = load_tensors(self._path)
        fill_state(self._trained, tensors, where=self._path)
        if self._watch is not None:
            try:
                self._watch.fill(below(tensors, "watch."))
            except (KeyError, ValueError, RuntimeError) as error:
                raise WeightsError(
                    f"the checkpoint does not fit this configuration ({error})", where=self._path
                ) from error
        step = metadata.get("step")
        if type(step) is not int or step < 0:
            raise WeightsError("the checkpoint does not say how many steps are done", where=self._path)
        return step

    def save(self, step: int, *, now: bool = False) -> None:
        """Save after `step` steps, if half a minute has passed since the last time or `now`."""
        if not now and time.monotonic() - self._last < _EVERY_S:
            return
        tensors = state_of(self._trained)
        if self._watch is not None:
            if not self._watch.sound():
                return
            tensors |= {f"watch.{name}": tensor for name, tensor in self._watch.tensors().items()}
        save_tensors(self._path, tensors, {**self._metadata, "step": step})
        self._last = time.monotonic()
