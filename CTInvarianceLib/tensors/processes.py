"""Several processes that share one piece of work: who they are, what is whose, and what all of them have found.

They are started by torchrun, by SLURM's `srun`, or by anybody who sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TypeVar

import torch.distributed as dist

from ..base import ConfigError

T = TypeVar("T")

LONGEST = timedelta(hours=12)
"""What processes wait for each other at most, while all are there: one may have to convert what others have at hand."""

_LAST_DIGITS, _FIRST_PORT = 4, 15000  # of a SLURM job, as Lightning makes a port of it


@dataclass(frozen=True)
class Processes:
    """Those that work together, and which of them this one is.

    Attributes:
        rank: of this one, from 0; the first speaks and writes for all.
        count: of all.
        local_rank: of this one among those of its machine.
        per_machine: how many there are on every machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    per_machine: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that speaks and writes for all."""
        return self.rank == 0

    @property
    def machines(self) -> int:
        """How many there are."""
        return self.count // self.per_machine

    def share(self, work: Sequence[T]) -> list[T]:
        """What this one does of a piece of work: every one takes the next in turn."""
        return list(work[self.rank :: self.count])

    def gather(self, own: T) -> list[T]:
        """What every process has, by rank; the same in all of them."""
        if self.count == 1:
            return [own]
        found: list[T | None] = [None] * self.count
        dist.all_gather_object(found, own, group=_talk())
        return [each for each in found if each is not None]

    def together(self, done: Sequence[T]) -> list[T]:
        """All of a piece of work in its order, of what every process has made of its `share`."""
        shares = self.gather(list(done))
        return [shares[k % self.count][k // self.count] for k in range(sum(map(len, shares)))]


def processes() -> Processes:
    """Those that this one was started with; alone where nothing says otherwise.

    Raises:
        ConfigError: the environment contradicts itself.
    """
    if "WORLD_SIZE" in os.environ:
        count, rank = _number("WORLD_SIZE"), _number("RANK", 0)
        per_machine = _number("LOCAL_WORLD_SIZE", count)
        found = Processes(rank, count, _number("LOCAL_RANK", rank % max(per_machine, 1)), per_machine)
    elif "SLURM_STEP_NUM_TASKS" in os.environ:  # only `srun` sets it, the shell of a batch job lacks it
        count, machines = _number("SLURM_STEP_NUM_TASKS"), _number("SLURM_STEP_NUM_NODES", 1)
        if count % max(machines, 1):
            raise ConfigError(
                f"{count} processes are not spread evenly over {machines} machines",
                where="SLURM",
                hint="Ask for --ntasks-per-node.",
            )
        found = Processes(_number("SLURM_PROCID"), count, _number("SLURM_LOCALID"), count // max(machines, 1))
    else:
        return Processes()
    if not 0 <= found.rank < found.count or found.per_machine < 1 or found.count % found.per_machine:
        raise ConfigError(
            f"there is no process {found.rank} among {found.count}, {found.per_machine} on a machine",
            where="RANK, WORLD_SIZE, LOCAL_WORLD_SIZE",
            hint="Start the processes with torchrun, or with srun.",
        )
    return found


def announce(own: Processes) -> None:
    """Say it in the words of torchrun, which is what torch and Lightning listen to."""
    defaults = {
        "RANK": own.rank,
        "WORLD_SIZE": own.count,
        "LOCAL_RANK": own.local_rank,
        "LOCAL_WORLD_SIZE": own.per_machine,
        "GROUP_RANK": own.rank // own.per_machine,
        "MASTER_ADDR": _first_machine(),
        "MASTER_PORT": _FIRST_PORT + int((os.environ.get("SLURM_JOB_ID") or "0")[-_LAST_DIGITS:]),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, str(value))


def _first_machine() -> str:
    """Where the first process runs: `node[003-004,7]` are three machines."""
    names = os.environ.get("SLURM_STEP_NODELIST", "127.0.0.1")
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", re.match(r"(?:[^,\[]|\[[^\]]*\])*", names)[0])  # type: ignore[index]


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise ConfigError(
            f"the environment variable {name} is {text!r}, no number",
            hint="Start the processes with torchrun, or with srun.",
        )
    return int(text)


@cache
def _talk() -> dist.ProcessGroup:
    """What plain values travel through, whatever gradients take."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=LONGEST)
        return dist.group.WORLD  # type: ignore[return-value]
    return dist.new_group(backend="gloo", timeout=LONGEST)


_at_work: list[Processes] = []


@contextmanager
def together() -> Iterator[Processes]:
    """The processes of a piece of work that the block does; where one fails or is gone, all end, and say which.

    Within the block every process does its share. It ends in all of them together, or in all of them with an error. A
    block within a block is part of it.

    Raises:
        ProcessError: another one has failed, or was ended; its message says which, and why where that is known.
        Cancelled: another one was cancelled.
        ConfigError: the processes do not find each other.
    """
    own = processes()
    if own.count == 1 or _at_work:
        yield own
        return
    from .companions import watched

    announce(own)
    with watched(own.rank, own.count):
        _at_work.append(own)
        try:
            yield own
        finally:
            _at_work.clear()
