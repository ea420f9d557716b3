"""The device that is computed on."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from .. import __version__
from .processes import processes


def pick_device(name: str) -> torch.device:
    """The torch device of that name; "auto": CUDA, else MPS, else CPU."""
    device = torch.device(_best() if name == "auto" else name)
    if device.type == "cuda":
        # A tolerance is smaller than the ten bits that convolutions would be rounded to.
        torch.backends.cudnn.allow_tf32 = False
    return device


def devices_here() -> list[str]:
    """The kinds of devices that this computer has, the fastest first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, found in there.items() if found]


def _best() -> str:
    best = devices_here()[0]
    if best != "cuda":
        return best
    own = processes()  # each of several takes the next GPU of its machine
    return f"cuda:{own.local_rank % torch.cuda.device_count()}" if own.count > 1 else "cuda"


def describe_device(name: str) -> dict[str, Any]:
    """Kind, name and memory (GB, None where nobody says) of a device; threads, and versions of what computes."""
    device = pick_device(name)
    cuda = device.type == "cuda"
    memory = torch.cuda.get_device_properties(device).total_memory if cuda else main_memory()
    return {
        "device": device.type,
        "name": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        "memory_gb": None if memory is None else round(memory / 1e9, 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "program": __version__,
    }


def main_memory() -> int | None:
    """Bytes; Windows does not say it this way."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
