"""What a preset costs: operations of every stage, counted while its own loops run; and what that takes on GPUs.

python benchmarks/scaling.py PRESET... [--gpu-rate 3.9e12] [--step-ms 10] [--out FILE.json]

Every loop runs at the preset's sizes for two lengths, with few patches, and torch's own formulas say how many
operations each call is (an addition and a multiplication are two); what the longer run has more is the work of its
steps. That, times steps and batch, over an assumed rate, is the time: the rate of a GPU, and the least time of a step,
are assumptions that are given, not measured. The rate of this machine is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from operations import Operations

from CTInvarianceLib.config import Config, preset
from CTInvarianceLib.flow import stack
from CTInvarianceLib.phantoms import phantom_source, write_phantoms
from CTInvarianceLib.training import embedding, experiment, train
from CTInvarianceLib.training.perceptual import VGG19Features

SHORT, LONG = 1, 3  # steps of the two runs
BATCH, FLOW_BATCH, POOL = 2, 8, 8  # patches
GPUS = (1, 8, 64)


def small(config: Config, steps: int) -> Config:
    """A preset with its own networks and patches, but few of them, and one layer of every denoiser."""

    def fields(settings: Any, **wanted: Any) -> Any:
        names = {each.name for each in dataclasses.fields(settings)}
        return dataclasses.replace(settings, **{k: v for k, v in wanted.items() if k in names})

    few = {"steps": steps, "batch_size": BATCH, "validate_every": 0, "patience": 0}
    flow = {**few, "batch_size": FLOW_BATCH, "patches": steps * POOL, "at_once": steps * POOL}
    return dataclasses.replace(
        config,
        embedding=fields(
            config.embedding, **few, principal_patches=config.embedding.latent_dim + 44, critic_from=0.0
        ),
        denoisers={
            name: fields(each, **few, layers=each.layers[-1:]) for name, each in config.denoisers.items()
        },
        flow=fields(config.flow, **flow),
        data=dataclasses.replace(config.data, validation=0.3),
    )


class NoExample:
    """In the place of what is shown twenty times in a stage: in so few steps that would be most of the work."""

    def __init__(self, run: object) -> None:
        """Nothing of the run is shown."""

    def show(self, *_: object) -> None:
        """Nothing."""


def counted(config: Config, source: Path, folder: Path) -> dict[str, tuple[float, float]]:
    """Operations and seconds of every stage, by its first two words."""
    found: dict[str, tuple[float, float]] = {}
    with Operations() as counter:
        last = [0.0, time.perf_counter()]

        def hear(event: dict[str, Any]) -> None:
            if event["event"] == "progress":
                now = [float(counter.total), time.perf_counter()]
                stage = " ".join(event["stage"].split()[:2]).replace("flows ", "flow ")
                before = found.get(stage, (0.0, 0.0))
                found[stage] = before[0] + now[0] - last[0], before[1] + now[1] - last[1]
                last[:] = now

        train(config, source, folder / "run", store=folder / "store", on_event=hear)
    return found


def cost(config: Config, source: Path) -> dict[str, dict[str, float]]:
    """Of every stage: operations of a patch and of all, steps, patches of a step, and the rate of this machine."""
    runs = []
    for steps in (SHORT, LONG):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(counted(small(config, steps), source, Path(folder)))
    table: dict[str, dict[str, float]] = {}
    for stage in runs[1]:
        operations, seconds = (b - a for a, b in zip(runs[0].get(stage, (0, 0)), runs[1][stage], strict=True))
        kind, name = stage.split()[0], stage.split()[-1]
        times = len(config.denoisers[name].layers) if kind in ("flow", "conditions") else 1
        if kind == "conditions" and config.embedding.kind != "complete":
            times = 1  # one pass through the denoiser serves all layers
        if kind == "flow":
            steps, batch, done = config.flow.steps, config.flow.batch_size, FLOW_BATCH * (LONG - SHORT)
        elif kind == "conditions":
            steps, batch, done = 1, config.flow.patches, POOL * (LONG - SHORT)
        elif kind in ("embedding", "denoiser"):
            settings = config.embedding if kind == "embedding" else config.denoisers[name]
            steps, batch, done = settings.steps, settings.batch_size, BATCH * (LONG - SHORT)
        else:
            continue
        if operations <= 0:
            continue
        table[stage] = {
            "gigaflop_a_patch": times * operations / done * 1e-9,
            "steps": steps,
            "batch": batch,
            "petaflop": times * operations / done * steps * batch * 1e-15,
            "here_gigaflop_a_second": operations / max(seconds, 1e-9) * 1e-9,
        }
    return table


def hours(row: dict[str, float], gpus: int, rate: float, step_s: float) -> float | None:
    """Of a stage on so many GPUs; None where they cannot share its batch."""
    if row["batch"] % gpus and row["steps"] > 1:
        return None
    return max(row["petaflop"] * 1e15 / (gpus * rate), row["steps"] * step_s) / 3600


def show(name: str, table: dict[str, dict[str, float]], rate: float, step_s: float) -> None:
    """Print a table in Markdown."""
    heads = " | ".join(f"{gpus} GPU{'s' if gpus > 1 else ''}, h" for gpus in GPUS)
    print(f"\n`{name}`\n\n| stage | GFLOP a patch | steps × batch | PFLOP | here, GFLOP/s | {heads} |")
    print(f"|{'---|' * (5 + len(GPUS))}")
    total: list[float | None] = [0.0] * len(GPUS)
    for stage, row in table.items():
        told = [hours(row, gpus, rate, step_s) for gpus in GPUS]
        total = [None if a is None or b is None else a + b for a, b in zip(total, told, strict=True)]
        cells = " | ".join("–" if each is None else f"{each:.3g}" for each in told)
        print(
            f"| {stage} | {row['gigaflop_a_patch']:.3g} | {row['steps']:.0f} × {row['batch']:.0f} "
            f"| {row['petaflop']:.3g} | {row['here_gigaflop_a_second']:.3g} | {cells} |"
        )
    cells = " | ".join("–" if each is None else f"{each:.3g}" for each in total)
    print(f"| all | | | {sum(row['petaflop'] for row in table.values()):.3g} | | {cells} |")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--gpu-rate", type=float, default=3.9e12, help="assumed operations a second (3.9e12)")
    parser.add_argument("--step-ms", type=float, default=10.0, help="assumed least time of a step (10)")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = {}

    def untrained(*_: object, **__: object) -> VGG19Features:
        return VGG19Features().eval().requires_grad_(False)  # other weights, the same work

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.multiple(embedding, load_vgg19=untrained),
        mock.patch.multiple(experiment, load_vgg19=untrained, open_board=lambda run: None, Example=NoExample),
        mock.patch.object(
            stack, "_LARGE", 0
        ),  # torch counts gradients of grouped convolutions as if not grouped
    ):
        write_phantoms(Path(folder), patients=3, slices=1, size=256, pixel_mm=1.5)
        for name in options.presets:
            found[name] = cost(preset(name), phantom_source(Path(folder)))
            show(name, found[name], options.gpu_rate, options.step_ms * 1e-3)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
