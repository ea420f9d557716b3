"""Where the memory of a GPU does not hold a batch: the batch in halves, whose gradients add up to the whole one's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from ..base import ConfigError
from .run import Run

T = TypeVar("T")
Batch = tuple[Tensor | None, ...]
LossOf = Callable[..., dict[str, Tensor]]
"""Of some of a batch: the loss that is descended, and whatever else is to be known; means over the patches."""


class Halving:
    """The steps of one stage, each with a batch at once, or, once the memory was full, with halves of it.

    Args:
        run: the run; it hears a notice.
        stage: of it.
    """

    def __init__(self, run: Run, stage: str) -> None:
        self._run, self._stage, self._parts = run, stage, 1

    def step(self, learn: Callable[..., T], *batch: object) -> T:
        """What `learn` makes of a batch; called once more, from now on with halves, where the memory is full.

        Raises:
            ConfigError: halves are too large as well, or other processes wait for this one's gradients meanwhile.
        """
        while True:
            try:
                return learn(*batch)
            except torch.OutOfMemoryError as error:
                self._halve(error)
            torch.cuda.empty_cache()  # behind the block: only now is what the step held let go of

    def _halve(self, error: torch.OutOfMemoryError) -> None:
        processes = self._run.fabric.world_size
        if self._parts > 1 or processes > 1:
            whose = f" of every one of {processes} processes" if processes > 1 else " and half of it too"
            raise ConfigError(
                f"the memory of the GPU is too small for the batch{whose}",
                where=f"{self._stage}, batch_size",
                hint="Take a smaller batch_size or patch_size"
                f"{', or more processes' if processes > 1 else ''}; what is finished is kept.",
            ) from error
        self._parts = 2
        self._run.report.emit(
            "log",
            notice=True,
            message=f"{self._stage}: the memory of the GPU is full. From here on every batch is worked off in two "
            "halves, whose gradients are added up: the same training, somewhat slower",
        )

    def outputs(
        self, network: Callable[..., Tensor | tuple[Tensor, ...]], *batch: Tensor | None
    ) -> tuple[Tensor, ...]:
        """What a network makes of a batch, to be descended later; of halves, without gradients."""
        if self._parts == 1:
            return _several(network(*batch))
        with torch.no_grad():
            halves = [_several(network(*half)) for half in self._split(batch)]
        return tuple(torch.cat(each) for each in zip(*halves, strict=True))

    def gradients(self, loss_of: LossOf, *batch: Tensor | None) -> dict[str, Tensor]:
        """Add the gradients of the first of `loss_of`'s values to what is there; the values, over the whole batch."""
        found: dict[str, Tensor] = {}
        for part in self._split(batch):
            share = _count(part) / _count(batch)
            values = loss_of(*part)
            self._run.fabric.backward(next(iter(values.values())) * share)
            for name, value in values.items():
                found[name] = found.get(name, 0) + value.detach() * share
        return found

    def _split(self, batch: Batch) -> Iterator[Batch]:
        parts = min(self._parts, _count(batch))
        pieces = [[None] * parts if each is None else each.chunk(parts) for each in batch]
        return zip(*pieces, strict=True)


def _several(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _count(batch: Batch) -> int:
    return next(len(each) for each in batch if each is not None)
