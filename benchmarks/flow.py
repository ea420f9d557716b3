"""Our flow against FrEIA's AllInOneBlock of the same size: one training step, and the inverse.

python benchmarks/flow.py [--out FILE.json] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from timing import Ratio, Work, compare
from torch import Tensor, nn

from CTInvarianceLib.flow import ConditionalFlow

DIMENSION = 128
BLOCKS = 12
HIDDEN = 512
BATCH = 64
THREADS = 2


def freia() -> SequenceINN:
    """12 blocks with the subnet Linear - ReLU - Linear - ReLU - Linear."""
    flow = SequenceINN(DIMENSION)
    for _ in range(BLOCKS):
        flow.append(AllInOneBlock, cond=0, cond_shape=(DIMENSION,), subnet_constructor=subnet)
    return flow


def subnet(inputs: int, outputs: int) -> nn.Sequential:
    layers = (nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, outputs))
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def training_step(flow: nn.Module, forward: Callable[[], tuple[Tensor, Tensor]], *, fused: bool) -> Work:
    """Forward, negative log-likelihood, backward, Adam."""
    optimiser = torch.optim.Adam(flow.parameters(), 1e-5, fused=fused)

    def step() -> None:
        v, log_det = forward()
        loss = (0.5 * v.square().sum(1) - log_det).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def measure(repeats: int) -> dict[str, Ratio]:
    generator = torch.Generator().manual_seed(0)
    latent, condition = (torch.randn(BATCH, DIMENSION, generator=generator) for _ in range(2))
    ours, theirs = ConditionalFlow(DIMENSION, DIMENSION, BLOCKS, HIDDEN), freia()

    def step(*, fused: bool) -> Ratio:
        return compare(
            training_step(ours, lambda: ours(latent, condition), fused=fused),
            training_step(theirs, lambda: theirs(latent, [condition]), fused=fused),
            repeats=repeats,
        )

    ratios = {"step, fused Adam": step(fused=True), "step, plain Adam": step(fused=False)}
    with torch.no_grad():
        ratios["inverse, a condition each"] = compare(
            lambda: ours.inverse(latent, condition),
            lambda: theirs(latent, [condition], rev=True, jac=False),
            repeats=repeats,
        )
        one, rows = condition[:1], condition[:1].expand(BATCH, -1)
        ratios["inverse, one condition"] = compare(
            lambda: ours.inverse(latent, one),
            lambda: theirs(latent, [rows], rev=True, jac=False),
            repeats=repeats,
        )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=31)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)  # FrEIA draws its first weights from the global generator
    ratios = measure(arguments.repeats)
    print(f"d = c = {DIMENSION}, {BLOCKS} blocks, hidden {HIDDEN} x 2, batch {BATCH}, {THREADS} threads")
    print(f"{'':27}{'ours, ms':>10}{'FrEIA, ms':>11}{'ratio':>7}")
    for name, value in ratios.items():
        print(f"{name:27}{1e3 * value.ours:10.2f}{1e3 * value.theirs:11.2f}{value.ratio:7.2f}")
    if arguments.out:
        arguments.out.write_text(
            json.dumps({name: asdict(value) for name, value in ratios.items()}, indent=2)
        )


if __name__ == "__main__":
    main()
