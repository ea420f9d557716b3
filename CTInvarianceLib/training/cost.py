"""What a run takes of time, disk and memory, told before it starts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import torch

from ..base import ConfigError
from ..config import DOMAINS, Config
from ..data import store_at
from ..models import build_denoiser, build_embedding, build_flow
from ..tensors import require_memory
from .machine import seconds_per_planned
from .plan import plan_data, plan_memory, plan_work
from .run import make_fabric

_SLICE = 512 * 512 * 2  # bytes in the store
_VALUE = 4  # bytes of a float32
_PROCESS = 1_500_000_000  # bytes of a process that trains the quick preset, measured while it made conditions


@dataclass(frozen=True)
class Cost:
    """What a run takes, about.

    Attributes:
        seconds: on this machine's device.
        store: bytes of the converted series, where none of them is converted yet.
        store_free: bytes that are free where they go.
        models: bytes of the finished model set.
        memory: bytes of a process that trains, at the least.
        device: on which is trained.
    """

    seconds: float
    store: int
    store_free: int
    models: int
    memory: int
    device: str


def cost_of(config: Config, *, slices: int, simulated: int) -> Cost:
    """The cost of a run.

    Args:
        config: of the run.
        slices: of all series that are there, 512×512 pixels each.
        simulated: slices of those full-dose series whose low dose has to be simulated.

    Raises:
        ConfigError: the memory is too small, or the configuration not possible.
    """
    config.check()
    device = make_fabric(config).device
    check_memory(config, device)
    plan = {stage: work for stage, work in plan_work(config).items() if stage != "data"}
    reading = plan_data(converted=(slices - simulated) * _SLICE, simulated=2 * simulated * _SLICE)
    store = store_at(None).folder
    there = next(each for each in (store, *store.absolute().parents) if each.exists())
    kept, batches = plan_memory(config)
    return Cost(
        seconds=reading + sum(plan.values()) * seconds_per_planned(device),
        store=(slices + simulated) * _SLICE,
        store_free=shutil.disk_usage(there).free,
        models=_VALUE * _weights(config),
        memory=_PROCESS + max(kept.values()) + max(batches.values()),
        device=device.type,
    )


def check_memory(config: Config, device: torch.device) -> None:
    """Raise ConfigError where what is kept at once, or the maps of one batch, are more than the memory."""
    kept, batches = plan_memory(config)
    for sizes, place in ((kept, torch.device("cpu")), (batches, device)):
        for name, size in sizes.items():
            require_memory(
                size, place, what=f"the setting {name}", hint="Take a smaller one.", error=ConfigError
            )


def _weights(config: Config) -> int:
    """Of all networks that the model set will hold."""
    networks = [build_embedding(config) for _ in DOMAINS]
    total = sum(_count(network) for network in networks)
    for settings in config.denoisers.values():
        denoiser = build_denoiser(settings)
        flows = [build_flow(config, denoiser, layer, "low") for layer in settings.layers]
        total += _count(denoiser) + len(DOMAINS) * sum(_count(flow) for flow in flows)
    return total


def _count(network: torch.nn.Module) -> int:
    return sum(each.numel() for each in (*network.parameters(), *network.buffers()))
