"""Where a stage of the training stands, on disk: safetensors, no pickle."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..base import WeightsError
from ..models import fill_module, load_tensors, save_tensors

_EVERY_S = 30.0


class Checkpoint:
    """Saves modules and their optimisers every half minute and brings them back.

    Args:
        path: the file; an unfinished stage's file is left there for the next run.
        trained: name -> module and its optimiser, all that the stage trains.
        metadata: what else the file says of itself.
    """

    def __init__(
        self,
        path: Path,
        trained: Mapping[str, tuple[nn.Module, torch.optim.Optimizer]],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._path, self._trained, self._metadata = path, dict(trained), dict(metadata or {})
        self._last = time.monotonic()

    def restore(self) -> int:
        """Bring everything back; the number of steps done, 0 where there is no file.

        Raises:
            WeightsError: the file is of another configuration; it names itself.
        """
        if not self._path.is_file():
            return 0
        tensors, metadata = load_tensors(self._path)
        for name, (module, optimizer) in self._trained.items():
            fill_module(module, _below(tensors, f"module.{name}."), where=self._path)
            _fill_optimizer(optimizer, _below(tensors, f"optimizer.{name}."), self._path)
        step = metadata.get("step")
        if type(step) is not int or step < 0:
            raise WeightsError("the checkpoint does not say how many steps are done", where=self._path)
        return step

    def save(self, step: int, *, now: bool = False) -> None:
        """Save after `step` steps, if half a minute has passed since the last time or `now`."""
        if not now and time.monotonic() - self._last < _EVERY_S:
            return
        tensors: dict[str, Tensor] = {}
        for name, (module, optimizer) in self._trained.items():
            tensors |= {f"module.{name}.{key}": value for key, value in module.state_dict().items()}
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{index}.{key}": torch.as_tensor(v) for key, v in state.items()}
        save_tensors(self._path, tensors, {**self._metadata, "step": step})
        self._last = time.monotonic()


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fill_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], path: Path) -> None:
    content = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        content["state"] = state
        optimizer.load_state_dict(content)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"the checkpoint does not fit this configuration ({error})", where=path) from error
