"""Memory, asked for before it is taken: an error in words, not a machine that swaps or a process that is ended."""

from __future__ import annotations

from pathlib import Path

import torch

from ..base import CTInvarianceError, VolumeError
from .devices import main_memory

_MEMINFO, _LIMIT, _USED = Path("/proc/meminfo"), "memory.max", "memory.current"
_CGROUP = Path("/sys/fs/cgroup")


def require_memory(
    size: int,
    device: torch.device,
    *,
    what: str,
    hint: str,
    error: type[CTInvarianceError] = VolumeError,
) -> None:
    """Raise `error` where so many bytes are not free on a device.

    Args:
        size: bytes that will be taken, about.
        device: where; for the CPU, the machine's own memory.
        what: needs them, as the beginning of a sentence.
        hint: what to do about it.
        error: its class.
    """
    free = free_memory(device)
    if free is not None and size > free:
        raise error(
            f"{what} would take {size / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free", hint=hint
        )


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be had without taking them from others; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [each for each in (_available(), _left_of_limit()) if each is not None]
    return min(known) if known else main_memory()


def _available() -> int | None:
    """Linux: what is free, or can be freed at once."""
    try:
        lines = _MEMINFO.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(sizes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in sizes else None


def _left_of_limit() -> int | None:
    """Linux, in a container: what is left of its limit."""
    try:
        limit, used = (int((_CGROUP / name).read_text("ascii")) for name in (_LIMIT, _USED))
    except (OSError, ValueError):  # "max": there is no limit
        return None
    return max(0, limit - used + _cached())


def _cached() -> int:
    """Bytes of files that are counted as used, but given back when somebody needs them."""
    try:
        lines = (_CGROUP / "memory.stat").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return 0
    sizes = dict(line.split(" ", 1) for line in lines)
    return int(sizes.get("inactive_file", 0)) + int(sizes.get("active_file", 0))
