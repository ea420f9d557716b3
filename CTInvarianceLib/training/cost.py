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
from .plan import plan_data, plan_work
from .run import make_fabric

_SLICE = 512 * 512 * 2  # bytes in the store
_VALUE = 4  # bytes of a float32
_PROCESS = 1_500_000_000  # bytes of a process that trains the quick preset, measured while it made conditions
_COPIES, _MAPS = 4, 32  # of what is kept, and feature maps of a batch, at the least


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
    kept, batches = _sizes(config)
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
    kept, batches = _sizes(config)
    for sizes, place in ((kept, torch.device("cpu")), (batches, device)):
        for name, size in sizes.items():
            require_memory(
                size, place, what=f"the setting {name}", hint="Take a smaller one.", error=ConfigError
            )


def _sizes(config: Config) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of what is kept in main memory, and of the maps of a batch on the device, by setting."""
    e, flow = config.embedding, config.flow
    side = flow.patch_size if e.kind == "complete" else e.patch_size
    kept = {
        "flow, patches": flow.patches * side**2 * _COPIES,
        "embedding, principal_patches": e.principal_patches * e.patch_size**2 * _COPIES,
    }
    batches = {
        "flow, batch_size": flow.batch_size * side**2 * _MAPS,
        "embedding, batch_size": e.batch_size * e.patch_size**2 * _MAPS if e.kind != "complete" else 0,
        **{
            f"{name}, batch_size": d.batch_size * d.patch_size**2 * _MAPS
            for name, d in config.denoisers.items()
        },
    }
    return tuple({name: _VALUE * size for name, size in sizes.items()} for sizes in (kept, batches))  # type: ignore[return-value]


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
