"""What all stages of one training run share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from ..base import Cancelled, Reporter
from ..config import CHECKPOINTS, Config, path_in, read_manifest, record_file, require_file
from ..data import Patches
from ..models import save_tensors
from ..tensors import LONGEST, processes
from .checkpoint import Checkpoint
from .origin import Origin, metadata, require_origin
from .shares import Draws, Share
from .state import Trained
from .watch import Watch

_WORKERS = 2  # threads that draw patches ahead where a GPU would wait for them


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        folder: where everything is written; unfinished stages lie in its `checkpoints`.
        origin: what every part that this run makes is made from.
        fabric: device, precision and processes.
        patches: training patients.
        validation: patients kept apart; the training patients where there is only one.
        shows: get a denoiser after each of its steps: stage, step, number of steps, module.
    """

    config: Config
    folder: Path
    fabric: Fabric
    report: Reporter
    patches: Patches
    validation: Patches
    origin: Origin
    shows: Sequence[Callable[[str, int, int, nn.Module], object]] = ()

    def draws(self, stage: str, step: int) -> Draws:
        """Random numbers of one step, the same whether or not the run was interrupted before."""
        fabric = self.fabric
        return Draws(seeded(self.config.seed, stage, step), fabric.global_rank, fabric.world_size)

    def batches(
        self, stage: str, first: int, steps: int, count: int, size: int
    ) -> Iterator[tuple[int, Tensor, Tensor, Draws]]:
        """Every step from `first` on: number, low- and full-dose patches on the run's device, and random numbers.

        `count` patches a step are shared by all processes: together they see what one alone would have seen.
        """
        fabric = self.fabric
        drawn = self.patches.batches(
            count,
            size,
            seed=stage_seed(self.config.seed, stage),
            steps=range(first, steps),
            rank=fabric.global_rank,
            ranks=fabric.world_size,
            workers=0 if fabric.device.type == "cpu" or self.patches.resident else _WORKERS,
        )
        for step, (low, full) in zip(range(first, steps), drawn, strict=True):
            yield step, fabric.to_device(low), fabric.to_device(full), self.draws(stage, step)

    def draw(self, purpose: str, count: int, size: int) -> tuple[Tensor, Tensor]:
        """Training patches for something that is done once, on the run's device; the same in every process."""
        low, full = self.patches.draw(count, size, seed=stage_seed(self.config.seed, purpose))
        return self.fabric.to_device(low), self.fabric.to_device(full)

    @property
    def share(self) -> Share:
        """This process's part of what is done once for all of them."""
        fabric = self.fabric
        return Share(
            fabric.global_rank, fabric.world_size, lambda own: torch.as_tensor(fabric.all_gather(own))
        )

    def average(self, module: nn.Module, losses: Tensor) -> Tensor:
        """Average a module's gradients over all processes, and losses (n,), which are returned."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        own = torch.cat([each.flatten() for each in (*gradients, losses)])
        whole = torch.as_tensor(self.fabric.all_reduce(own, reduce_op="mean"))
        *means, averaged = whole.split([each.numel() for each in (*gradients, losses)])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))
        return averaged

    def resume(self, stage: str, trained: Trained, watch: Watch) -> tuple[Checkpoint, int]:
        """The stage's checkpoint, brought back if there is one, and the number of steps that are done.

        Called when the modules are on their device: an optimiser's state follows its parameters there.
        """
        file = self.checkpoint_file(stage)
        checkpoint = Checkpoint(
            require_origin(self.folder, file, self.origin), trained, metadata(self.origin, file), watch
        )
        first = checkpoint.restore()
        self.report.skip(stage, first / watch.steps)
        return checkpoint, first

    def end_step(self, stage: str, step: int, steps: int, checkpoint: Checkpoint) -> None:
        """Report progress and save now and then; where the run is to stop, save and raise `Cancelled`."""
        if stage.startswith("denoiser "):
            for show in self.shows:
                show(stage, step, steps, checkpoint.module)
        try:
            self.report.progress(stage, (step + 1) / steps)
        except Cancelled:
            checkpoint.save(step + 1, now=True)
            raise
        if self.fabric.is_global_zero:
            checkpoint.save(step + 1)

    def end_stage(self, stage: str) -> None:
        """All of it is saved: its checkpoint is of no more use."""
        if self.fabric.is_global_zero:
            path_in(self.folder, self.checkpoint_file(stage)).unlink(missing_ok=True)
        self.fabric.barrier()

    def save(self, file: str, tensors: Mapping[str, Tensor]) -> None:
        """Save a finished part, with what it was made from, and note its checksum; done by one of the processes."""
        if self.fabric.is_global_zero:
            save_tensors(path_in(self.folder, file), tensors, metadata(self.origin, file))
            record_file(self.folder, file)

    def known(self, file: str) -> bool:
        """Whether a part was there before any process could write it: all look, then all go on.

        Raises:
            ModelsError: it is there, but not of this run, or damaged.
        """
        there = require_origin(self.folder, file, self.origin).is_file()
        manifest = read_manifest(self.folder)
        if there and file in manifest["files"]:
            require_file(self.folder, file, manifest)
        self.fabric.barrier()
        if there and file not in manifest["files"] and self.fabric.is_global_zero:
            record_file(self.folder, file)  # a run that was ended in between has not done so
        return there

    def checkpoint_file(self, stage: str) -> str:
        """File of an unfinished stage, in the run's folder."""
        return f"{CHECKPOINTS}/{stage.replace(' ', '-')}.safetensors"


def stage_seed(seed: int, stage: str, *numbers: int) -> tuple[int, ...]:
    """A seed for a name and numbers; different ones give independent streams."""
    return (seed, zlib.crc32(stage.encode()), *numbers)


def seeded(seed: int, stage: str, *numbers: int) -> torch.Generator:
    """A generator for `stage_seed`."""
    words = stage_seed(seed, stage, *numbers)
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def make_fabric(config: Config) -> Fabric:
    """Lightning Fabric on the asked device: one process alone, or those that torchrun or SLURM started."""
    own = processes()
    settings: dict[str, Any] = {"accelerator": config.accelerator, "precision": config.precision}
    if own.count == 1:  # also in a job of SLURM that has asked for more
        return Fabric(devices=1, plugins=LightningEnvironment(), **settings)
    fabric = Fabric(
        devices=own.per_machine,
        num_nodes=own.machines,
        strategy=DDPStrategy(timeout=LONGEST),
        plugins=TorchElasticEnvironment(),  # what `together` has put into the environment
        **settings,
    )
    fabric.launch()
    return fabric


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next step; a group with a "share" gets that share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
