"""Several processes that work together, started plainly: without torchrun, whose agent would end them itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence


def start(arguments: Sequence[str], *, count: int = 2, slurm: bool = False) -> list[subprocess.Popen[str]]:
    """`count` processes of Python with these arguments, with pipes for what they say.

    Args:
        arguments: of each.
        count: of them.
        slurm: say who they are as `srun` does, instead of as torchrun does.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    total, number = ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID") if slurm else ("WORLD_SIZE", "RANK")
    common = {**os.environ, total: str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**common, number: str(rank), **({"SLURM_LOCALID": str(rank)} if slurm else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def finish(ranks: Sequence[subprocess.Popen[str]], seconds: float = 120) -> list[tuple[int, str, str]]:
    """Exit code, standard output and standard error of every one; one that does not end in time is an error."""
    try:
        said = [rank.communicate(timeout=seconds) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [(rank.returncode, *texts) for rank, texts in zip(ranks, said, strict=True)]
