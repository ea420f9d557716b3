"""Work that is done once for all processes: each does its share, and all get the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def _alone(own: Tensor) -> Tensor:
    return own


@dataclass(frozen=True)
class Share:
    """The part of one process among several.

    Attributes:
        rank: this process.
        ranks: how many there are.
        gather: (n, …) of every process -> (ranks, n, …), as Fabric's `all_gather`.
    """

    rank: int = 0
    ranks: int = 1
    gather: Callable[[Tensor], Tensor] = _alone

    def rows(self, count: int) -> Tensor:
        """Numbers of this process's things of `count`; all processes have as many, so some are done twice."""
        size = -(-count // self.ranks)
        return (self.rank * size + torch.arange(size)) % count

    def whole(self, own: Tensor, count: int) -> Tensor:
        """(count, …) of what every process has made of its rows."""
        if self.ranks == 1:
            return own
        return self.gather(own).flatten(0, 1)[:count]


@dataclass(frozen=True)
class Draws:
    """Random numbers of one step for things that processes share in turn: together those that one alone would draw.

    Attributes:
        generator: the same for all processes.
        rank: this process, whose things are number rank, rank + ranks, …
        ranks: how many there are.
    """

    generator: torch.Generator
    rank: int = 0
    ranks: int = 1

    def uniform(self, count: int, *shape: int) -> Tensor:
        """(count, …) from 0 to 1, for as many things of this process."""
        return torch.rand(count * self.ranks, *shape, generator=self.generator)[self.rank :: self.ranks]

    def normal(self, count: int, *shape: int) -> Tensor:
        """(count, …) from N(0, 1)."""
        return torch.randn(count * self.ranks, *shape, generator=self.generator)[self.rank :: self.ranks]
